"""Why a task waits, in plain words; the scheduler's own word stands behind them. Pure."""

from __future__ import annotations

_LIMIT = "JobArrayTaskLimit"
_ENDED = "other jobs have to end first"
_PLAIN = {
    "Priority": "others come first",
    "Resources": "nothing that fits is free",
    "Dependency": _ENDED,
    "DependencyNeverSatisfied": "waits for a job that will never end so",
    "BeginTime": "not before a time",
    "JobHeldUser": "held by you",
    "JobHeldAdmin": "held by an administrator",
    "JobLaunchFailure": "could not be started",
    "launch failed requeued held": "could not be started, held",
    "ReqNodeNotAvail": "a node that it needs is down or reserved",
    "Reservation": "waits for its reservation",
    "Licenses": "waits for a licence",
    "Cleaning": "its last attempt is being cleaned up",
    "NodeDown": "a node that it needs is down",
    "BadConstraints": "no node has what it asks for",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its QOS is not valid",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is closed",
    "PartitionNodeLimit": "more nodes than its partition allows",
    "PartitionTimeLimit": "more hours than its partition allows",
    "QUEUED": "starts soon",
    "REQUEUED": "starts again soon",
    "REQUEUE_HOLD": "requeued and held",
    "SPECIAL_EXIT": "requeued and held",
}
_PARTS = {
    "TRES": "the limit on cores, memory or GPUs",
    "Cpu": "the limit on cores",
    "Mem": "the limit on memory",
    "Gres": "the limit on GPUs",
    "GRES": "the limit on GPUs",
    "Billing": "the limit of your account's budget",
    "Jobs": "the limit on running jobs",
    "Job": "the limit on jobs",
    "Wall": "the limit on hours",
    "Node": "the limit on nodes",
}


def plain(reason: str, parallel: int | None = None, executor: str = "slurm") -> str:
    """``your `parallel: 2` (JobArrayTaskLimit)``.

    Args:
        reason: as the scheduler says it.
        parallel: of the study's resources.
        executor: `slurm` or `local`.
    """
    words = _words(reason.partition(",")[0].strip(), parallel, executor)
    return f"{words} ({reason})" if words else reason


def _words(reason: str, parallel: int | None, executor: str) -> str:
    if reason == _LIMIT:
        return f"your `parallel: {parallel}`" if parallel else "as many run as may at once"
    if executor == "local" and reason == "Resources":
        return "the cores, memory or GPUs of this machine are taken"
    if reason in _PLAIN:
        return _PLAIN[reason]
    whose = {"QOS": "your QOS", "Assoc": "your account"}
    for start, name in whose.items():
        if reason.startswith(start):
            what = next((text for part, text in _PARTS.items() if part in reason), "a limit")
            return f"{what} of {name}"
    return ""
