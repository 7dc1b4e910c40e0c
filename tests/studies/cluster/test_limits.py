"""What a cluster grants at most, as SLURM 22.05 and others print it."""

import pytest

from studies.cluster.limits import (
    array_size,
    count_gpus,
    keeps_accounts,
    most_queued,
    parse_configuration,
    parse_hours,
    parse_partitions,
)
from studies.cluster.types import Partition

CONFIGURATION = """\
Configuration data as of 2026-11-22T19:13:07
AccountingStorageEnforce = none
AccountingStorageType   = accounting_storage/slurmdbd
JobRequeue              = 1
MaxArraySize            = 1001
MaxJobCount             = 10000
SchedulerParameters     = sched_interval=1,sched_min_interval=0,bf_interval=1
SLURM_VERSION           = 22.05.8

Slurmctld(primary) at vm is UP
"""


def test_the_configuration():
    found = parse_configuration(CONFIGURATION)
    assert found["MaxArraySize"] == "1001"
    assert found["SchedulerParameters"].endswith("bf_interval=1")
    assert array_size(found) == 1001  # indices 0 to 1000
    assert keeps_accounts(found)


@pytest.mark.parametrize("kind", ["accounting_storage/none", "(null)"])
def test_no_accounting(kind):
    assert not keeps_accounts({"AccountingStorageType": kind})


@pytest.mark.parametrize(
    ("size", "parameters", "tasks"),
    [
        ("1001", "max_array_tasks=200,bf_interval=1", 200),
        ("1001", "max_array_tasks=5000", 1001),
        ("1", "", 1),
        ("0", "", 1),
        ("4000001", "(null)", 4000001),
    ],
)
def test_array_size(size, parameters, tasks):
    assert array_size({"MaxArraySize": size, "SchedulerParameters": parameters}) == tasks


def test_an_unknown_array_size_is_slurms_default():
    assert array_size({}) == 1001


@pytest.mark.parametrize(
    ("accounts", "qualities", "most"),
    [
        ("lab|lab|||\n", "normal|\n", 10000),
        ("lab|lab||50|normal\n", "normal|\nlong|7\n", 50),
        ("lab|lab||50|long\n", "normal|\nlong|7\n", 7),
        ("lab|other||3|\nlab|lab||50|\nlab|lab|gpu|1|\n", "normal|60\n", 50),
        ("lab|lab|||\n", "normal|60\ndebug|1\n", 60),
        (None, None, 10000),
    ],
)
def test_how_much_may_be_queued(accounts, qualities, most):
    assert most_queued(parse_configuration(CONFIGURATION), accounts, qualities) == most


def test_nothing_says_how_much_may_be_queued():
    assert most_queued({}, None, None) is None


PARTITIONS = """\
low*|up|infinite|1|gpu:2|16384
low*|up|infinite|1|(null)|8192+
short|up|30:00|1|gpu:a100:4(S:0-1),nvme:1|512000
down|inact|2-00:00:00|3|(null)|
"""


def test_partitions():
    assert parse_partitions(PARTITIONS) == {
        "low": Partition("low", default=True, hours=None, nodes=2, gpus=2, memory_gb=16.0),
        "short": Partition("short", default=False, hours=0.5, nodes=1, gpus=4, memory_gb=500.0),
        "down": Partition("down", default=False, hours=48.0, nodes=3, gpus=0, up=False),
    }
    assert parse_partitions("") == {}
    assert parse_partitions("sinfo: error: something\n") == {}


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("30:00", 0.5),
        ("12:00:00", 12),
        ("1-00:00:00", 24),
        ("7-12:30:00", 180.5),
        ("60", 1),
        ("infinite", None),
        ("UNLIMITED", None),
        ("n/a", None),
    ],
)
def test_hours(text, hours):
    assert parse_hours(text) == hours


@pytest.mark.parametrize(
    ("gres", "count"),
    [
        ("(null)", 0),
        ("", 0),
        ("gpu", 1),
        ("gpu:8", 8),
        ("gpu:a100:4", 4),
        ("gpu:a100:4(S:0-1),gpu:v100:2(S:2,3),nvme:1", 6),
        ("gpu:1g.10gb:7(S:0)", 7),
        ("gpu:0", 0),
        ("shard:16", 0),
    ],
)
def test_gpus(gres, count):
    assert count_gpus(gres) == count
