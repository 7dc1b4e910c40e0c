"""`wm status`, `wm show` and `wm logs` of a dispatched study, with a squeue and a sacct that count their calls."""

import json
import os
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from studies.cli import status as verb
from studies.cluster import records
from studies.cluster.facts import Asked, Schedulers
from tests.studies.cluster import many


@pytest.fixture
def study(wm, tmp_path, monkeypatch):
    """200 runs: 70 done, 4 running, 2 failed, 3 out of time, 1 preempted, 120 waiting."""
    root = tmp_path / "runs"
    found = many.make(root, 200, chunk=100)
    monkeypatch.setenv("PATH", f"{many.programs(root)}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return found


def silence(study, name):
    """Makes a program of the scheduler fail."""
    (study.root / "bin" / name).write_text("#!/bin/sh\necho 'slurm_load_jobs error: timed out' >&2\nexit 1\n")


def test_each_program_is_called_once_whatever_is_shown(wm, study):
    status, out, err = wm("status", "many")
    assert (status, err) == (0, "")
    assert many.calls(study.root) == ["squeue", "sacct"]
    assert "200 runs: 70 done, 4 running, 1 preempted, 5 failed, 120 pending" in out
    waits = next(line for line in out.splitlines() if line.startswith("120 pending: "))
    assert sorted(waits.partition(": ")[2].split(", ")) == [
        "41 others come first (Priority)",
        "79 as many run as may at once (JobArrayTaskLimit)",
    ]
    assert "1 preempted, queued again: not before a time (BeginTime)" in out
    assert "job 77 submits again what the policies allow: PENDING, other jobs have to end first" in out
    assert "1000_70  n2" in out
    assert "3 runs, same error: time-limit: the 1 h of its job ran out" in out
    assert "the follow-up job tries again: continues after time-limit" in out
    assert "2 runs, same error: code: ValueError: a bug" in out
    assert "wm retry many --kind code" in out
    assert "neither done nor in the queue" not in out


def test_json(wm, study):
    found = json.loads(wm("status", "many", "--json")[1])
    asked = found["scheduler"]["asked"]["slurm"]
    assert asked["queue"] is asked["accounting"] is True
    assert asked["states"] == {"RUNNING": 4, "PENDING": 121}
    assert asked["reasons"] == {"Priority": 41, "JobArrayTaskLimit": 79, "BeginTime": 1}
    assert found["scheduler"]["follow_up"] == [{"job": "77", "state": "PENDING", "reason": "Dependency"}]
    waiting = found["runs"][-1]
    assert (waiting["state"], waiting["queued"], waiting["job"]) == ("pending", True, "1001_99")
    assert waiting["reason"] in {"Priority", "JobArrayTaskLimit"}
    assert Counter(run["kind"] for run in found["runs"]) == {None: 195, "code": 2, "time-limit": 3}


def test_a_squeue_that_fails_is_said_and_nothing_is_called_dead(wm, study):
    silence(study, "squeue")
    status, out, _ = wm("status", "many")
    assert status == 0
    assert "200 runs: 70 done, 7 running, 1 preempted, 2 failed, 120 pending" in out
    assert "squeue did not answer" in out
    assert "unconfirmed for 10 min: the scheduler does not answer" in out
    scheduler = json.loads(wm("status", "many", "--json")[1])["scheduler"]
    assert scheduler["asked"]["slurm"]["queue"] is False
    assert scheduler["asked"]["slurm"]["accounting"] is None


def test_a_sacct_that_fails_is_said_and_nothing_is_called_dead(wm, study):
    silence(study, "sacct")
    (study.root / "bin" / "scontrol").write_text(
        "#!/bin/sh\necho AccountingStorageType=accounting_storage/slurmdbd\n"
    )
    (study.root / "bin" / "scontrol").chmod(0o755)
    out = wm("status", "many")[1]
    assert "7 running" in out
    assert "sacct did not answer" in out
    assert "the accounting does not answer" in out


def test_what_no_queue_has_is_named_with_the_command(wm, study):
    (study.root / "squeue.txt").write_text("")
    (study.root / "sacct.txt").write_text("")
    for array in records.Dispatch(study.path).arrays:
        (array.folder / f"array-{array.number}.job.json").unlink()
    out = wm("status", "many", "--only", "seed=4")[1]
    assert "40 are neither done nor in the queue: wm submit many" in out


def test_watch_ends_when_nothing_is_left_and_asks_seldom(wm, study, monkeypatch):
    now = time.time()
    shown = []

    def sleep(seconds):
        nonlocal now
        now += seconds
        shown.append(now)
        if len(shown) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(verb, "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(time, "time", lambda: now)
    assert wm("status", "many", "--watch", "--only", "task=dmc/task-0")[0] == 0
    assert len(shown) == 10
    assert many.calls(study.root).count("squeue") == 2  # 20 seconds
    shown.clear()
    wm("status", "many", "--watch", "--only", "seed=0")
    assert not shown  # all are done


def test_a_study_of_finished_runs_asks_nobody(wm, study):
    assert wm("status", "many", "--only", "seed=0")[0] == 0
    assert many.calls(study.root) == []


def test_show_and_logs_know_the_jobs_of_a_run_that_never_began(wm, study):
    waiting = study.planned[-1]
    out = wm("show", waiting.hex)[1]
    assert f"{waiting.id} pending" in out
    assert "1001_99" in out
    assert "2 cores, 8 GB, 1 h" in out
    assert "horizon: 8" in out
    status, _, err = wm("logs", waiting.hex)
    assert status == 2
    assert "no attempt has written a log yet" in err
    log = study.path / "dispatch" / "0001" / "logs" / "1001_99_0_log.err"
    log.write_text("line one\nmodule: command not found\n")
    out = wm("logs", waiting.hex)[1]
    assert f"--- job 1001_99: {log}\nline one\nmodule: command not found\n" in out
    assert "line one" not in wm("logs", waiting.hex, "-n", "1")[1]
    (study.root / "squeue.txt").write_text("")
    (study.root / "sacct.txt").write_text(
        many._accounted("1001_99", name(study, 1)).replace("TIMEOUT", "COMPLETED")
    )
    shown = wm("show", waiting.hex)[1]
    assert "failed:setup" in shown
    assert "before its Python began: module: command not found" in shown


def name(study, number):
    return records.Dispatch(study.path).arrays[number].name


def test_schedulers_forget_what_is_old():
    asked = {"slurm": Asked(queue_time=100.0)}
    schedulers = Schedulers(15.0, asked)
    schedulers.forget(110.0)
    assert schedulers.asked == asked
    schedulers.forget(116.0)
    assert schedulers.asked == {}


def test_a_narrow_terminal_breaks_no_word_and_no_line_ends_with_blanks(wm, study, monkeypatch):
    wide = set(wm("status", "many")[1].split())
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")  # 80 columns, no colours
    lines = wm("status", "many")[1].splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line != line.rstrip()]
    assert {word for line in lines for word in line.split()} <= wide


def test_runs_that_the_plan_lost_are_named_while_the_queue_has_them(wm, study):
    lines = study.plan_file.read_text().splitlines(keepends=True)
    study.plan_file.write_text("".join(lines[:-2]))
    out = wm("status", "many")[1]
    assert (
        "2 runs that the plan no longer has are still in the queue (1001_98, 1001_99): "
        "wm cancel many --unplanned" in out
    )
    assert json.loads(wm("status", "many", "--json")[1])["scheduler"]["unplanned"] == ["1001_98", "1001_99"]
    study.plan_file.write_text("".join(lines[1:]))  # the first is done
    assert "the plan no longer has" not in wm("status", "many")[1]


def test_what_was_refused_is_said_with_the_command(wm, study):
    for array in records.Dispatch(study.path).arrays:
        records.Dispatch(study.path).answered(array, error="Invalid qos\nset another")
    out = wm("status", "many", "--only", "seed=4")[1]
    assert "40 are neither done nor in the queue: wm submit many" in out
    assert "of the last submission some was refused: Invalid qos" in out
