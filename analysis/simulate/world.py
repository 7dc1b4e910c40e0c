"""The model that simulated studies are drawn from.

For a design d, a task t, a seed s and a condition c (online, or a dataset)::

    score[c,d,t,s] = quality[c,d,t] + seed_sd * (sqrt(g) * common[c,t,s] + sqrt(1 - g) * own[c,d,t,s])   g: common_seed
    final[c,d,t,s] = score[c,d,t,s] + final_sd * N(0, 1)

    quality[c,d,t] = base
                   + effect(c) * P + latent * S + stochastic * D          P, S, D: 1 for images, latent, stochastic
                   + images_latent * (P - 1/2) * (S - 1/2) + images_stochastic * (P - 1/2) * (D - 1/2)
                   + P * (dose * (image_fraction - 1) + weight * (image_scale / its largest - 1))
                   + from_image * [reward_from image] + sharing * [reward_gradient shared, if a plan varies it]
                   + horizon * log2(planner.horizon / 12) + proposals * log2(planner.proposals / 128)
                   + capacity * log10(parameters / those of `small`)
                   + design_sd * random[c,d,t]

`score` is that of the final window, 0 the random agent's and 1 the oracle's; effect(c) is `images` online and
`images_offline` on a dataset. `random` is normal, a share `consistency` of its variance the same on all tasks, and
correlated between online and offline by `agreement`. Designs that differ in doses alone (fraction or weight of the
image, size, planner) share it. It is made orthogonal to the contrasts of images, space and shared gradients that a plan
holds, so that these effects are what they are said to be over the very designs and tasks of the plan, which is what H1,
H2, H5 and H9 speak of.

Where a study trains designs on several datasets of a task (cross-training), ``quality = base + collector * a[data,t]
+ learner * b[d,t]`` with a and b standardised, so that the two shares of variance are exact.

Errors and coverage follow the quality z, standardised within a task: ``log error = log level[t] + 0.25 * x`` with
``x = r * z + sqrt(1 - r^2) * e[d,t] + error_sd * N(0, 1)``, r being `image_error` or `reward_error` online, and
`heldout_image` or `heldout_reward` on the held-out part of a dataset; the e of the two errors are correlated by
`common_error`. Coverage likewise, with r = `coverage`. z is standardised over the designs that predict whole images,
and of coverage over all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.claims.sample import families, leading, published
from analysis.labels import design_labels
from analysis.matching import field_of, planned_frame, rests
from analysis.simulate.effects import Effects
from analysis.study import Study
from harness.config import RunConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DOSES = ("image_fraction", "model.image_scale", "size", "planner.")
"""Fields of which designs that differ in them alone are one design in several doses."""
PARAMETERS = {"tiny": 0.11e6, "small": 0.44e6, "large": 4.7e6, "paper": 5.5e6}
"""About what the presets of size have; the reference of `capacity` is `small`."""
HORIZON, PROPOSALS = 12, 128
"""The planner's budget to which `horizon` and `proposals` refer."""
ONLINE = "online"


