"""What a cluster grants at most, read from what `scontrol`, `sinfo` and `sacctmgr` print. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from studies.cluster.types import Partition

PARTITIONS = ("sinfo", "--noheader", "--format=%P|%a|%l|%D|%G|%m")
CONFIGURATION = ("scontrol", "show", "config")
_DEFAULT_ARRAY = 1001


def parse_configuration(text: str) -> dict[str, str]:
    """What `scontrol show config` printed, by key."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def keeps_accounts(configuration: Mapping[str, str]) -> bool:
    """Whether the cluster has an accounting that `sacct` reads."""
    return configuration.get("AccountingStorageType", "accounting_storage/slurmdbd").endswith("slurmdbd")


def array_size(configuration: Mapping[str, str]) -> int:
    """How many tasks an array may have: its indices start at 0, and MaxArraySize is above the largest. Where arrays
    are switched off (0), an array of one is still a plain job.
    """
    largest = _number(configuration.get("MaxArraySize", "")) or _DEFAULT_ARRAY
    if configuration.get("MaxArraySize") == "0":
        return 1
    limit = re.search(r"\bmax_array_tasks=(\d+)", configuration.get("SchedulerParameters", ""))
    return max(1, min(largest, int(limit[1]) if limit else largest))


def most_queued(configuration: Mapping[str, str], accounts: str | None, qualities: str | None) -> int | None:
    """How many tasks a user may have in the queue at once; None if nothing says so.

    Args:
        configuration: of `parse_configuration`.
        accounts: lines `default account|account|partition|MaxSubmit|default QOS`, one for each of the user's
            associations; those of the default account count. None if they could not be asked.
        qualities: lines `QOS|MaxSubmitPU`; the default one counts. None if they could not be asked.
    """
    limits = [_number(configuration.get("MaxJobCount", ""))]
    defaults = set()
    for line in (accounts or "").splitlines():
        default, account, partition, most, quality = (line.split("|") + [""] * 5)[:5]
        if account == default and not partition:
            limits.append(_number(most))
            defaults.add(quality)
    for line in (qualities or "").splitlines():
        name, _, most = line.partition("|")
        if name in (defaults - {""} or {"normal"}):
            limits.append(_number(most))
    return min((limit for limit in limits if limit is not None), default=None)


def most_queued_of(accounts: str | None, qualities: str | None) -> dict[tuple[str, str], int]:
    """How many tasks a user may have in the queue under each account and QOS, by ("account" or "qos", name).

    Args:
        accounts: as `most_queued`.
        qualities: as `most_queued`.
    """
    found = {}
    for line in (accounts or "").splitlines():
        _, account, partition, most, _ = (line.split("|") + [""] * 5)[:5]
        if not partition and (number := _number(most)) is not None:
            found["account", account] = number
    for line in (qualities or "").splitlines():
        name, _, most = line.partition("|")
        if (number := _number(most)) is not None:
            found["qos", name] = number
    return found


def parse_partitions(text: str) -> dict[str, Partition]:
    """What `PARTITIONS` printed, by name: a line for each kind of node in each partition."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) < 5:
            continue
        name, available, limit, nodes, gres, megabytes = ([field.strip() for field in fields] + [""])[:6]
        default = name.endswith("*")
        name = name.removesuffix("*")
        before = found.get(name)
        found[name] = Partition(
            name=name,
            default=default,
            hours=parse_hours(limit),
            nodes=(_number(nodes) or 0) + (before.nodes if before else 0),
            gpus=max(count_gpus(gres), before.gpus if before else 0),
            up=available == "up",
            memory_gb=max((_number(megabytes) or 0) / 1024, (before and before.memory_gb) or 0.0) or None,
        )
    return found


def parse_hours(text: str) -> float | None:
    """A time limit as SLURM writes it (`30:00`, `12:00:00`, `1-00:00:00`) in hours; None for no limit."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part) if part else 0 for part in match.groups())
    if match[3] is None:  # a single number is minutes, or hours behind days
        return days * 24 + seconds if match[1] else seconds / 60
    return days * 24 + hours + minutes / 60 + seconds / 3600


def count_gpus(gres: str) -> int:
    """GPUs in a node's generic resources, such as `gpu:a100:4(S:0-1),nvme:1`."""
    entries = re.sub(r"\([^)]*\)", "", gres).split(",")
    counts = (_number(entry.rpartition(":")[2]) for entry in entries if entry.split(":")[0] == "gpu")
    return sum(1 if count is None else count for count in counts)


def _number(text: str) -> int | None:
    """A number, with or without a unit behind it; None for none or `UNLIMITED`."""
    match = re.match(r"\d+", text.strip())
    return int(match[0]) if match else None
