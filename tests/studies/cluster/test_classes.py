"""From runs to arrays: every run once, seed by seed, within the limits."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.cluster.classes import (
    Earlier,
    Wanted,
    allocation,
    fitting,
    plan_arrays,
    raised,
    share,
    throttles,
    unfit,
)
from studies.cluster.granting import Granted
from studies.cluster.records import Entry
from studies.cluster.types import Limits, Partition
from studies.store import StoredRun

LIMITS = Limits(max_array_size=1001)
GRANTS = [
    Granted(gpus=1, runs_per_gpu=3),
    Granted(gpus=1, runs_per_gpu=3, exclude="n1"),
    Granted(gpus=4, runs_per_gpu=2),
    Granted(gpus=0, hours=100, partition="short,long"),
    Granted(gpus=1, parallel=4),
    Granted(gpus=1, parallel=4, memory_gb=12, runs_per_gpu=2),
]
PARTITIONS = {
    "short": Partition("short", default=True, hours=12.0, nodes=4, gpus=4),
    "long": Partition("long", default=False, hours=48.0, nodes=4, gpus=4),
    "free": Partition("free", default=False, hours=None, nodes=4, gpus=4),
}


def wanted(seed, granted=GRANTS[0], number=0):
    digits = f"{number:012x}"
    run = StoredRun(f"run-{digits}", digits, "design", "task", seed, {}, Path(f"runs/run-{digits}"))
    return Wanted(run, Entry(digits), granted)


def numbered(pairs):
    return [wanted(seed, granted, number) for number, (seed, granted) in enumerate(pairs)]


def seeds(array):
    return [[one.run.seed for one in task] for task in array.tasks]


pairs = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(GRANTS)), max_size=80)
limits = st.builds(
    Limits,
    max_array_size=st.integers(1, 20),
    max_queued=st.none() | st.integers(0, 40),
    partitions=st.sampled_from([{}, PARTITIONS]),
)


@given(pairs=pairs, limits=limits)
def test_every_run_is_in_one_task_with_runs_of_its_class_in_the_order_of_seeds(pairs, limits):
    runs = numbered(pairs)
    arrays = plan_arrays(runs, limits)
    hexes = [one.run.hex for array in arrays for task in array.tasks for one in task]
    assert sorted(hexes) == sorted(one.run.hex for one in runs)
    for array in arrays:
        assert 1 <= len(array.tasks) <= limits.max_array_size
        assert len({one.granted for task in array.tasks for one in task}) == 1
        assert array.resources.runs_per_gpu == max(len(task) for task in array.tasks)
    for granted in GRANTS:
        tasks = [t for array in arrays for t in array.tasks if t[0].granted == granted]
        order = [(one.run.seed, one.entry.hex) for task in tasks for one in task]
        assert order == sorted(order)
        most = granted.runs_per_gpu if granted.gpus <= 1 else 1
        assert [len(task) for task in tasks[:-1]] == [most] * (len(tasks) - 1)  # only the last may be smaller
    first = [array.tasks[0][0].run.seed for array in arrays]
    assert first == sorted(first)


@given(pairs=pairs, limits=limits, queued=st.integers(0, 50))
def test_what_fits_now_and_what_comes_later_is_all_of_it_in_order(pairs, limits, queued):
    arrays = plan_arrays(numbered(pairs), limits)
    now, later = fitting(arrays, limits, queued)
    assert [task for array in [*now, *later] for task in array.tasks] == [t for a in arrays for t in a.tasks]
    count = sum(len(array.tasks) for array in now)
    if limits.max_queued is None:
        assert (now, later) == (arrays, [])
    else:
        room = max(0, limits.max_queued - queued - 1)  # the follow-up needs a place too
        assert count == min(room, sum(len(array.tasks) for array in arrays))
    for array in [*now, *later]:
        assert array.tasks
        assert array.parallel is None or 1 <= array.parallel <= len(array.tasks)


@given(parallel=st.integers(1, 60), sizes=st.lists(st.integers(1, 30), max_size=12))
def test_shares_keep_to_the_number_and_leave_nothing_unused(parallel, sizes):
    shares = share(parallel, sizes)
    assert all(1 <= one <= size for one, size in zip(shares, sizes, strict=True))
    assert sum(shares) == max(len(sizes), min(parallel, sum(sizes)))


def test_shares_follow_the_sizes():
    assert share(10, [40, 40]) == [5, 5]
    assert share(10, [90, 10]) == [9, 1]
    assert share(10, [100, 2]) == [9, 1]
    assert share(3, [5, 5, 5, 5]) == [1, 1, 1, 1]


def test_one_class_is_one_array_in_the_order_of_seeds():
    arrays = plan_arrays(numbered([(seed, GRANTS[0]) for _ in "ab" for seed in range(3)]), LIMITS)
    assert [seeds(array) for array in arrays] == [[[0, 0, 1], [1, 2, 2]]]
    assert arrays[0].runs == 6
    assert arrays[0].parallel is None


def test_several_classes_take_turns_so_that_an_interrupted_study_is_balanced():
    arrays = plan_arrays(numbered([(seed, g) for g in GRANTS[:2] for seed in range(20)]), LIMITS)
    classes = [array.resources.exclude for array in arrays]
    assert classes == [None, "n1"] * 5
    half = [one.run.seed for array in arrays[:5] for task in array.tasks for one in task]
    assert max(half) <= 12


def test_a_class_with_a_cap_is_not_cut_since_every_array_counts_at_least_one():
    both = numbered([(seed, g) for g in GRANTS[4:] for seed in range(12)])
    arrays = plan_arrays(both, LIMITS)
    assert [(len(array.tasks), array.parallel) for array in arrays] == [(12, 3), (6, 1)]


def test_an_array_larger_than_the_limit_is_cut():
    arrays = plan_arrays(numbered([(seed, Granted()) for seed in range(2000)]), Limits(max_array_size=1000))
    assert [len(array.tasks) for array in arrays] == [1000, 1000]
    assert seeds(arrays[1])[0] == [1000]


@pytest.mark.parametrize(
    ("partition", "hours", "allocations"),
    [(None, 12, 9), ("long", 48, 3), ("short,long", 12, 9), ("free", 100, 1), ("other", 100, 1)],
)
def test_hours_are_cut_to_what_the_partition_allows(partition, hours, allocations):
    limits = Limits(max_array_size=10, partitions=PARTITIONS)
    (array,) = plan_arrays([wanted(0, Granted(hours=100, partition=partition))], limits)
    assert array.resources.hours == hours
    assert array.allocations == allocations
    assert array.tasks[0][0].granted.hours == 100


def test_runs_that_are_cut_to_the_same_hours_share_an_array():
    limits = Limits(max_array_size=10, partitions=PARTITIONS)
    runs = [wanted(0, Granted(hours=20), 0), wanted(0, Granted(hours=30), 1), wanted(0, Granted(hours=3), 2)]
    assert sorted(len(array.tasks) for array in plan_arrays(runs, limits)) == [1, 2]


def test_an_allocation_has_cores_and_memory_for_all_its_runs_and_one_gpu():
    one = Granted(gpus=1, cpus=3, memory_gb=5.5, hours=7)
    both = allocation(one, 4)
    assert (both.gpus, both.cpus, both.memory_gb, both.hours) == (1, 12, 22.0, 7)
    (array,) = plan_arrays([wanted(0, one.model_copy(update={"runs_per_gpu": 4}))], LIMITS)
    assert array.allocation.cpus == 3  # one run is left: it needs no room for four


@pytest.mark.parametrize(
    ("gres", "packed"), [("gpu:1", 2), ("gpu", 2), ("gpu:a100:2", 1), ("gpu:a100:1(S:0),shard:4", 2)]
)
def test_runs_share_a_single_gpu_only(gres, packed):
    granted = Granted(gres=gres, gpus=1, runs_per_gpu=2)
    (array,) = plan_arrays(numbered([(0, granted), (1, granted)]), LIMITS)
    assert array.resources.runs_per_gpu == packed


def test_a_full_queue_takes_nothing():
    arrays = plan_arrays(numbered([(0, GRANTS[0])]), LIMITS)
    assert fitting(arrays, Limits(10, max_queued=5), queued=7) == ([], arrays)
    assert plan_arrays([], LIMITS) == []


def test_memory_is_raised_no_further_than_a_node_goes():
    nodes = {
        "small": Partition("small", default=True, hours=None, nodes=4, gpus=0, memory_gb=20.0),
        "large": Partition("large", default=False, hours=None, nodes=1, gpus=0, memory_gb=64.0),
        "unknown": Partition("unknown", default=False, hours=None, nodes=1, gpus=0),
    }
    limits = Limits(1000, partitions=nodes)
    cases = [
        (24.0, 1.5, None, 20.0),
        (24.0, 1.5, "small, large", 24.0),
        (24.0, 1.5, "unknown", 24.0),
        (48.0, 1.5, "small", 32.0),  # what it had before was more: SLURM says so
        (48.0, 1.0, "small", 48.0),
    ]
    for memory, factor, partition, expected in cases:
        assert raised(Granted(memory_gb=memory, partition=partition), factor, limits).memory_gb == expected


def test_the_limit_of_the_account_and_qos_that_are_named():
    limits = Limits(1000, max_queued=100, max_of={("qos", "long"): 4, ("account", "lab"): 7})
    for resources, size in (({}, 10), ({"account": "lab"}, 6), ({"account": "lab", "qos": "long"}, 3)):
        planned = plan_arrays(numbered([(seed, Granted(**resources)) for seed in range(10)]), limits)
        now, later = fitting(planned, limits, queued=20)
        assert (sum(array.runs for array in now), sum(array.runs for array in later)) == (size, 10 - size)


def test_arrays_in_the_queue_share_a_parallel_with_new_ones():
    earlier = [Earlier("1", 4, left=30), Earlier("2", 4, left=1, waits=False), Earlier("3", 9, left=9)]
    arrays = plan_arrays(numbered((seed, GRANTS[4]) for seed in range(10)), LIMITS, earlier)
    assert [array.parallel for array in arrays] == [1]
    assert throttles(arrays, earlier) == {"1": 2}
    assert throttles([], earlier) == {}


@pytest.mark.parametrize(
    ("granted", "words"),
    [
        (Granted(gpus=8, partition="short, long"), "gpus 8: a node of partition short, long has 4"),
        (Granted(gpus=8, gres="gpu:8"), ""),
        (Granted(gpus=4, memory_gb=1e6), ""),  # nobody says how much a node has
        (Granted(partition="lung"), "partition lung: there is none (did you mean long?)"),
        (Granted(partition="lung", sbatch="clusters=other"), ""),
    ],
)
def test_what_no_node_can_run_is_known_before(granted, words):
    (array,) = plan_arrays([wanted(0, granted)], Limits(10, partitions=PARTITIONS))
    assert unfit(array, Limits(10, partitions=PARTITIONS)).partition(";")[0] == words
    assert not unfit(array, Limits(10))