@dataclass(frozen=True)
class World:
    """The runs of some studies, as what a draw needs of them.

    Attributes:
        studies: with the runs that are planned.
        configs: of each run, by id.
        frame: `planned_frame`, one row a run, each id once.
    """

    studies: tuple[Study, ...]
    configs: dict[str, RunConfig]
    frame: pd.DataFrame

    @classmethod
    def of(cls, studies: Sequence[Study]) -> World:
        """Of studies whose configurations are of this version."""
        runs = list({run.id: run for study in studies for run in study.runs}.values())
        configs = {run.id: RunConfig.model_validate(run.config) for run in runs}
        return cls(tuple(studies), configs, planned_frame(runs, design_labels(runs, dict(configs)), configs))

    @cached_property
    def models(self) -> npt.NDArray[np.bool_]:
        """[num_runs]: whether a run has a model."""
        return np.asarray(self.frame["agent"] == "model")

    @cached_property
    def places(self) -> list[str]:
        """The tasks with their environments, in the order of the plan."""
        return list(dict.fromkeys(self.frame["place"]))

    @cached_property
    def place(self) -> Ints:
        """[num_runs]: index into `places`."""
        return _codes(self.frame["place"])

    @cached_property
    def variant(self) -> Ints:
        """[num_runs]: which design in which dose, the same online and on any dataset."""
        return _codes(rests(self.frame, ()))

    @cached_property
    def family(self) -> Ints:
        """[num_variants]: which design, whatever the dose."""
        return _first(_codes(rests(self.frame, DOSES)), self.variant)

    @cached_property
    def cross(self) -> npt.NDArray[np.bool_]:
        """[num_runs]: whether the run's study trains designs on several datasets of its task."""
        counts = self.frame[self.frame["data"] != ONLINE].groupby(["study", "place"])["data"].nunique()
        several = set(counts.index[counts > 1])
        keys = zip(self.frame["study"], self.frame["place"], self.frame["data"], strict=True)
        return np.array([(study, place) in several and data != ONLINE for study, place, data in keys])

    @cached_property
    def traits(self) -> pd.DataFrame:
        """One row a variant: what effects depend on, as numbers; of agents without a model nothing of use."""
        first = self.frame.iloc[np.unique(self.variant, return_index=True)[1]]
        traits = pd.DataFrame(index=range(len(first)))
        traits["images"] = (first["predict"] == "images").to_numpy(float)
        traits["latent"] = (first["space"] == "latent").to_numpy(float)
        traits["stochastic"] = (first["dynamics"] == "stochastic").to_numpy(float)
        traits["fraction"] = first["image_fraction"].to_numpy(float)
        scales = pd.Series([float(field_of(fields, "model.image_scale")) for fields in first["fields"]])
        traits["weight"] = scales / scales.groupby(self.family).transform("max")
        traits["from_image"] = (first["reward_from"] == "image").to_numpy(float)
        traits["shared"] = (first["reward_gradient"] == "shared").to_numpy(float) * self._varies_gradient
        traits["horizon"] = np.log2(first["horizon"].to_numpy(float) / HORIZON)
        traits["proposals"] = np.log2(first["proposals"].to_numpy(float) / PROPOSALS)
        traits["parameters"] = [PARAMETERS.get(str(size), PARAMETERS["small"]) for size in first["size"]]
        traits["pixel"] = (first["space"] == "pixel").to_numpy(float)
        return traits

    @cached_property
    def windows(self) -> dict[str, float]:
        """The final window of each study."""
        return {study.name: study.spec.final_window for study in self.studies}

    @property
    def _varies_gradient(self) -> bool:
        """Whether there are designs that differ in their `reward_gradient` alone."""
        levels = ("shared", "stopped", "separate")
        return any(True for _ in self._contrasts("reward_gradient", levels, self.frame[self.models]))

    @cached_property
    def contrasts(self) -> dict[bool, Floats]:
        """Online and offline: [num_contrasts, num_families], each a mean over matched designs of first minus second."""
        found = {}
        for offline in (False, True):
            here = self.frame[self.models & np.asarray(self.frame["offline"].astype(bool) == offline)]
            images = here[here["predict"] == "images"]
            rows = [
                *self._contrasts("predict", ("images", "rewards"), here),
                *self._contrasts("space", ("latent", "pixel"), images),
                *self._contrasts("reward_gradient", ("shared", "stopped", "separate"), here),
            ]
            found[offline] = np.array(rows) if rows else np.zeros((0, self.family.max(initial=0) + 1))
        return found

    def _contrasts(self, axis: str, levels: tuple[str, ...], rows: pd.DataFrame) -> Iterator[Floats]:
        """The first level minus each other one and minus their mean, where a plan holds both: [num_families], of the
        designs that a claim is about, and of those with the published loss.
        """
        if rows.empty:
            return
        matched = families(rows, axis, levels)
        for chosen in (leading(matched), published(matched)) if len(matched) else ():
            designs = chosen.drop_duplicates(["family", "level"])
            index = [self.family[self.variant[row]] for row in designs.index]
            table = pd.Series(index, index=pd.MultiIndex.from_frame(designs[["family", "level"]]))
            for others in dict.fromkeys([*((level,) for level in levels[1:]), levels[1:]]):
                weights = np.zeros(self.family.max(initial=0) + 1)
                for _, found in table.groupby(level="family"):
                    by_level = dict(zip(found.index.get_level_values("level"), found, strict=True))
                    there = [by_level[level] for level in others if level in by_level]
                    if levels[0] in by_level and there:
                        weights[by_level[levels[0]]] += 1
                        np.add.at(weights, there, -1 / len(there))
                if weights.any():
                    yield weights / weights[weights > 0].sum()


