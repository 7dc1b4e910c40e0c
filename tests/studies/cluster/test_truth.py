"""What became of a run: every ending that SLURM.md lists, and rules that hold for every combination of facts."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claim import Owner
from harness.rundir import Failure, RunState
from studies.cluster.granting import Granted
from studies.cluster.records import Array, Assignment, Entry, Mark
from studies.cluster.truth import Answers, Facts, Said, derive
from studies.cluster.types import Accounted, Queued
from studies.status import FINISHED

NOW = 1_800_000_000.0
SUBMITTED = NOW - 7200
BEGAN = NOW - 7000
ENDED = NOW - 1000
HEX = "0123456789ab"
NAME = "wm-mine-0001-0-abcdef"
KEY = "12_3"
ENTRY = Entry(HEX)
ARRAY = Array(Path("dispatch/0001"), 0, NAME, "slurm", SUBMITTED, Granted(hours=24), ((ENTRY,),) * 5, "12")
TASK = Assignment(ARRAY, 3, ENTRY)

BEGIN = {"event": "begin", "time": BEGAN, "host": "n1", "job": KEY, "restart": 0}
STARTED = {"event": "started", "time": BEGAN + 1, "hex": HEX}
STOPPED = {
    "event": "ended",
    "time": ENDED - 5,
    "hex": HEX,
    "condition": "preempted",
    "status": 75,
    "oom": False,
}
KILLED = STOPPED | {"time": ENDED - 500, "condition": "lost", "status": -9}
MEMORY = KILLED | {"oom": True}
END = {"event": "end", "time": ENDED - 1, "left": [HEX], "because": "asked to stop"}
STORIES = {
    "nothing": (),
    "begun": (BEGIN,),
    "started": (BEGIN, STARTED),
    "stopped": (BEGIN, STARTED, STOPPED, END),
    "killed": (BEGIN, STARTED, KILLED),
    "out of memory": (BEGIN, STARTED, MEMORY),
    "requeued": (BEGIN, STARTED, STOPPED, {"event": "requeue", "time": ENDED - 1, "left": [HEX]}),
}


def recorded(state, heartbeat=ENDED - 10):
    error = Failure("code", "ValueError: a bug") if state == "failed" else None
    return state and RunState(id="run", state=state, heartbeat=heartbeat, error=error, progress=0.5)


def accounted(state, **fields):
    return Accounted(state, **({"name": NAME, "node": "n1", "start": BEGAN, "end": ENDED} | fields))


def owner(job="12", task="3", restart=None):
    return Owner("elsewhere", "boot", "pids", 7, 7, BEGAN + 1, job, task, restart)


def facts(state="running", *, queue=(), record=(), story="started", task=TASK, log=(), **fields):
    """Facts of a run whose task has left the queue; `None` for an answer that did not come."""
    answers = Answers(
        None if queue is None else {KEY: queue} if queue else {},
        None if record is None else {KEY: record} if record else {},
    )
    said = Said(STORIES[story], log)
    given_ = {"history": (task,) if task else (), "answers": answers, "slurm": answers, "said": said}
    return Facts(HEX, **({"state": recorded(state)} | given_ | fields))


def told(*args, now=NOW, **fields):
    return derive(facts(*args, **fields), now)


SETUP = ("module: command not found", "srun: error: n1: task 0: Exited with exit code 1")


@pytest.mark.parametrize(
    ("shown", "words", "given_"),
    [
        ("failed:code", "a bug", {"state": "failed", "record": accounted("FAILED", exit_code=1)}),
        ("failed:killed", "status 3", {"record": accounted("FAILED", exit_code=3)}),
        ("failed:killed", "SIGSEGV", {"record": accounted("FAILED", exit_code=11)}),
        ("failed:killed", "SIGKILL", {"record": accounted("FAILED", exit_code=9)}),
        ("failed:host-memory", "memory", {"record": accounted("FAILED", exit_code=9, out_of_memory=True)}),
        (
            "failed:host-memory",
            "memory",
            {
                "record": accounted("FAILED", exit_code=9),
                "log": ("slurmstepd: error: Step 12.0 exceeded memory limit (9 > 8), being killed",),
            },
        ),
        ("failed:host-memory", "memory", {"record": accounted("FAILED", exit_code=1, out_of_memory=True)}),
        ("failed:host-memory", "memory", {"record": accounted("OUT_OF_MEMORY", signal=125)}),
        ("failed:host-memory", "memory", {"record": accounted("COMPLETED"), "story": "out of memory"}),
        ("failed:killed", "SIGKILL", {"record": accounted("COMPLETED"), "story": "killed"}),
        ("failed:host-memory", "", {"record": accounted("COMPLETED", out_of_memory=True), "story": "killed"}),
        ("cancelled", "someone else", {"record": accounted("CANCELLED")}),
        ("cancelled", "", {"record": accounted("CANCELLED"), "mark": Mark("cancelled", NOW - 2000)}),
        ("cancelled", "scancel", {"state": None, "record": accounted("CANCELLED"), "story": "nothing"}),
        ("failed:time-limit", "24 h", {"record": accounted("TIMEOUT")}),
        (
            "failed:time-limit",
            "24 h",
            {"state": "preempted", "record": accounted("TIMEOUT"), "story": "stopped"},
        ),
        ("failed:node", "n1", {"record": accounted("NODE_FAIL")}),
        ("preempted", "may be queued again", {"record": accounted("NODE_FAIL", end=NOW - 2)}),
        ("failed:node", "n1", {"record": accounted("BOOT_FAIL")}),
        ("preempted", "not queued again", {"record": accounted("PREEMPTED")}),
        ("running", "suspended", {"queue": Queued("SUSPENDED", name=NAME)}),
        ("failed:setup", "log files", {"record": accounted("FAILED", signal=53), "story": "nothing"}),
        (
            "failed:setup",
            ": module: command not found",
            {"state": None, "record": accounted("COMPLETED"), "story": "nothing", "log": SETUP},
        ),
        (
            "failed:setup",
            "with status 127",
            {"state": None, "record": accounted("FAILED", exit_code=127), "story": "nothing", "log": SETUP},
        ),
        ("failed:setup", "time ran out", {"state": None, "record": accounted("TIMEOUT"), "story": "nothing"}),
        ("failed:setup", "before its Python", {"record": accounted("FAILED", start=BEGAN + 600)}),
        ("lost", "not finished", {"record": accounted("COMPLETED")}),
        (
            "preempted",
            "asked to stop",
            {"state": "preempted", "record": accounted("FAILED", exit_code=75), "story": "stopped"},
        ),
        (  # it was another run of the task whose memory ran out
            "preempted",
            "asked to stop",
            {"state": "preempted", "record": accounted("COMPLETED", out_of_memory=True), "story": "stopped"},
        ),
        ("preempted", "before its turn", {"state": None, "record": accounted("COMPLETED"), "story": "begun"}),
        ("done", "", {"state": "done", "record": accounted("FAILED", exit_code=9)}),
        ("diverged", "", {"state": "diverged", "record": accounted("COMPLETED")}),
    ],
)
def test_every_ending(shown, words, given_):
    condition = told(**given_)
    assert str(condition) == shown
    assert words in condition.note
    assert condition.job == KEY


@pytest.mark.parametrize(
    ("shown", "given_"),
    [
        ("pending", {"state": None, "story": "nothing"}),
        ("preempted", {"state": "preempted", "story": "requeued"}),
        ("preempted", {"state": "running", "story": "started"}),  # a node failed
        ("pending", {"state": "failed", "story": "nothing", "state_age": 9000}),  # submitted again
        ("failed:code", {"state": "failed", "story": "started"}),  # the others of its task wait
        ("cancelled", {"state": "preempted", "mark": Mark("cancelled", NOW)}),
        ("preempted", {"state": "preempted", "mark": Mark("cancelled", SUBMITTED - 1)}),  # undone
        ("pending", {"state": None, "mark": Mark("retried", NOW)}),
    ],
)
def test_a_task_that_waits(shown, given_):
    age = given_.pop("state_age", None)
    if age:
        given_["state"] = "failed"
    known = facts(
        queue=Queued("PENDING", "Priority", name=NAME, restarts=1), record=accounted("FAILED"), **given_
    )
    if age:
        known = replace(known, state=recorded("failed", NOW - age))
    condition = derive(known, NOW)
    assert str(condition) == shown
    assert condition.queued == (shown != "cancelled")
    assert condition.job == KEY
    if shown in {"pending", "preempted"}:
        assert condition.reason == "Priority"


@pytest.mark.parametrize(
    ("shown", "words", "given_"),
    [
        ("running", "starts on n2", {"state": None, "story": "nothing"}),
        ("running", "starts on n2", {"state": "preempted", "story": "requeued"}),
        ("running", "starting", {"state": None, "story": "started"}),
        ("pending", "turn", {"state": None, "story": "begun"}),
        ("failed:killed", "SIGKILL", {"state": "running", "story": "killed"}),
        ("failed:host-memory", "memory", {"state": "running", "story": "out of memory"}),
        ("preempted", "checkpoint", {"state": "preempted", "story": "stopped"}),
        ("running", "", {"state": "running", "ownership": "unknown", "owner": owner()}),
        ("running", "stopping", {"ownership": "alive", "mark": Mark("cancelled", NOW)}),
        ("failed:code", "a bug", {"state": "failed", "ownership": "unknown", "owner": owner("9", None)}),
    ],
)
def test_a_task_that_runs(shown, words, given_):
    condition = told(**({"queue": Queued("RUNNING", node="n2", name=NAME)} | given_))
    assert str(condition) == shown
    assert words in condition.note
    assert condition.queued


def test_an_owner_elsewhere_is_confirmed_by_the_queue_and_a_long_silence_is_said():
    unseen = {"ownership": "unknown", "owner": owner()}
    runs = Queued("RUNNING", name=NAME)
    fresh = replace(facts(queue=runs, **unseen), state=recorded("running", NOW - 100))
    assert derive(fresh, NOW).note == ""
    quiet = told(queue=runs, **unseen)
    assert (quiet.name, quiet.confirmed) == ("running", True)
    assert quiet.note == "its job runs, but it has said nothing for 17 min"


def test_an_owner_that_was_requeued_away_is_gone():
    unseen = {"ownership": "unknown", "owner": owner(restart="0")}
    assert told(queue=Queued("PENDING", "BeginTime", name=NAME), **unseen).name == "preempted"
    again = told(queue=Queued("RUNNING", name=NAME, restarts=1, node="n2"), **unseen)
    assert again.note == "its job starts on n2"
    assert told(record=accounted("NODE_FAIL"), **unseen).kind == "node"


def test_what_is_not_answered_is_unconfirmed():
    unseen = {"ownership": "unknown", "owner": owner()}
    silent = told(queue=None, record=None, **unseen)
    assert (silent.name, silent.confirmed) == ("running", False)
    assert silent.note == "unconfirmed for 17 min: the scheduler does not answer"
    assert told(queue=None, record=None).note == silent.note
    half = told(record=None)
    assert (half.name, half.note) == ("running", "unconfirmed for 17 min: the accounting does not answer")
    assert told("preempted", queue=None, story="requeued").name == "preempted"
    new = told(None, queue=None, story="nothing")
    assert (new.name, new.queued, new.confirmed) == ("pending", True, False)


def test_a_job_that_nobody_knows_is_lost_only_after_minutes():
    soon = told(now=ENDED + 200)
    assert (soon.name, soon.confirmed) == ("running", False)
    lost = told(now=ENDED + 400)
    assert (lost.name, lost.note.partition(";")[0]) == (
        "lost",
        "neither the queue nor the accounting knows its job",
    )
    never = told(None, story="nothing", log=SETUP)
    assert (never.name, "its log ends with: module" in never.note) == ("lost", True)


def test_what_was_kept_outlives_an_answer_that_does_not_come():
    kept = Answers(kept={KEY: accounted("TIMEOUT")})
    assert told(answers=kept).kind == "time-limit"
    back = replace(kept, queue={KEY: Queued("PENDING", name=NAME)})
    assert told(answers=back).name == "preempted"
    assert told(answers=Answers(kept={KEY: accounted("TIMEOUT", name="other")})).name == "running"


def test_a_submission_that_was_interrupted_is_known_by_its_name():
    nameless = Assignment(replace(ARRAY, job=None), 3, ENTRY)
    queue = {"77_0": Queued("RUNNING", name=NAME), KEY: Queued("PENDING", name="other")}
    queue["77_3"] = Queued("PENDING", "Priority", name=NAME)
    found = told(None, task=nameless, story="nothing", answers=Answers(queue, {}))
    assert (found.name, found.queued, found.job) == ("pending", True, "77_3")
    gone = told(None, task=nameless, story="nothing", answers=Answers({}, {}))
    assert (gone.name, gone.queued) == ("pending", False)
    way = told(None, task=nameless, story="nothing", answers=Answers({}, {}), now=SUBMITTED + 5)
    assert (way.name, way.queued, way.confirmed) == ("pending", True, False)


QUEUES = [
    None,
    (),
    Queued("RUNNING", name="other"),
    Queued("PENDING", "Priority", name=NAME),
    Queued("RUNNING", name=NAME),
    Queued("COMPLETING", name=NAME),
    Queued("SUSPENDED", name=NAME),
]
TERMINAL = ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED"]
RECORDS = [
    None,
    (),
    accounted("FAILED", name="other"),
    accounted("RUNNING", end=None),
    *(accounted(state) for state in TERMINAL),
]
STATES = [None, "running", "done", "diverged", "failed", "preempted"]
OWNERS = [("free", None), ("alive", None), ("dead", None), ("unknown", None)]
OWNERS += [("unknown", owner()), ("unknown", owner("99", None))]
MARKS = [None, Mark("cancelled", NOW - 1), Mark("retried", NOW - 1), Mark("cancelled", SUBMITTED - 1)]
EVERYTHING = list(product(STATES, OWNERS, QUEUES, RECORDS, STORIES, MARKS))
DIED = {"killed", "out of memory"}


def test_the_safety_rules_hold_for_every_combination():
    for state, (held, who), queue, record, story, mark in EVERYTHING:
        case = (state, held, who, queue, record, story, mark)
        condition = told(state, queue=queue, record=record, story=story, ownership=held, owner=who, mark=mark)
        assert (condition.name in FINISHED) == (state in FINISHED), case
        if state in FINISHED:
            assert condition.name == state, case
            continue
        listed = bool(queue) and queue.name == NAME
        if listed and condition.name != "cancelled":
            assert condition.queued, case
        assert condition.confirmed or condition.note, case
        assert condition.name == "running" or held != "alive", case
        if held == "unknown" and who is None and state not in {"failed", "preempted"}:
            assert condition.name == "running", case
        assert condition.name in may_be(state, queue, record, story, mark), case
        if condition.name == "failed":
            assert condition.kind, case
            assert condition.note, case


def may_be(state, queue, record, story, mark):
    """The states that a run without a result may be shown in, by what was answered."""
    listed = bool(queue) and queue.name == NAME
    names = {"running", "preempted", "pending"}
    ours = bool(record) and record.name == NAME
    ended = queue is not None and not listed and ours and record.terminal
    if ended:
        names |= {"failed", "lost"} | ({"cancelled"} if record.state == "CANCELLED" else set())
    if queue is not None and not listed and record is not None and not ours:
        names |= {"lost"} | ({"cancelled"} if story in {"nothing", "requeued"} else set())
    if queue is not None and not listed and ours and not record.terminal:
        names.add("lost")  # once nothing was heard of it for an hour
    if state == "failed" or (queue is not None and story in DIED):
        names.add("failed")
    return names | ({"cancelled"} if mark == MARKS[1] else set())


def test_a_job_of_another_name_is_no_answer():
    for state, (held, who), story in product(STATES, OWNERS[:4], STORIES):
        rest = {"story": story, "ownership": held, "owner": who}
        assert told(state, queue=QUEUES[2], **rest) == told(state, queue=(), **rest)
        assert told(state, record=RECORDS[2], **rest) == told(state, record=(), **rest)


@given(
    case=st.sampled_from(EVERYTHING),
    now=st.floats(SUBMITTED, NOW + 1e6),
    heartbeat=st.floats(SUBMITTED - 1e6, NOW + 1e3),
)
def test_whatever_the_clocks_say_nothing_is_dead_without_an_answer(case, now, heartbeat):
    state, (held, who), queue, _, story, mark = case
    known = facts(state, queue=queue, record=None, story=story, ownership=held, owner=who, mark=mark)
    condition = derive(replace(known, state=recorded(state, heartbeat)), now)
    assert condition.name != "lost" or state in {"done", "diverged"}
    assert (condition.name in FINISHED) == (state in FINISHED)
    if condition.name == "failed":
        assert state == "failed" or (story in DIED and queue is not None)
