"""Which class a name in a configuration means, and its version. Torch-free: classes load when they are built.

A built-in component is a row here; one of the user's own is named `package.module:Name`, its class has an
integer attribute `version`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError


@dataclass(frozen=True)
class Entry:
    """A built-in component: where its class is, and the version that enters the ids of runs that use it."""

    path: str
    version: int
    summary: str


MODELS: dict[tuple[str, str], Entry] = {
    ("images", "latent"): Entry("models.rssm:RSSM", 1, "RSSM with image decoder and reward head"),
    ("rewards", "latent"): Entry("models.rssm:RSSM", 1, "RSSM with reward head only"),
    ("rewards", "pixel"): Entry(
        "models.reward_predictor:RewardPredictor", 1, "recurrent reward predictor on frames"
    ),
}
"""Built-in models by (predict, space)."""

PLANNERS: dict[str, Entry] = {
    "cem": Entry("planners.cem:CEM", 1, "cross-entropy method, diagonal Gaussian proposals"),
}

TASK_VERSIONS = {"dmc": 1, "toy": 1}


def suggest(wrong: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the nearest known name, or the empty string."""
    near = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def load(path: str) -> Any:
    """The object that `package.module:Name` names.

    Raises:
        UserError: the module or the name does not exist; says which.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise UserError(f"{path}: no module {error.name}; is its package installed beside wm?") from error
    except AttributeError as error:
        known = [n for n in dir(importlib.import_module(module)) if not n.startswith("_")]
        raise UserError(f"{path}: module {module} has no {name}{suggest(name, known)}") from error


def model_path(name: str, predict: str | None, space: str | None) -> str:
    """The import path of the model class of a design.

    Raises:
        UserError: no model is registered for the corner; says which there are.
    """
    if name != "auto":
        return name
    entry = MODELS.get((predict or "", space or ""))
    if entry is None:
        have = ", ".join(f"{p}-{s}" for p, s in MODELS)
        raise UserError(f"no model predicts {predict} in {space} space yet; there are {have}")
    return entry.path


def model_version(name: str, predict: str | None, space: str | None) -> int:
    """The version of the model class of a design."""
    if name == "auto":
        model_path(name, predict, space)
        return MODELS[predict or "", space or ""].version
    return _own_version(name)


def planner_path(name: str) -> str:
    """The import path of a planner class."""
    if ":" in name:
        return name
    if name not in PLANNERS:
        raise UserError(f"unknown planner {name}{suggest(name, PLANNERS)}; there are {', '.join(PLANNERS)}")
    return PLANNERS[name].path


def planner_version(name: str) -> int:
    """The version of a planner class."""
    return _own_version(name) if ":" in name else PLANNERS[_known_planner(name)].version


def task_version(name: str) -> int:
    """The version of a task family, or of a task of the user's own."""
    return _own_version(name) if ":" in name else TASK_VERSIONS.get(name.partition("/")[0], 0)


def _known_planner(name: str) -> str:
    planner_path(name)
    return name


def _own_version(path: str) -> int:
    version = getattr(load(path), "version", None)
    if not isinstance(version, int):
        raise UserError(
            f"{path} needs an integer attribute `version`, so that results of two versions never mix"
        )
    return version