@dataclass(frozen=True)
class Draw:
    """What the runs of a world reached, [num_runs] each; NaN where a run has none.

    Attributes:
        value: normalised score of the final window.
        final: of the final phase.
        errors: mean over the horizon, by (dataset, `image` or `reward`), relative to the level of the task.
        coverage: entropy of the replay at the end, in nats.
        state: `done`, `diverged`, `failed`.
        finite: whether errors are finite numbers.
    """

    value: Floats
    final: Floats
    errors: dict[tuple[str, str], Floats]
    coverage: Floats
    state: npt.NDArray[np.str_]
    finite: npt.NDArray[np.bool_]


def draw(world: World, effects: Effects, rng: np.random.Generator) -> Draw:
    """One study, drawn anew."""
    online, offline = _qualities(world, effects, rng)
    place, variant = world.place, world.variant
    on_data = np.asarray(world.frame["offline"].astype(bool))
    quality = np.where(on_data, offline[variant, place], online[variant, place])
    quality = np.where(world.cross, _cross(world, effects, rng), quality)
    value = quality + _seeds(world, effects, rng)
    value = np.where(world.models, value, _baselines(world, effects, rng))
    final = value + world.models * effects.final_sd * rng.standard_normal(len(value))
    errors, coverage = _measured(world, effects, online, offline, rng)
    chance = rng.random((3, len(value)))
    state = np.where(chance[0] < effects.diverged, "diverged", "done")
    state = np.where(world.models, np.where(chance[1] < effects.failed, "failed", state), "done")
    return Draw(value, final, errors, coverage, state, chance[2] >= effects.nonfinite)


