"""Whether a scheduler says that the owner of a run is gone, where its process cannot be seen from here.

Conservative: a question that nobody answers, or an answer that could mean another job, leaves the owner alive.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from harness import claim
from harness.claim import Owner
from harness.rundir import read_state
from studies.cluster.types import Accounted, Cluster, Queued

UNHEARD_SECONDS = 300.0
"""A job that neither the queue nor the accounting knows is gone once nothing was heard of it for so long."""

RUNAWAY_SECONDS = 3600.0
"""A job that the queue does not list is gone once nothing was heard of it for so long, whatever the accounting says:
what it never heard the end of, it calls running for ever."""

SKEW_SECONDS = 120.0
"""By how much the clocks of two machines may differ."""


_Answer = TypeVar("_Answer", Queued, Accounted)


def key_of(owner: Owner) -> str | None:
    """What SLURM calls the task that an owner runs in; None if it runs in none."""
    return owner.job if owner.job is None or owner.task is None else f"{owner.job}_{owner.task}"


def is_listed(owner: Owner, queue: Mapping[str, Queued] | None, name: str | None = None) -> bool:
    """Whether the queue lists the owner's task as running, under its name if that is known."""
    listed = _under(name, (queue or {}).get(key_of(owner) or ""))
    return listed is not None and listed.runs and not _restarted(owner, listed)


def owner_is_gone(
    owner: Owner,
    queue: Mapping[str, Queued] | None,
    accounting: Mapping[str, Accounted] | None,
    now: float,
    *,
    heartbeat: float | None = None,
    name: str | None = None,
) -> bool:
    """Whether answers of SLURM mean that an owner is gone for certain.

    Args:
        owner: as it claimed the run.
        queue: None if it did not answer.
        accounting: None if it did not answer or was not asked.
        now: unix seconds.
        heartbeat: when the owner last wrote the run's state.
        name: of the owner's job, if known; a job of another name only has the same number.
    """
    key = key_of(owner)
    if key is None or queue is None:
        return False
    listed = _under(name, queue.get(key))
    if listed is not None:
        return not listed.runs or _restarted(owner, listed)
    if accounting is None:
        return False
    record = _under(name, accounting.get(key))
    unheard = now - max(owner.time, heartbeat or 0.0)
    if record is None:
        return unheard > UNHEARD_SECONDS
    if record.start is not None and record.start > owner.time + SKEW_SECONDS:
        return True  # it was started anew, or its number was used again
    return is_of(owner, record) if record.terminal else unheard > RUNAWAY_SECONDS


def is_of(owner: Owner, record: Accounted) -> bool:
    """Whether a record of an end can be that of the owner: not of an earlier start, or of an earlier job."""
    return record.end is None or record.end > owner.time - SKEW_SECONDS


def is_gone(owner: Owner, run_dir: Path, cluster: Cluster | None = None) -> bool:
    """Whether the owner of a run is known to be gone: asks the queue once, and the accounting once if need be.

    Args:
        owner: whose process cannot be seen from here.
        run_dir: what it owns.
        cluster: which is asked; by default SLURM.
    """
    key = key_of(owner)
    if key is None or owner.job is None or claim.is_of_another_user(run_dir):
        return False
    me = claim.this_process()
    if key == key_of(me) and owner.cluster in {None, me.cluster}:
        # of two starts of one task, the earlier has ended
        return _count(owner.restart) < _count(me.restart)
    if cluster is None:
        from studies.cluster.slurm import Slurm

        cluster = Slurm()
    queue = cluster.queue() if owner.cluster in {None, cluster.cluster_name} else None
    if queue is None:
        return False
    asked = None if key in queue else records_of(cluster, [owner.job], owner.time - UNHEARD_SECONDS)
    state = read_state(run_dir)
    heartbeat = state.heartbeat if state else None
    return owner_is_gone(owner, queue, asked, time.time(), heartbeat=heartbeat)


def records_of(cluster: Cluster, jobs: Collection[str], since: float) -> dict[str, Accounted] | None:
    """What the accounting says of some jobs; nothing where a cluster keeps no accounts, None if it did not answer.

    Args:
        cluster: which is asked.
        jobs: as for `Cluster.accounting`.
        since: likewise.
    """
    found = cluster.accounting(jobs, since)
    return {} if found is None and not cluster.has_accounting else found


def _under(name: str | None, found: _Answer | None) -> _Answer | None:
    return found if found is None or name is None or found.name == name else None


def _restarted(owner: Owner, listed: Queued) -> bool:
    return listed.restarts is not None and listed.restarts > _count(owner.restart)


def _count(restart: str | None) -> int:
    return int(restart) if restart and restart.isdigit() else 0
