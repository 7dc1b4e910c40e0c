"""Makes runs startable again, and clears away what no plan needs; leaves alone what may have an owner."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import claim
from harness.errors import FailureKind, UserError
from harness.registry import suggest
from harness.rundir import RunDir
from studies.alone import in_study
from studies.cluster.owners import is_gone
from studies.cluster.records import Dispatch
from studies.status import FINISHED
from studies.store import StoredRun, StudyDir
from studies.survey import Seen, survey
from studies.worker import forget_failure

_KINDS = (*FailureKind.__args__, "cancelled", "lost")  # type: ignore[attr-defined]


def reset(
    runs: Sequence[StoredRun],
    *,
    kinds: Sequence[str],
    fresh: bool = False,
    by_name: bool = False,
    required: bool = True,
) -> list[StoredRun]:
    """Makes failed runs pending; they continue from their checkpoint unless `fresh`.

    What only a scheduler knows of them (a lost node, a time limit, a failing setup line) is forgotten too.

    Args:
        runs: from which to choose; only those of their own study.
        kinds: of failure, also `cancelled` and `lost`; none: every failure.
        fresh: archive the run's directory and start anew, diverged and stopped runs too.
        by_name: the user named these runs, so `fresh` applies to finished ones as well, and those that no scheduler
            confirms are retried too, unless a process may own them.
        required: refuse to do nothing.

    Raises:
        UserError: a kind does not exist, nothing is to be retried, or another process owns a run.
    """
    for kind in kinds:
        if kind not in _KINDS:
            raise UserError(
                f"--kind {kind}: no such kind{suggest(kind, _KINDS)}; there are {', '.join(_KINDS)}"
            )
    seen = survey(runs)
    chosen = [one for one in seen if _wanted(one, kinds, fresh=fresh, by_name=by_name)]
    if not chosen and required:
        hint = "; `--fresh --run PREFIX` starts a finished run anew"
        unsure = (
            "; `--take-over --run PREFIX` frees one that nobody confirms, if its process is gone for certain"
        )
        raise UserError(
            "nothing to retry: no selected run has failed"
            + (f" as {', '.join(kinds)}" if kinds else "")
            + (hint if any(one.condition.name in FINISHED for one in seen) else "")
            + (unsure if not all(one.condition.confirmed for one in seen) else "")
        )
    records: dict[Path, Dispatch] = {}
    for one in chosen:
        _make_startable(one.run, fresh=fresh)
        if one.history:  # a scheduler may know something else of it
            study = one.run.path.parent.parent
            records.setdefault(study, Dispatch(study)).mark([one.run.hex], "retried")
    return [one.run for one in chosen]


def commands(runs: Sequence[StoredRun]) -> list[str]:
    """What starts runs again, in the way in which each was last started: `wm submit mine`."""
    studies = {run.path.parent.parent for run in runs}
    submitted = {study: Dispatch(study).assignments for study in studies}
    found = set()
    for run in runs:
        study = run.path.parent.parent
        history = submitted[study].get(run.hex)
        if history:
            executor = " --executor local" if history[-1].array.executor == "local" else ""
            found.add(f"wm submit {study.name}{executor}")
        elif in_study(run.path):
            found.add(f"wm run {study.name}")
        else:
            found.add(f"wm train CONFIG --output-dir {run.path}")
    return sorted(found)


def _wanted(one: Seen, kinds: Sequence[str], *, fresh: bool, by_name: bool) -> bool:
    name = one.condition.name
    doubtful = by_name and not kinds and _is_doubtful(one)
    if one.run.reused_from or (one.condition.queued and not doubtful):
        return False
    if name == "failed":
        return not kinds or one.condition.kind in kinds
    if name in kinds:
        return name in {"cancelled", "lost"}
    gave_up = name == "lost" or (name == "preempted" and by_name)
    if doubtful or (gave_up and one.history and not kinds):
        return True  # `wm submit` leaves it alone, or may have given it up
    if not fresh or kinds or not one.run.path.exists():
        return False
    return name == "diverged" or (by_name and name != "running")


def _is_doubtful(one: Seen) -> bool:
    """Whether no scheduler confirms the state of a run that was given to one, and nobody may be executing it."""
    return bool(one.history) and not one.condition.confirmed and not _may_be_owned(one.run.path)


def _make_startable(run: StoredRun, *, fresh: bool) -> None:
    """Puts aside what is on disk of a run, or its failure; of some failures only a scheduler knows."""
    state = RunDir(run.path).read_state()
    if not (fresh and run.path.exists()) and (state is None or state.state != "failed"):
        return
    held = claim.acquire(run.path, is_gone)
    try:
        if fresh:
            archive(run.path)
        else:
            forget_failure(run.path)
    finally:
        if run.path.exists():
            held.release()


def archive(path: Path) -> Path:
    """Moves a run's directory into its study's history, or to its side; returns where it is now."""
    folder = StudyDir(path.parent.parent).history if in_study(path) else path.parent
    folder.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    target = folder / f"{path.name}.{stamp}"
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{path.name}.{stamp}.{number}"
    return path.rename(target)


def take_over(runs: Sequence[StoredRun], *, by_name: bool) -> list[StoredRun]:
    """Frees runs whose owner this machine cannot see; never one whose process it sees alive.

    Raises:
        UserError: the runs were not named one by one, or an owner lives.
    """
    if not by_name:
        raise UserError("--take-over frees runs that you name: add --run PREFIX")
    freed = []
    for run in runs:
        owner = claim.current(run.path)
        if owner is not None and claim.is_visible(owner) and claim.is_alive(owner):
            raise UserError(f"{run.id} is owned by {owner}, which is alive; end that first")
        if _may_be_owned(run.path):  # also by a claim that nobody can read
            claim.take_over(run.path)
            freed.append(run)
    return freed


@dataclass(frozen=True)
class Rubbish:
    """Something that `wm clean` would delete, and why."""

    path: Path
    why: str
    bytes: int


def rubbish(study: StudyDir, *, checkpoints: bool, frames: bool) -> list[Rubbish]:
    """What a study no longer needs: runs of no plan; on request checkpoints and frames of finished runs.

    A run that another process owns, or may own, is never listed.
    """
    return list(_rubbish(study, checkpoints=checkpoints, frames=frames))


def _rubbish(study: StudyDir, *, checkpoints: bool, frames: bool) -> Iterator[Rubbish]:
    planned = {run.hex for run in study.planned}
    borrowed = _borrowed(study)
    for hexadecimal, path in study.on_disk.items():
        if _may_be_owned(path):
            continue
        if hexadecimal not in planned:
            if hexadecimal not in borrowed:
                yield Rubbish(path, "in no plan", size(path))
            continue
        state = RunDir(path).read_state()
        if state is None or state.state not in FINISHED:
            continue
        for wanted, part, why in (
            (checkpoints, "checkpoint", "checkpoint"),
            (frames, "replay", "training frames"),
        ):
            if wanted and (path / part).exists():
                yield Rubbish(path / part, f"{why} of a finished run", size(path / part))


def _borrowed(study: StudyDir) -> set[str]:
    """The runs of this study that other studies read in place."""
    others = [StudyDir(plan.parent) for plan in study.root.glob("*/plan.jsonl") if plan.parent != study.path]
    return {run.hex for other in others for run in other.planned if run.reused_from == study.name}


def _may_be_owned(path: Path) -> bool:
    number = claim.highest(path)
    return bool(number) and claim.is_alive(claim.read(path, number))


def size(path: Path) -> int:
    """Bytes under a path."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def delete(items: Sequence[Rubbish]) -> int:
    """Deletes; returns the bytes freed. A directory vanishes from its place before its content goes."""
    for item in items:
        aside = item.path.with_name(f".{item.path.name}.deleted")
        item.path.rename(aside)
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
    return sum(item.bytes for item in items)