def _qualities(world: World, effects: Effects, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """[num_variants, num_places], online and offline."""
    families = int(world.family.max(initial=0)) + 1
    first, second = _parts(rng, 2, families, len(world.places), effects.consistency)
    r = effects.agreement
    parts = (first, r * first + np.sqrt(1 - r**2) * second)
    found = []
    for offline, part, images in zip(
        (False, True), parts, (effects.images, effects.images_offline), strict=True
    ):
        contrasts = world.contrasts[offline]
        part = part - np.linalg.pinv(contrasts) @ (contrasts @ part)  # noqa: PLW2901
        fixed = _fixed(world.traits, effects, images)
        found.append(fixed[:, None] + effects.design_sd * part[world.family])
    return found[0], found[1]


def _fixed(traits: pd.DataFrame, effects: Effects, images: float) -> Floats:
    """[num_variants]: the effects but for the random part."""
    P, S, D = (traits[name].to_numpy() for name in ("images", "latent", "stochastic"))
    found = effects.base + images * P + effects.latent * S + effects.stochastic * D
    found += effects.images_latent * (P - 0.5) * (S - 0.5)
    found += effects.images_stochastic * (P - 0.5) * (D - 0.5)
    found += P * (effects.dose * (traits["fraction"] - 1) + effects.weight * (traits["weight"] - 1))
    found += effects.from_image * traits["from_image"] + effects.sharing * traits["shared"]
    found += effects.horizon * traits["horizon"] + effects.proposals * traits["proposals"]
    found += effects.capacity * np.log10(traits["parameters"] / PARAMETERS["small"])
    return np.asarray(found, dtype=np.float64)


def _cross(world: World, effects: Effects, rng: np.random.Generator) -> Floats:
    """[num_runs]: the quality of runs of cross-training, by who collected the data and who learns."""
    chosen, found = world.cross, np.full(len(world.frame), np.nan)
    if not chosen.any():
        return found
    data, place = _codes(world.frame["data"][chosen]), world.place[chosen]
    learner = _codes(world.variant[chosen])
    shape = len(world.places)
    (a,) = _parts(rng, 1, int(data.max()) + 1, shape, effects.consistency)
    (b,) = _parts(rng, 1, int(learner.max()) + 1, shape, effects.consistency)
    found[chosen] = effects.base + effects.collector * _standard(a)[data, place]
    found[chosen] += effects.learner * _standard(b)[learner, place]
    return found


def _seeds(world: World, effects: Effects, rng: np.random.Generator) -> Floats:
    """[num_runs]: what seeds add."""
    frame = world.frame
    groups = _codes(
        [f"{d}/{p}/{s}" for d, p, s in zip(frame["data"], world.place, frame["seed"], strict=True)]
    )
    common = rng.standard_normal(int(groups.max(initial=0)) + 1)[groups]
    heavy = effects.tails == "t3"
    own = rng.standard_t(3, len(frame)) / np.sqrt(3) if heavy else rng.standard_normal(len(frame))
    share = effects.common_seed
    return np.asarray(effects.seed_sd * (np.sqrt(share) * common + np.sqrt(1 - share) * own))


def _baselines(world: World, effects: Effects, rng: np.random.Generator) -> Floats:
    """[num_runs]: scores of the random agent and the oracle, whose means over seeds are what they should be."""
    frame = world.frame
    noise = pd.Series(0.02 * rng.standard_normal(len(frame)))
    oracle = np.asarray(frame["agent"] == "oracle")
    groups = [frame["agent"].to_numpy(), world.place, world.variant]
    centred = noise - noise.groupby(groups).transform("mean")
    off = np.abs(np.log2(frame["oracle_horizon"].to_numpy(float) / HORIZON))
    return np.asarray(centred + np.where(oracle, 1 + effects.oracle_horizon * off, 0.0))


def _measured(
    world: World, effects: Effects, online: Floats, offline: Floats, rng: np.random.Generator
) -> tuple[dict[tuple[str, str], Floats], Floats]:
    """Errors by dataset and kind, and coverage, [num_runs] each."""
    families, places = int(world.family.max(initial=0)) + 1, len(world.places)
    images, count = world.traits["images"].to_numpy() > 0, len(world.frame)
    whole = images & (world.traits["fraction"].to_numpy() >= 1)
    online_models = np.zeros(len(world.family), dtype=bool)
    online_models[world.variant[world.models & ~np.asarray(world.frame["offline"], dtype=bool)]] = True
    z_on, z_off = (_over(quality, whole) for quality in (online, offline))
    shared = np.sqrt(effects.common_error)
    rest = np.sqrt(1 - effects.common_error)
    errors: dict[tuple[str, str], Floats] = {}
    for dataset, z, r in (
        ("probe", z_on, (effects.image_error, effects.reward_error)),
        ("heldout", z_off, (effects.heldout_image, effects.heldout_reward)),
    ):
        both, *own = _parts(rng, 3, families, places, effects.consistency)
        for kind, rho, part in zip(("image", "reward"), r, own, strict=True):
            e = (shared * both + rest * part)[world.family]
            x = rho * z + np.sqrt(1 - rho**2) * e + 2 * (1 - world.traits["fraction"].to_numpy())[:, None]
            noise = effects.error_sd * rng.standard_normal(count)
            errors[dataset, kind] = np.exp(0.25 * np.clip(x[world.variant, world.place] + noise, -6, 6))
    (part,) = _parts(rng, 1, families, places, effects.consistency)
    z = _over(online, online_models)
    x = effects.coverage * z + np.sqrt(1 - effects.coverage**2) * part[world.family]
    coverage = x[world.variant, world.place] + effects.error_sd * rng.standard_normal(count)
    for (_, kind), values in errors.items():
        values[~world.models | ((kind == "image") & ~images[world.variant])] = np.nan
    return errors, np.where(world.models, coverage, np.nan)


def _parts(rng: np.random.Generator, count: int, families: int, places: int, share: float) -> Floats:
    """[count, families, places] of variance 1, a share of it the same on all tasks."""
    same = rng.standard_normal((count, families, 1))
    return np.asarray(
        np.sqrt(share) * same + np.sqrt(1 - share) * rng.standard_normal((count, families, places))
    )


def _standard(x: Floats) -> Floats:
    """Each column of [n, places] with mean 0 and variance 1; zeros of a single row."""
    return _over(x, np.ones(len(x), dtype=bool))


def _over(x: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """[n, places], each column standardised by its chosen rows."""
    if not chosen.any():
        chosen = np.ones(len(x), dtype=bool)
    centred, sd = x - x[chosen].mean(axis=0), x[chosen].std(axis=0)
    return np.asarray(np.divide(centred, sd, out=np.zeros_like(x), where=sd > 1e-12))


def _codes(values: Any) -> Ints:
    """Numbers from 0 in the order of appearance."""
    return np.asarray(pd.factorize(np.asarray(values))[0], dtype=np.int64)


def _first(values: Ints, groups: Ints) -> Ints:
    """The value of each group's first member, by group."""
    return values[np.unique(groups, return_index=True)[1]]
