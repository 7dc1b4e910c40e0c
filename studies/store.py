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
from harness.rundir import PLAN, SIMULATED, planned_runs, run_directories

_MANY = 12  # values that a message lists
_LISTED = 20  # runs likewise


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run of a frozen plan.

    Attributes:
        config: as plan.jsonl holds it.
        path: its directory, which may not exist yet; in another study if it is reused from there.
        reused_from: the study whose run is read in place, if any.
        study: whose plan it is of; empty: no study's, or its directory tells.
    """

    id: str
    hex: str
    design: str
    task: str
    seed: int
    config: dict[str, Any]
    path: Path
    reused_from: str | None = None
    study: str = ""


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

    @property
    def is_simulated(self) -> bool:
        """Whether `wm simulate` made up its results."""
        return (self.path / SIMULATED).exists()

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
                self.name,
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
    raise _no_study(name, root)


def find(text: str, root: Path, *, strict: bool = False) -> StoredRun:
    """The one run that a text means: the start of an id or hex, in one study if `STUDY/` is before it; or a path.

    A run of a plan counts whether it has begun or not, so that the study in which it has is not silently preferred.
    The configuration of one that has begun is left out: run.yaml holds it.

    Args:
        text: what names it.
        root: RUNS.
        strict: as in `open_study`.

    Raises:
        UserError: there is none, no such study, or there are several (all are listed).
    """
    for given in _as_path(text, strict=strict):
        if (given / "run.yaml").exists():
            return _begun(given.absolute())
    found = {run.path: run for run in _meant(text, root)}
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise UserError(
            f"no run under {root} has an id or a hex that starts with {text}; `wm status STUDY` lists them"
        )
    waits = {path: "" if path.exists() else "  (not begun)" for path in found}
    lines = [f"  {path.parent.parent.name}/{run.id}{waits[path]}" for path, run in found.items()]
    more = f"\n  and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
    listed = "\n".join(sorted(lines)[:_LISTED])
    raise UserError(f"{text} could mean {len(lines)} runs; write one of them like this:\n{listed}{more}")


def find_run(text: str, root: Path, *, strict: bool = False) -> Path:
    """The directory of the run that a text means, as `find` reads it.

    Raises:
        UserError: there is none, it has not begun, or there are several.
    """
    run = find(text, root, strict=strict)
    if not run.path.exists():
        raise UserError(has_not_begun(run))
    return run.path


def has_not_begun(run: StoredRun) -> str:
    """That a planned run has no directory yet, and what makes it begin."""
    return f"{run.id} has not begun yet: wm run {run.path.parent.parent.name} --run {run.hex}"


def called(run: StoredRun, study: StudyDir) -> str:
    """What names a run of a study in every command: `STUDY/HEX`, or its directory in a study that lies in another."""
    return str(run.path) if (study.root / PLAN).exists() else f"{study.name}/{run.hex}"


def matches(run: StoredRun, text: str) -> bool:
    """Whether a text means a run: the start of its id or hex, after `STUDY/` only in that study."""
    study, prefix = _split(text)
    among = study in {"", run.study, run.path.parent.parent.name}
    return among and (run.id.startswith(prefix) or run.hex.startswith(prefix))


def select(runs: list[StoredRun], only: list[str], prefixes: list[str]) -> list[StoredRun]:
    """The runs that every `--only field=glob` and any `--run PREFIX` selects.

    Raises:
        UserError: a condition has no `=` or names no field, a prefix is empty, or nothing is selected.
    """
    for prefix in prefixes:
        if not _split(prefix)[1].strip():
            raise UserError(f"--run {prefix!r}: write the start of a run's id or hex")
    chosen = [run for run in runs if not prefixes or any(matches(run, prefix) for prefix in prefixes)]
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


def _split(text: str) -> tuple[str, str]:
    """The study and the start of an id or hex: `STUDY/ID`, `STUDY/runs/ID` or `ID`."""
    study, _, prefix = text.rpartition("/")
    return study.removesuffix("/runs").rpartition("/")[2], prefix


def _meant(text: str, root: Path) -> Iterator[StoredRun]:
    """The runs that a text may mean, one that a study reads in place from another once for each."""
    wanted, prefix = _split(text)
    homes = {path.parent for pattern in ("*/plan.jsonl", "*/runs") for path in root.glob(pattern)}
    if wanted and wanted not in {home.name for home in homes}:
        raise _no_study(wanted, root)
    for home in sorted(homes):
        if not wanted or home.name == wanted:
            yield from _meant_in(StudyDir(home), prefix)


def _meant_in(study: StudyDir, prefix: str) -> Iterator[StoredRun]:
    for digits, path in study.on_disk.items():
        if path.name.startswith(prefix) or digits.startswith(prefix):
            yield _begun(path)
    with suppress(UserError, OSError):  # a damaged plan of some study is not what was asked about
        if prefix.encode() in study.plan_file.read_bytes():  # much sooner known than parsed
            for run in study.planned:
                if matches(run, prefix):
                    yield _begun(run.path) if run.path.exists() else run


def _begun(path: Path) -> StoredRun:
    return StoredRun(path.name, path.name[-12:], "", "", 0, {}, path)


def _no_study(name: str, root: Path) -> UserError:
    known = [study.name for study in studies(root)]
    have = f"; there are {', '.join(known)}" if known else " (it holds none yet)"
    return UserError(f"no study {name} under {root}{suggest(Path(name).stem, known) or have}")
