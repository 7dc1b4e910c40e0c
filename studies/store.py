"""Studies on disk: RUNS, a study's directory, its frozen plan, and runs by the start of their ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.registry import suggest
from harness.rundir import PLAN, planned_runs, run_directories

_MANY = 12  # values that a message lists


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
    """``RUNS/<study>/``: paths and readers.

    Args:
        path: the study's directory.
        root: RUNS, where the directory is not right below it.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path = path.absolute()
        self.root = (root or path.parent).absolute()
        self.name = path.name
        self.study_file = self.path / "study.yaml"
        self.plan_file = self.path / PLAN
        self.runs = self.path / "runs"
        self.history = self.path / "history"
        self.report = self.path / "report"

    @cached_property
    def planned(self) -> list[StoredRun]:
        """The runs of the frozen plan, in its order.

        Raises:
            UserError: there is no plan, or it is damaged: a part of it would pass the other runs off as unplanned.
        """
        return [
            StoredRun(
                line["id"],
                line["hex"],
                line["design"],
                line["task"],
                line["seed"],
                line["config"],
                path,
                line.get("reused_from"),
            )
            for line, path in planned_runs(self.path)
        ]

    @property
    def on_disk(self) -> dict[str, Path]:
        """The run directories that exist, by hex: a run whose design was renamed is found all the same."""
        return run_directories(self.path)


def runs_root(option: Path | None) -> Path:
    """RUNS: `--runs`, else $WM_RUNS, else ./runs; absolute."""
    return (option or Path(os.environ.get("WM_RUNS") or "runs")).absolute()


def studies(root: Path) -> list[StudyDir]:
    """The studies under RUNS that have a plan, by name."""
    return [StudyDir(plan.parent) for plan in sorted(root.glob("*/plan.jsonl"))]


def open_study(name: str, root: Path, *, strict: bool = False) -> StudyDir:
    """The study of that name under RUNS, or the one that a path to a study file or its directory means.

    Args:
        name: a name or a path.
        root: RUNS.
        strict: RUNS was given with `--runs`: a mere name is no folder of the current directory.

    Raises:
        UserError: there is none, or the file has not been run yet; suggests the nearest name.
    """
    given = Path(name)
    written = root / _name_in(given)
    for path in (root / name, *_as_path(name, strict=strict), written):
        if (path / "plan.jsonl").exists():
            return StudyDir(path.absolute())
    if given.is_file():
        raise UserError(f"{name} has not been run yet: wm run {name}")
    known = [study.name for study in studies(root)]
    have = f"; there are {', '.join(known)}" if known else " (it holds none yet)"
    raise UserError(f"no study {name} under {root}{suggest(given.stem, known) or have}")


def find_run(text: str, root: Path, *, strict: bool = False) -> Path:
    """The directory of the run whose id or hex starts with a text, in any study; or of a path to it.

    Args:
        text: the start of an id or a hex, or a path.
        root: RUNS.
        strict: as in `open_study`.

    Raises:
        UserError: there is none, it has not begun, or there are several (all are listed).
    """
    for given in _as_path(text, strict=strict):
        if (given / "run.yaml").exists():
            return given.absolute()
    found = sorted(path for path in _all_runs(root) if matches(path.name, text))
    if len(found) == 1:
        return found[0]
    if not found:
        _refuse_what_has_not_begun(text, root)
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
        UserError: a condition has no `=` or names no field, a prefix is empty, or nothing is selected.
    """
    for prefix in prefixes:
        if not prefix.rpartition("/")[2].strip():
            raise UserError(f"--run {prefix!r}: write the start of a run's id or hex")
    chosen = [run for run in runs if not prefixes or any(matches(run.id, prefix) for prefix in prefixes)]
    if runs and not chosen:
        words = " ".join(f"--run {text}" for text in prefixes)
        raise UserError(f"{words}: selects none of the {len(runs)} runs")
    for condition in only:
        name, equals, wanted = condition.partition("=")
        if not equals:
            raise UserError(
                f"--only {condition}: write it as field=value, such as --only task=dmc/cartpole-swingup"
            )
        patterns = wanted.split(",")
        kept = [
            run
            for run in chosen
            if any(fnmatchcase(value, p) for p in patterns for value in _values(run, name))
        ]
        if chosen and not kept:
            have = list(dict.fromkeys([*_values(run, name)][-1] for run in chosen))
            listed = ", ".join(have[:_MANY]) + (", ..." if len(have) > _MANY else "")
            among = f"the {len(chosen)} runs" + (" left by the others" if len(chosen) < len(runs) else "")
            raise UserError(f"--only {condition}: selects none of {among}; {name} is {listed} there")
        chosen = kept
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


def _as_path(text: str, *, strict: bool) -> list[Path]:
    """The path that an argument may be; none if it is a mere name and RUNS was given."""
    return [] if strict and os.sep not in text else [Path(text)]


def _name_in(file: Path) -> str:
    """The name that a study file gives its study; the file's own where none can be read."""
    if file.is_file():
        from studies.language.parse import name_in

        return name_in(file) or file.stem
    return file.stem


def _refuse_what_has_not_begun(text: str, root: Path) -> None:
    """Says so if a text means planned runs without a directory."""
    waiting = []
    for study in studies(root):
        with suppress(UserError):  # a damaged plan of some study is not what was asked about
            waiting += [(run, study.name) for run in study.planned if matches(run.id, text)]
    if len(waiting) > 1:
        raise UserError(f"{text} could mean {len(waiting)} planned runs; none has begun yet")
    for run, name in waiting:
        raise UserError(f"{run.id} has not begun yet: wm run {name} --run {run.hex}")


def _all_runs(root: Path) -> Iterator[Path]:
    for study in sorted(root.glob("*/runs")):
        yield from StudyDir(study.parent).on_disk.values()
