"""Which class a name in a configuration means, and its version. Torch-free: classes load when they are built.

A built-in component is a row here; one of the user's own is named `package.module:Name`, its class has an
integer attribute `version`.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.errors import UserError
from harness.places import where_in


@dataclass(frozen=True)
class Entry:
    """A built-in component: where its class is, and the version that enters the ids of runs that use it."""

    path: str
    version: int
    summary: str


@dataclass(frozen=True)
class PlannerEntry(Entry):
    """A built-in planner.

    Attributes:
        discrete: where the class for discrete actions is; None if it has none.
        uses: the fields of `PlannerConfig` that its class takes as keywords, beyond its space and its budget.
        budget: the fields of the budget that it uses beyond `horizon`.
    """

    discrete: str | None = None
    uses: tuple[str, ...] = ()
    budget: tuple[str, ...] = ("iterations", "proposals")


MODELS: dict[tuple[str, str, str], Entry] = {
    ("images", "latent", "standard"): Entry("models.rssm:RSSM", 1, "RSSM with image decoder and reward head"),
    ("rewards", "latent", "standard"): Entry("models.rssm:RSSM", 1, "RSSM with reward head only"),
    ("images", "pixel", "standard"): Entry("models.sv2p:SV2P", 2, "SV2P: CDNA frames from a recurrent tower"),
    ("images", "latent", "window"): Entry(
        "models.windowed:WindowedRSSM", 1, "RSSM whose belief has seen the last model.context columns only"
    ),
    ("rewards", "latent", "window"): Entry(
        "models.windowed:WindowedRSSM", 1, "RSSM with reward head only, and the same window"
    ),
    ("rewards", "pixel", "standard"): Entry(
        "models.reward_predictor:RewardPredictor", 2, "recurrent reward predictor on frames"
    ),
    ("rewards", "pixel", "feedforward"): Entry(
        "models.feedforward:FeedForward", 2, "feed-forward reward predictor on frames"
    ),
    ("rewards", "pixel", "actions"): Entry(
        "models.feedforward:ActionsOnly", 1, "reward predictor that sees actions only: a baseline"
    ),
}
"""Built-in models by (predict, space, variant)."""

PLANNERS: dict[str, PlannerEntry] = {
    "cem": PlannerEntry(
        "planners.cem:CEM",
        1,
        "cross-entropy method: Gaussian proposals, or one categorical per step",
        discrete="planners.discrete:DiscreteCEM",
        uses=(
            "elite_fraction", "elites", "covariance", "refit", "action", "warm_start", "initial_std", "std_floor",
        ),
    ),
    "icem": PlannerEntry(
        "planners.icem:ICEM",
        1,
        "improved CEM: coloured noise, shrinking population, kept elites",
        uses=(
            "elite_fraction", "elites", "action", "initial_std", "std_floor", "noise_exponent", "shrink", "kept_elites",
        ),
    ),
    "mppi": PlannerEntry(
        "planners.mppi:MPPI",
        1,
        "path integral control after PDDM: correlated noise, plans weighted by exp(return)",
        uses=("warm_start", "initial_std", "reward_weight", "smoothing"),
    ),
    "shooting": PlannerEntry(
        "planners.shooting:RandomShooting",
        1,
        "random shooting: the best of uniformly random plans",
        discrete="planners.shooting:RandomShooting",
        budget=("proposals",),
    ),
}  # fmt: skip
"""Built-in planners by name."""

OBJECTIVES = ("reward", "undiscounted", "random")
"""The names in `planners.objectives`, without torch."""


class Probe(NamedTuple):
    """What the content of the probe datasets depends on beyond the task and the configuration."""

    version: int  # of the behaviours in `harness.datasets.probe`: probes of two versions are two datasets
    planner: str  # of the noisy oracle


PROBE = Probe(1, "cem")

ENV_FIELDS = {
    "dmc": ("camera", "shadow_size", "antialiasing"),
    "atari": ("sticky",),
    "gym": (),
    "toy": (),
}
"""By family of tasks, the fields of `EnvConfig` that it heeds beyond those that all do; one's own may heed any."""

TASK_VERSIONS = {"dmc": 1, "toy": 1, "gym": 1, "atari": 1}


def suggest(wrong: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the nearest known name, or the empty string."""
    near = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def load(path: str) -> Any:
    """The object that `package.module:Name` names.

    Raises:
        UserError: the module or the name does not exist, or the module raises; says which, and where.
    """
    module, _, name = path.partition(":")
    try:
        loaded = importlib.import_module(module)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module}.".startswith(f"{missing}."):
            near = suggest(module, _beside(module))
            raise UserError(f"{path}: no module {missing}{near or _INSTALLED}") from error
        raise UserError(f"{path} cannot be imported: {where_in(error, [path])}") from error
    if not hasattr(loaded, name):
        known = [one for one in vars(loaded) if not one.startswith("_")]
        raise UserError(f"{path}: module {module} has no {name}{suggest(name, known)}")
    return getattr(loaded, name)


_INSTALLED = "; is its package installed beside wm?"


def _beside(module: str) -> list[str]:
    """The modules of the package that a module should be in."""
    package = module.rpartition(".")[0]
    places = getattr(sys.modules.get(package), "__path__", [])
    return [f"{package}.{one.name}" for one in pkgutil.iter_modules(places)]


def model_entry(predict: str | None, space: str | None, variant: str) -> Entry:
    """The built-in model of a design.

    Raises:
        UserError: there is none; says which there are.
    """
    entry = MODELS.get((predict or "", space or "", variant))
    if entry is None:
        variants = [v for p, s, v in MODELS if (p, s) == (predict, space)]
        if variants:
            have = ", ".join(variants)
            raise UserError(f"model.variant {variant} is no form of {predict}-{space}; there are {have}")
        have = ", ".join(dict.fromkeys(f"{p}-{s}" for p, s, _ in MODELS))
        raise UserError(f"no model predicts {predict} in {space} space; there are {have}")
    return entry


def planner_path(name: str, *, discrete: bool = False) -> str:
    """The import path of a planner class.

    Raises:
        UserError: there is none of that name, or it has no form for discrete actions.
    """
    if ":" in name:
        return name
    if name not in PLANNERS:
        raise UserError(f"unknown planner {name}{suggest(name, PLANNERS)}; there are {', '.join(PLANNERS)}")
    entry = PLANNERS[name]
    if not discrete:
        return entry.path
    if entry.discrete is None:
        have = ", ".join(one for one, row in PLANNERS.items() if row.discrete)
        raise UserError(f"planner {name} has no form for discrete actions; {have} have")
    return entry.discrete


def planner_version(name: str) -> int:
    """The version of a planner class."""
    return own_version(name) if ":" in name else PLANNERS[_known_planner(name)].version


def task_version(name: str) -> int:
    """The version of a task family, or of a task of the user's own."""
    return own_version(name) if is_own_task(name) else TASK_VERSIONS.get(name.partition("/")[0], 0)


def is_own_task(name: str) -> bool:
    """Whether a task's name is `package.module:Name`; `gym/package.module:Id-v0` is one of Gymnasium's."""
    return ":" in name and "/" not in name


def _known_planner(name: str) -> str:
    planner_path(name)
    return name


def own_version(path: str) -> int:
    """The version that a component of the user's own states.

    Raises:
        UserError: it states none.
    """
    version = getattr(load(path), "version", None)
    if not isinstance(version, int):
        raise UserError(
            f"{path} needs an integer attribute `version`, so that results of two versions never mix"
        )
    return version
