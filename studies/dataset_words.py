"""What `wm dataset` says: counts, why nothing is taken, and which options choose among environments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.datasets.selection import Quota
    from harness.datasets.sources import Found, Kind
    from studies.store import StoredRun


def counted(number: int, noun: str) -> str:
    """``1 episode``, ``2 episodes``."""
    return f"{number} {noun}" + "s" * (number != 1)


def why_nothing(
    kind: Kind, quota: Quota, runs: Sequence[StoredRun], found: Sequence[Found], waiting: set[str]
) -> str:
    """Why none of the episodes that some runs kept is asked for, and what to do."""
    if found:
        returns = [one.total_return for one in found]
        ranges = ",".join(map(str, quota.ranges))
        return (
            f"{counted(len(found), 'episode')} there, with returns from {min(returns):.4g} to {max(returns):.4g}, "
            f"none in --returns {ranges}"
        )
    reasons = []
    if late := sum(run.id in waiting for run in runs):
        reasons.append(f"{late} of {counted(len(runs), 'run')} not finished (see `wm status STUDY`)")
    if done := len(runs) - late:
        keep = "storage.evaluation_episodes: true keeps those of the final phase"
        if kind == "replay":
            keep = (
                "storage.training_frames: states keeps training episodes; --from evaluation takes other ones"
            )
        reasons.append(f"{counted(done, 'finished run')} kept none ({keep}, of runs yet to be done)")
    return "; ".join(reasons)


def choosing(differing: Sequence[str], written: Collection[dict[str, Any]]) -> str:
    """The options that select runs of some environment, whose fields are as the runs have written them."""
    words = {None: "null", True: "true", False: "false"}
    conditions = []
    for field_ in differing:
        values = dict.fromkeys(env[field_] for env in written if field_ in env)
        texts = [words[value] if value is None or isinstance(value, bool) else str(value) for value in values]
        conditions += [f"--only env.{field_}={','.join(texts)}"] * bool(texts)
    return " ".join(conditions) or "--run ID"
