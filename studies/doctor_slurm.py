"""Checks of SLURM, as seen from this machine; `studies.doctor_node` looks at a node."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping

from harness.errors import UserError
from studies.cluster import allocation
from studies.cluster.slurm import Slurm
from studies.cluster.types import Limits, Partition
from studies.findings import Finding

_PROGRAMS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
_MANY = 12  # partitions, of which no more are listed


def examine(slurm: Slurm) -> Iterator[Finding]:
    """Checks SLURM, one finding after another; nothing of it is needed to run a study on this machine."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if len(missing) == len(_PROGRAMS):
        yield Finding("slurm", ok=True, detail="none here; wm submit --executor local uses this machine")
        return
    if missing:
        remedy = "install SLURM's client programs, or load their module"
        yield Finding("slurm", ok=False, detail=f"no {', '.join(missing)}", remedy=remedy, needed=False)
        return
    try:
        limits = slurm.limits()
        configuration = slurm.configuration or {}
    except UserError as error:
        remedy = "ask the cluster's administrators; until it answers, wm status says `unconfirmed`"
        words = str(error).splitlines()[0]
        yield Finding("slurm controller", ok=False, detail=words, remedy=remedy, needed=False)
        return
    version = configuration.get("SLURM_VERSION", "of unknown version")
    detail = f"{configuration.get('ClusterName', '?')} answers, SLURM {version}"
    yield Finding("slurm controller", ok=True, detail=detail, needed=False)
    yield _queue(slurm)
    yield _accounting(slurm)
    yield _partitions(limits)
    yield _sizes(limits, configuration)
    yield requeueing(configuration)
    yield preemption(configuration)
    if allocation.key() is None:
        detail = "whether they see RUNS and can draw is not known from here"
        remedy = "wm doctor --job examines one by a small job"
        yield Finding("slurm nodes", ok=False, detail=detail, remedy=remedy, needed=False)


def _queue(slurm: Slurm) -> Finding:
    began = time.monotonic()
    tasks = slurm.queue()
    seconds = time.monotonic() - began
    if tasks is None:
        remedy = "ask the cluster's administrators; until it answers, wm status says `unconfirmed`"
        return Finding("slurm queue", ok=False, detail="squeue does not answer", remedy=remedy, needed=False)
    return Finding(
        "slurm queue",
        ok=True,
        detail=f"{len(tasks)} task{'s' * (len(tasks) != 1)} of yours, told in {seconds:.1f} s",
        needed=False,
    )


def _accounting(slurm: Slurm) -> Finding:
    began = time.monotonic()
    works = slurm.accounting(["1"], time.time() - 3600) is not None
    seconds = time.monotonic() - began
    if works:
        return Finding("slurm accounting", ok=True, detail=f"sacct answers in {seconds:.1f} s", needed=False)
    if slurm.has_accounting:
        detail, remedy = "sacct does not answer", "ask the cluster's administrators"
    else:
        detail = "there is none"
        remedy = "nothing to do; but why a job ended is then known only as far as it said so itself"
    return Finding("slurm accounting", ok=False, detail=detail, remedy=remedy, needed=False)


def _partitions(limits: Limits) -> Finding:
    partitions = list(limits.partitions.values())
    if not any(partition.up for partition in partitions):
        remedy = "see `sinfo`; ask the cluster's administrators"
        return Finding("slurm partitions", ok=False, detail="none is up", remedy=remedy, needed=False)
    words = [_described(partition) for partition in partitions[:_MANY]]
    if len(partitions) > _MANY:
        words.append(f"and {len(partitions) - _MANY} more")
    return Finding("slurm partitions", ok=True, detail="; ".join(words), needed=False)


def _described(partition: Partition) -> str:
    """`gpu (default): 24 h, 8 nodes with up to 4 GPUs and 512 GB`."""
    name = partition.name + " (default)" * partition.default
    if not partition.up:
        return f"{name}: down"
    time_limit = "no time limit" if partition.hours is None else f"{partition.hours:g} h"
    has = [f"{partition.gpus} GPU{'s' * (partition.gpus != 1)}"] if partition.gpus else []
    if partition.memory_gb is not None:
        has.append(f"{partition.memory_gb:.3g} GB")
    most = f" with up to {' and '.join(has)}" if has else ""
    without = "" if partition.gpus else " without GPUs"
    return f"{name}: {time_limit}, {partition.nodes} node{'s' * (partition.nodes != 1)}{without}{most}"


def _sizes(limits: Limits, configuration: Mapping[str, str]) -> Finding:
    largest = configuration.get("MaxArraySize", "?")
    detail = f"{limits.max_array_size} task{'s' * (limits.max_array_size != 1)} in an array (MaxArraySize={largest})"
    if limits.max_queued is not None:
        detail += f", {limits.max_queued} tasks in the queue at once"
    return Finding("slurm limits", ok=True, detail=detail, needed=False)


def requeueing(configuration: Mapping[str, str]) -> Finding:
    """Whether a job comes back after a node failure; wm's jobs ask for it."""
    usual = configuration.get("JobRequeue") != "0"
    detail = (
        "jobs come back after a node failure"
        if usual
        else "jobs come back if they ask for it; those of wm do"
    )
    return Finding("slurm requeue", ok=True, detail=detail, needed=False)


def preemption(configuration: Mapping[str, str]) -> Finding:
    """What happens to a job that makes room for another."""
    name = "slurm preemption"
    if configuration.get("PreemptType", "preempt/none") in {"preempt/none", "(null)"}:
        return Finding(name, ok=True, detail="none: no job makes room for another", needed=False)
    mode = configuration.get("PreemptMode", "")
    warned = "preempt_send_user_signal" in configuration.get("SlurmctldParameters", "")
    word = "told in time to write a checkpoint (USR2)" if warned else "not told beforehand"
    if "CANCEL" in mode.upper():
        remedy = "nothing to do: the follow-up job of wm submit submits them again"
        return Finding(
            name, ok=False, detail=f"preempted jobs are cancelled, {word}", remedy=remedy, needed=False
        )
    detail = f"PreemptMode={mode}, {word}"
    if not warned:
        detail += ": a run goes on from its last periodic checkpoint (storage.checkpoint_minutes)"
    return Finding(name, ok=True, detail=detail, needed=False)
