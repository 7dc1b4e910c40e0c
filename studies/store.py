"""Studies on disk: RUNS, a study's directory, its frozen plan, and runs by the start of their ids."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.registry import suggest
from harness.rundir import read_jsonl

_HEX = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run of a frozen plan.

    Attributes:
        config: as plan.jsonl holds it.
        path: its directory, which may not exist yet; in another study if it is reused from there.
        reused_from: the study whose run is read in place, if any.
    """

    id: str
    hex: str
    design: str
    task: str
    seed: int
    config: dict[str, Any]
    path: Path
    reused_from: str | None = None


class StudyDir:
    """``RUNS/<study>/``: paths and readers."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.name = path.name
        self.study_file = self.path / "study.yaml"
        self.plan_file = self.path / "plan.jsonl"
        self.runs = self.path / "runs"
        self.history = self.path / "history"
        self.report = self.path / "report"

    @property
    def root(self) -> Path:
        """RUNS."""
        return self.path.parent

    @cached_property
    def planned(self) -> list[StoredRun]:
        """The runs of the frozen plan, in its order.

        Raises:
            UserError: there is no plan, or it cannot be read.
        """
        if not self.plan_file.exists():
            raise UserError(
                f"{self.path}: there is no plan yet; `wm run` or `wm plan` with the study's file makes it"
            )
        homes: dict[str | None, dict[str, Path]] = {}
        runs: list[StoredRun] = []
        try:
            for line in read_jsonl(self.plan_file):
                source = line.get("reused_from")
                if source not in homes:
                    homes[source] = StudyDir(self.root / source).on_disk if source else self.on_disk
                home = self.root / source / "runs" if source else self.runs
                path = homes[source].get(line["hex"], home / line["id"])
                names = (line["id"], line["hex"], line["design"], line["task"], line["seed"])
                runs.append(StoredRun(*names, line["config"], path, source))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.plan_file}:{len(runs) + 1}: not a planned run ({error!r}); plan again"
            ) from error
        return runs

    @property
    def on_disk(self) -> dict[str, Path]:
        """The run directories that exist, by hex: a run whose design was renamed is found all the same."""
        try:
            names = sorted(os.listdir(self.runs))  # noqa: PTH208 - thousands of names, no paths needed
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {name[-12:]: self.runs / name for name in names if _HEX.fullmatch(name[-12:])}


def runs_root(option: Path | None) -> Path:
    """RUNS: `--runs`, else $WM_RUNS, else ./runs; absolute."""
    return (option or Path(os.environ.get("WM_RUNS") or "runs")).absolute()


def studies(root: Path) -> list[StudyDir]:
    """The studies under RUNS that have a plan, by name."""
    return [StudyDir(plan.parent) for plan in sorted(root.glob("*/plan.jsonl"))]


def open_study(name: str, root: Path) -> StudyDir:
    """The study of that name under RUNS, or the one that a path to a study file or its directory means.

    Raises:
        UserError: there is none; suggests the nearest name.
    """
    given = Path(name)
    for path in (root / name, given, root / given.stem):
        if (path / "plan.jsonl").exists():
            return StudyDir(path.absolute())
    known = [study.name for study in studies(root)]
    have = f"; there are {', '.join(known)}" if known else " (it holds none yet)"
    raise UserError(f"no study {name} under {root}{suggest(given.stem, known) or have}")


def find_run(text: str, root: Path) -> Path:
    """The directory of the run whose id or hex starts with a text, in any study; or of a path to it.

    Raises:
        UserError: there is none, or several (all are listed).
    """
    given = Path(text)
    if (given / "run.yaml").exists():
        return given.absolute()
    found = sorted(path for path in _all_runs(root) if matches(path.name, text))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(
            f"no run under {root} has an id or a hex that starts with {text}; `wm status STUDY` lists them"
        )
    listed = "\n".join(f"  {path.parent.parent.name}/{path.name}" for path in found[:20])
    more = f"\n  and {len(found) - 20} more" if len(found) > 20 else ""
    raise UserError(f"{text} could mean {len(found)} runs; write more of one id:\n{listed}{more}")


def matches(run_id: str, prefix: str) -> bool:
    """Whether the id or its hex starts with a text; ``study/id`` is read as the id."""
    prefix = prefix.rpartition("/")[2]
    return run_id.startswith(prefix) or run_id[-12:].startswith(prefix)


def select(runs: list[StoredRun], only: list[str], prefixes: list[str]) -> list[StoredRun]:
    """The runs that every `--only field=glob` and any `--run PREFIX` selects.

    Raises:
        UserError: a condition has no `=`, names no field, or nothing is selected.
    """
    chosen = [run for run in runs if not prefixes or any(matches(run.id, prefix) for prefix in prefixes)]
    for condition in only:
        name, equals, wanted = condition.partition("=")
        if not equals:
            raise UserError(
                f"--only {condition}: write it as field=value, such as --only task=dmc/cartpole-swingup"
            )
        patterns = wanted.split(",")
        chosen = [
            run
            for run in chosen
            if any(fnmatchcase(value, p) for p in patterns for value in _values(run, name))
        ]
    if runs and not chosen:
        words = [f"--only {text}" for text in only] + [f"--run {text}" for text in prefixes]
        raise UserError(f"{' '.join(words)}: selects none of the {len(runs)} runs")
    return chosen


def _values(run: StoredRun, name: str) -> Iterator[str]:
    """How a field's value may be written: one of the plan's own, or a dotted field of the configuration."""
    if name in {"design", "task", "seed", "id", "hex"}:
        yield str(getattr(run, name))
        return
    value: Any = run.config
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            known = [
                "design",
                *(run.config if value is run.config else value if isinstance(value, dict) else ()),
            ]
            raise UserError(f"--only {name}: no such field{suggest(part, known)}")
        value = value[part]
    yield str(value)
    if value is None or isinstance(value, bool):
        yield {None: "null", True: "true", False: "false"}[value]


def _all_runs(root: Path) -> Iterator[Path]:
    for study in sorted(root.glob("*/runs")):
        yield from StudyDir(study.parent).on_disk.values()
