"""What happens to a run that failed: numbers written out, and that no sequence of failures goes on for ever."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.rundir import RunState
from studies.cluster.granting import Granted
from studies.cluster.policy import POLICIES, Policy, decide
from studies.cluster.records import Array, Assignment, Entry
from studies.status import Condition

HEX = "0123456789ab"


class Story:
    """A run through failures: every decision to start adds its entry to the history."""

    def __init__(self, policies=POLICIES):
        self.policies = policies
        self.history = []
        self.progress = None  # nothing recorded yet

    def decide(self, condition, nodes=()):
        state = None if self.progress is None else RunState(HEX, "running", progress=self.progress)
        made = decide(HEX, condition, self.history, state, self.policies, nodes)
        if made.start:
            number = len(self.history)
            array = Array(Path(), number, f"wm-{number}", "slurm", float(number), Granted(), ((made.entry,),))
            self.history.append(Assignment(array, 0, made.entry))
        return made

    def fails(self, kind, progress=None, nodes=()):
        self.progress = self.progress if progress is None else progress
        condition = Condition(kind) if kind in {"lost", "preempted"} else Condition("failed", kind)
        return self.decide(condition, nodes)


def started():
    """A run that was submitted and has begun."""
    story = Story()
    story.decide(Condition("pending"))
    story.progress = 0.0
    return story


def test_every_kind_of_failure_has_a_policy():
    from harness.errors import FailureKind

    assert set(POLICIES) == set(FailureKind.__args__) - {"diverged"}


@pytest.mark.parametrize(
    ("condition", "because"),
    [
        (Condition("done"), "done"),
        (Condition("diverged"), "diverged"),
        (Condition("running"), "running"),
        (Condition("running", queued=True), "running"),
        (Condition("pending", queued=True), "queued"),
        (Condition("preempted", queued=True, reason="BeginTime"), "queued"),
        (Condition("failed", "node", queued=True), "queued"),
    ],
)
def test_what_has_a_result_or_an_owner_or_a_place_in_the_queue_is_left(condition, because):
    made = decide(HEX, condition, [], None)
    assert not made.start
    assert made.because == because


def test_a_run_begins_and_continues():
    story = Story()
    made = story.decide(Condition("pending"))
    assert (made.start, made.entry, made.because) == (True, Entry(HEX), "new")
    story.progress = 0.25
    for name in ("preempted", "cancelled"):
        made = story.decide(Condition(name))
        assert (made.start, made.entry) == (True, Entry(HEX, "continue", 0, 0.25))
        assert made.because == f"continues after {name}, 25% done"
    by_wm_run = decide(HEX, Condition("preempted"), [], RunState(HEX, "preempted", progress=0.5))
    assert by_wm_run.entry == Entry(HEX, "continue", 0, 0.5)


def test_memory_is_raised_twice_and_then_it_is_left():
    story = started()
    first, second, third = (story.fails("host-memory") for _ in range(3))
    assert (
        first.because == "retry 1 of 2 after host-memory, with 1.5 times the memory, alone in its allocation"
    )
    assert (first.memory, first.hours, first.alone) == (1.5, 1.0, True)
    assert first.entry == Entry(HEX, "retry:host-memory", 1, 0.0)
    assert (second.memory, second.entry.tries) == (2.25, 2)
    assert not third.start
    assert third.because == "left: failed 3 times with host-memory; mend it, then wm retry"


def test_what_was_raised_stays_raised_until_a_person_retries():
    story = started()
    story.fails("host-memory")
    story.fails("time-limit")  # nothing was gained
    later = story.fails("preempted", 0.5)
    assert (later.memory, later.hours, later.alone) == (1.5, 2.0, True)
    assert later.because == (
        "continues after preempted, 50% done, with 1.5 times the memory, 2 times the hours, alone in its allocation"
    )
    again = story.decide(Condition("pending"))  # wm retry
    assert (again.entry.reason, again.memory, again.hours, again.alone) == ("retried", 1.0, 1.0, False)
    assert story.fails("host-memory").because.startswith("retry 1 of 2")


def test_a_time_limit_is_no_failure_while_the_run_goes_forward():
    story = started()
    for step in range(1, 21):
        made = story.fails("time-limit", step / 100)
        assert (made.start, made.entry.reason, made.entry.tries, made.hours) == (True, "continue", 0, 1.0)
    stuck = [story.fails("time-limit") for _ in range(4)]
    assert [made.start for made in stuck] == [True, True, True, False]
    assert [made.hours for made in stuck[:3]] == [2.0, 4.0, 8.0]
    assert stuck[3].because == "left: failed 4 times with time-limit; mend it, then wm retry"


def test_progress_undoes_the_count_of_nodes_but_not_of_memory():
    story = started()
    nodes = [story.fails("node", nodes=["n1"]) for _ in range(3)]
    assert [made.entry.tries for made in nodes] == [1, 2, 3]
    assert nodes[0].exclude == ("n1",)
    assert nodes[0].because == "retry 1 of 3 after node, not on n1"
    assert story.fails("node", 0.1).entry.tries == 1
    assert story.fails("gpu-memory", 0.2).start
    assert not story.fails("gpu-memory", 0.3).start


def test_progress_counts_only_beyond_what_was_ever_reached():
    story = started()
    story.fails("node", 0.5)
    story.fails("node", 0.3)  # what came after the last checkpoint is lost
    assert story.fails("node", 0.45).entry.tries == 3


def test_lost_counts_as_killed():
    story = started()
    assert story.fails("lost").because == "retry 1 of 2 after lost"
    assert story.fails("killed").because == "retry 2 of 2 after killed"
    assert story.fails("lost").because == "left: lost 3 times; mend it, then wm retry"


@pytest.mark.parametrize("kind", ["code", "disk", "corrupt", "setup", "unheard-of"])
def test_what_a_person_must_mend_is_left(kind):
    made = started().fails(kind)
    assert not made.start
    assert made.because == f"left: failed with {kind}; mend it, then wm retry"


def test_a_profile_may_say_otherwise():
    story = Story({"code": Policy(retries=1, hours=3.0)})
    assert story.fails("code").hours == 3.0
    assert not story.fails("code").start
    assert not story.fails("node").start  # what is not named is left


KINDS = [*(kind for kind, policy in POLICIES.items() if policy.retries is not None), "lost"]


@given(st.lists(st.tuples(st.sampled_from([*KINDS, "preempted"]), st.floats(-0.1, 0.1)), max_size=60))
def test_without_progress_every_sequence_of_failures_ends(events):
    """Between two gains, each kind with a limit is tried at most that often, whatever comes in between."""
    story = started()
    starts = dict.fromkeys(POLICIES, 0)
    best, raised = 0.0, (1.0, 1.0)
    for kind, gain in events:
        progress = max(0.0, story.progress + gain)
        if progress > best:
            best = progress
            starts |= dict.fromkeys(("node", "time-limit"), 0)
        made = story.fails(kind, progress)
        if not made.start:
            assert POLICIES["killed" if kind == "lost" else kind].retries is not None
            continue
        assert (made.memory, made.hours) >= raised
        assert made.memory >= raised[0]
        assert made.hours >= raised[1]
        raised = made.memory, made.hours
        if made.entry.reason.startswith("retry:"):
            starts[made.entry.reason.removeprefix("retry:")] += 1
    for kind, number in starts.items():
        limit = POLICIES[kind].retries
        assert limit is None or number <= limit


def test_a_profile_may_limit_preemptions_without_progress():
    story = Story({**POLICIES, "preempted": Policy(retries=2)})
    story.decide(Condition("pending"))
    story.progress = 0.1
    assert [story.fails("preempted").start for _ in range(3)] == [True, True, False]
    assert story.fails("preempted").because.startswith("left: preempted 3 times")
    assert story.fails("preempted", progress=0.2).start
    assert story.history[-1].entry.reason == "retry:preempted"
    usual = started()
    assert all(usual.fails("preempted").entry.reason == "continue" for _ in range(20))
