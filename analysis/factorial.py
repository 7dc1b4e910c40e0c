"""The factorial of the study: effects of what is predicted, of the space and of the dynamics on score and errors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.evidence import Evidence, place_name
from analysis.inference.estimate import FEW_SEEDS
from analysis.inference.factorial import Effect, contrasts, terms
from analysis.inference.mixed import mixed
from analysis.matching import OF_IMAGES, OPTIONAL, field_of, rests
from analysis.tables import Table, interval, number
from analysis.words import WINDOWED, capital, plural, short_task

LEVELS = {
    "predict": ("images", "rewards"),
    "space": ("latent", "pixel"),
    "dynamics": ("stochastic", "deterministic"),
}
"""The axes, each with its upper level (+1/2) and its lower one (-1/2)."""
Corner = tuple[str, ...]
"""A level of each axis."""


@dataclass(frozen=True)
class Response:
    """What the design may change.

    Attributes:
        name: as in the table's data.
        short: for people.
        words: with the unit.
    """

    name: str
    short: str
    words: str


RESPONSES = {
    each.name: each
    for each in (
        Response("score", "score", WINDOWED),
        Response("image_error", "image error", "image error (1 = last frame repeated)"),
        Response("reward_error", "reward error", "reward error (1 = last reward repeated)"),
    )
}
COLUMNS = (
    *(
        "data",
        "factorial",
        "held",
        "response",
        "effect",
        "estimator",
        "value",
        "low",
        "high",
        "interval",
        "level",
    ),
    *("n", "tasks", "seeds", "runs", "left_out", "components", "note"),
)


@dataclass(frozen=True)
class Factorial:
    """Designs that are alike but for two or three axes, in all combinations of these.

    Attributes:
        data: what they are trained on: `online`, or a dataset's name.
        name: what tells it from others of the study (`size=large`), or "".
        held: the level of an axis that does not vary; empty for all three.
        runs: one row a corner, task and seed at most.
    """

    data: str
    name: str
    held: Mapping[str, str]
    runs: pd.DataFrame

    @property
    def axes(self) -> tuple[str, ...]:
        """Those that vary."""
        return tuple(axis for axis in LEVELS if axis not in self.held)


def factorials(frame: pd.DataFrame) -> list[Factorial]:
    """The complete factorials of a plan, those with most axes alone; one axis is none.

    Corners differ in the axes alone, and in fields that not all of them use (`matching.OPTIONAL`); so
    designs that read rewards from images, see a window or train with another loss are no corners of theirs. Where
    corners are missing from the plan, the faces that are complete are factorials of fewer axes (`held`).

    Args:
        frame: rows of `matching.planned_frame`, with any further columns.
    """
    rows = frame[(frame["agent"] == "model") & frame[list(LEVELS)].notna().all(axis=1)]
    rows = rows[rows["image_fraction"].astype(float) == 1]
    rows = rows.assign(family=rests(rows, (*LEVELS, *OPTIONAL, *OF_IMAGES)))
    rows = _one_a_cell(rows)
    found = []
    for (data, family), group in rows.groupby(["data", "family"], sort=False):
        corners = set(group[list(LEVELS)].itertuples(index=False, name=None))
        for held in _faces(corners):
            chosen = group
            for axis, level in held.items():
                chosen = chosen[chosen[axis] == level]
            found.append((str(family), Factorial(str(data), "", held, chosen)))
    most = max((len(each.axes) for _, each in found), default=0)
    kept = [(family, each) for family, each in found if len(each.axes) == most]
    names = _names([family for family, _ in kept])
    return [Factorial(each.data, names[family], each.held, each.runs) for family, each in kept]


def _one_a_cell(rows: pd.DataFrame) -> pd.DataFrame:
    """One run a corner, task, seed and data: of several that whose optional fields most designs have, the first."""
    cell = ["data", "family", *LEVELS, "place", "seed"]
    if not rows.duplicated(cell).any():
        return rows
    optional = (*OPTIONAL, *OF_IMAGES)
    free = [json.dumps([field_of(fields, name) for name in optional]) for fields in rows["fields"]]
    common = rows["design"].groupby(free).transform("nunique")
    order = rows.assign(_common=common).sort_values("_common", ascending=False, kind="stable")
    return order.drop_duplicates(cell).sort_index().drop(columns="_common")


def _faces(corners: set[Corner]) -> list[dict[str, str]]:
    """The axes that are held in each complete factorial of two axes or three that lies in no larger one."""
    found: list[dict[str, str]] = []
    for size in (0, 1):
        for axes in itertools.combinations(LEVELS, size):
            for levels in itertools.product(*(LEVELS[axis] for axis in axes)):
                held = dict(zip(axes, levels, strict=True))
                wanted = itertools.product(
                    *((held[axis],) if axis in held else LEVELS[axis] for axis in LEVELS)
                )
                if {} not in found and corners.issuperset(wanted):
                    found.append(held)
    return found


def _names(families: Sequence[str]) -> dict[str, str]:
    """What tells families from each other: their values of the fields in which they differ."""
    fields = {family: json.loads(family) for family in families}
    names = sorted({name for each in fields.values() for name in each})
    varying = [
        name for name in names if len({json.dumps(field_of(each, name)) for each in fields.values()}) > 1
    ]
    return {
        family: ", ".join(f"{name.rpartition('.')[2]}={field_of(each, name)}" for name in varying)
        for family, each in fields.items()
    }


def responses(factorial: Factorial) -> Iterator[tuple[Response, tuple[str, ...], pd.DataFrame]]:
    """Of each response the axes whose effects it has, and the frame that `inference` takes.

    Errors are on common data, in units of those of repeating the last frame or reward, so that tasks have one unit. The
    image error is that of designs which predict images; where the reward of a task hardly varies there is no reward
    error.
    """
    runs = factorial.runs
    values = {
        "score": runs["value"],
        "image_error": runs["image_error"] / runs["image_baseline"].where(runs["image_baseline"] > 0),
        "reward_error": (
            runs["reward_error"] / runs["reward_baseline"].where(runs["reward_baseline"] > 0)
        ).where(runs["reward_varies"].fillna(value=False).astype(bool)),
    }
    coded = runs[list(LEVELS)].apply(
        lambda column: np.where(column == LEVELS[str(column.name)][0], 0.5, -0.5)
    )
    coded = coded.assign(task=runs["place"].map(_task_names(runs["place"])), seed=runs["seed"])
    for name, response in RESPONSES.items():
        frame, axes = coded.assign(response=values[name].astype(float)), factorial.axes
        if name == "image_error":
            frame = frame[runs["predict"] == "images"]
            axes = tuple(axis for axis in axes if axis != "predict")
        frame = frame.dropna(subset="response")
        if len(frame):
            yield response, axes, frame


def _task_names(places: pd.Series) -> dict[str, str]:
    """The task of each place; the whole place where a task has several environments."""
    names = {str(place): short_task(place_name(str(place))) for place in places.unique()}
    return {place: name if list(names.values()).count(name) == 1 else place for place, name in names.items()}


def effects(evidence: Evidence) -> pd.DataFrame:
    """One row a factorial, response, effect and estimator (`contrast`, `mixed`; see `inference.factorial`, `.mixed`).

    Columns: data, factorial (its name), held (`space=latent`), response, effect (`predict:space`), value, low, high,
    interval (its kind), level, n (seeds of all tasks, or tasks where the interval is for other tasks), tasks, seeds,
    runs, left_out (runs with a response that did not enter), components (standard deviations of the mixed model's
    random effects), note. `contrast` is there for every effect of every response with a value; `mixed` is NaN, and
    the note says why, where the model could not be fitted.
    """
    rows: list[dict[str, Any]] = []
    for factorial in factorials(evidence.runs):
        held = ", ".join(f"{axis}={level}" for axis, level in factorial.held.items())
        for response, axes, frame in responses(factorial):
            key = {
                "data": factorial.data,
                "factorial": factorial.name,
                "held": held,
                "response": response.name,
            }
            found = contrasts(frame, axes, *key.values())
            rows += [key | _row(each) for each in found]
            model = mixed(frame, axes)
            fitted = {each.terms: each for each in model.effects}
            parts = ", ".join(f"{name} {number(value, 2)}" for name, value in model.components.items())
            for term in terms(axes):
                row = (
                    _row(fitted[term]) if term in fitted else {"effect": ":".join(term), "estimator": "mixed"}
                )
                rows.append(key | row | {"components": parts, "note": model.note})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(effect: Effect) -> dict[str, Any]:
    found = effect.estimate
    row: dict[str, Any] = {"effect": ":".join(effect.terms), "estimator": effect.estimator}
    row |= {"value": found.value, "low": found.low, "high": found.high, "interval": found.kind, "n": found.n}
    row |= {"level": found.level, "tasks": effect.tasks, "seeds": effect.seeds, "runs": effect.runs}
    return row | {"left_out": effect.left_out, "components": "", "note": effect.note}


def factorial_table(found: pd.DataFrame) -> Table | None:
    """The table `factorial`; None where there is no factorial.

    Args:
        found: of `effects`.
    """
    if found.empty:
        return None
    rows = []
    keys = ["data", "factorial", "held", "response", "effect"]
    several = len(found[keys[:3]].drop_duplicates()) > 1
    for _, each in found.groupby(keys, sort=False):
        response, effect = str(each["response"].iloc[0]), str(each["effect"].iloc[0])
        cells = [_cell(each[each["estimator"] == estimator].iloc[0]) for estimator in ("contrast", "mixed")]
        mean = each[each["estimator"] == "contrast"].iloc[0]
        counts = [f"{mean['tasks']:.0f}", f"{mean['seeds'] / max(mean['tasks'], 1):.3g}"]
        words = [RESPONSES[response].short, effect_words(effect)]
        rows.append([*([where(each)] if several else []), *words, *cells, *counts])
    header = ["response", "effect", "contrast [95 %]", "mixed model [95 %]", "tasks", "seeds per task"]
    header = [*(["runs"] if several else []), *header]
    return Table(
        "factorial", "Effects of the design axes", caption(found), header, rows, found, keys=len(header) - 4
    )


def _cell(row: pd.Series) -> str:
    """A value and its interval."""
    return f"{number(row['value'])} {interval(row['low'], row['high'])}".strip()


def where(rows: pd.DataFrame) -> str:
    """Which factorial the rows of `effects` are of, for people: `online, size=large`."""
    data, *parts = (str(rows[name].iloc[0]) for name in ("data", "factorial", "held"))
    return ", ".join([data if data == "online" else f"on {data}", *(part for part in parts if part)])


def effect_words(effect: str) -> str:
    """An effect for people: `images − rewards`, `predict × space`."""
    axes = effect.split(":")
    return " − ".join(LEVELS[effect]) if len(axes) == 1 else " × ".join(axes)


def caption(found: pd.DataFrame) -> str:
    """What a reader of the effects must know."""
    means, models = (found[found["estimator"] == name] for name in ("contrast", "mixed"))
    bars = "; 95 % interval for these tasks, over seeds" if means["low"].notna().any() else ""
    words = [
        "Main effects: mean at the first level less mean at the second.",
        "Interactions: the effect of one axis at the first level of the other less that at its second level.",
        "Errors are on common data, 1 being that of repeating the last frame or reward; lower is better.",
        f"Contrast: of the corners at equal seeds, mean over tasks{bars}.",
    ]
    if models["value"].notna().any():
        scope = "tasks like these, over tasks and seeds" if varies(found) else "these tasks, over seeds"
        words.append(
            f"Mixed model: seeds, and from three tasks on tasks and how they differ in each effect, are random (REML); "
            f"95 % interval for {scope}: Student's t with Satterthwaite's degrees of freedom."
        )
    if len(found[["data", "factorial", "held"]].drop_duplicates()) == 1:
        words.append(f"Runs: {where(found)}.")
    words.append(
        "All corners count equally here, those that predict rewards alone too, while a claim compares the pairs that "
        "its statement names (H2: designs that predict images), so that its number is another."
    )
    if (found["response"] == "image_error").any():
        words.append("Designs that predict rewards only have no image error.")
    for note, rows in found[found["note"] != ""].groupby("note", sort=False):
        which = dict.fromkeys(RESPONSES[name].short for name in rows["response"])
        words.append(f"{capital(str(note))} ({', '.join(which)}).")
    words += _counts(means)
    return " ".join(words)


def varies(found: pd.DataFrame) -> bool:
    """Whether an interval of a mixed model is for other tasks than those that were run."""
    models = found[found["estimator"] == "mixed"].dropna(subset="value")
    return bool((models["n"] == models["tasks"]).any())


def _counts(means: pd.DataFrame) -> list[str]:
    """How much entered the contrasts, and how much could not."""
    words = []
    for _, rows in means[means["left_out"] > 0].groupby(["response", "left_out"], sort=False):
        left, name = int(rows["left_out"].iloc[0]), RESPONSES[str(rows["response"].iloc[0])].short
        verb, runs = "is" if left == 1 else "are", ", ".join(dict.fromkeys(rows["data"]))
        words.append(
            f"{plural(left, 'run')} with {name} ({runs}) {verb} not in the contrasts: their seed lacks a corner."
        )
    few = means[(means["seeds"] < FEW_SEEDS * means["tasks"]) & means["low"].notna()]
    if len(few):
        words.append(
            f"Intervals over fewer than {FEW_SEEDS} seeds a task are wide and rest on normal values."
        )
    if means["low"].isna().any():
        words.append("No interval where every task has a single seed.")
    return words
