"""Measures the runs of a study again, one after another: what `wm evaluate` does with more than one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import RunError, UserError
from harness.registry import suggest
from harness.rundir import RunDir
from studies import store

Tell = Callable[[int, str], None]
"""Told how many runs are finished, and the id of the next one; the empty string at the end."""


@dataclass(frozen=True)
class Targets:
    """Which runs are meant.

    Attributes:
        runs: their directories, each once.
        one: a single run was named, no study.
        unfinished: runs of the studies that were chosen but are not done.
        without_model: runs of the studies of agents without a model, which forecast nothing.
    """

    runs: list[Path]
    one: bool
    unfinished: int = 0
    without_model: int = 0


@dataclass
class Outcome:
    """What came of it: `results` as of `harness.evaluate.evaluate_run`, and by run why the others failed."""

    results: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def failed_alike(self) -> dict[str, list[str]]:
        """The failed runs by why, which does not name them."""
        groups: dict[str, list[str]] = {}
        for run, error in self.failures.items():
            groups.setdefault(error.removeprefix(f"{run}: ").replace(run, "RUN"), []).append(run)
        return groups


def targets(
    names: Sequence[str], root: Path, only: list[str], prefixes: list[str], *, strict: bool
) -> Targets:
    """The runs that names of studies and of runs mean; of a study its finished runs with a model.

    Args:
        names: studies under RUNS or their files, and runs by the start of their ids or by their directories.
        root: RUNS.
        only: conditions on the runs of the studies, as of `store.select`.
        prefixes: likewise.
        strict: see `store.open_study`.

    Raises:
        UserError: a name means nothing, or nothing is left to measure.
    """
    runs: dict[Path, None] = {}
    unfinished = without_model = studies = 0
    for name in names:
        study = _study(name, root, strict=strict)
        if study is None:
            runs[_run(name, root, strict=strict)] = None
            continue
        studies += 1
        for run in store.select(study.planned, only, prefixes):
            if run.config["agent"] != "model":
                without_model += 1
            elif _is_done(run.path):
                runs[run.path] = None
            else:
                unfinished += 1
    if (only or prefixes) and not studies:
        raise UserError("--only and --run choose among the runs of a study; name one")
    if not runs:
        raise UserError(f"no run of {' '.join(names)} is finished yet ({unfinished} are not)")
    return Targets(list(runs), not studies and len(runs) == 1, unfinished, without_model)


def evaluate_all(runs: Sequence[Path], tell: Tell, **request: Any) -> Outcome:
    """Evaluates runs; one that fails does not stop the others.

    Args:
        runs: their directories.
        tell: progress.
        request: as of `harness.evaluate.evaluate_run`.
    """
    from harness.evaluate import evaluate_run

    outcome = Outcome()
    for number, path in enumerate(runs):
        tell(number, path.name)
        try:
            outcome.results.append(evaluate_run(RunDir(path), **request))
        except (UserError, RunError) as error:
            outcome.failures[path.name] = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            outcome.failures[path.name] = f"{type(error).__name__}: {error}"
    tell(len(runs), "")
    return outcome


def _study(name: str, root: Path, *, strict: bool) -> store.StudyDir | None:
    """The study of a name, if it is one."""
    try:
        return store.open_study(name, root, strict=strict)
    except UserError:
        if Path(name).suffix in {".yaml", ".yml"}:
            raise
        return None


def _run(name: str, root: Path, *, strict: bool) -> Path:
    try:
        return store.find_run(name, root, strict=strict)
    except UserError as error:
        hint = suggest(name, [study.name for study in store.studies(root)])
        raise UserError(f"{error}{hint}") from error


def _is_done(path: Path) -> bool:
    state = RunDir(path).read_state()
    return state is not None and state.state == "done"
