"""The command line, with a fake run in place of training: exit statuses, messages, and what is left on disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import studies.cli
from harness.rundir import RunDir
from studies import store
from studies.cli.inspecting import _attempts
from tests.studies import fakes

ROOT = Path(studies.cli.__file__).parent.parent.parent
STUDY = """
name: mine
base: {task: toy/point-mass, predict: images, space: latent, dynamics: stochastic, size: tiny, train: {episodes: 10}}
designs:
  quick: {planner.horizon: 3}
  %s: {planner.horizon: 4}
grid: {design: [quick, %s], seed: range(%d)}
"""


def write(tmp_path, design="slow", seeds=1):
    file = tmp_path / "mine.yaml"
    file.write_text(STUDY % (design, design, seeds))
    return file


def states(tmp_path):
    """The states in the order of the plan, from `wm status`'s own survey."""
    from studies.survey import survey

    return [str(one.condition) for one in survey(store.StudyDir(tmp_path / "runs" / "mine").planned)]


def test_help_lists_every_verb_in_panels(wm):
    status, out, _ = wm("--help")
    assert status == 0
    verbs = [
        "init",
        "plan",
        "list",
        "schema",
        "run",
        "retry",
        "train",
        "status",
        "show",
        "logs",
        "report",
        "evaluate",
    ]
    verbs += ["clean", "doctor", "check-model"]
    assert all(f" {verb} " in out for verb in verbs)
    for verb in verbs:
        assert wm(verb, "--help")[0] == 0


def test_help_is_quick():
    script = "import sys; sys.argv = ['wm', '--help']; from studies.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-P", "-c", script], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        times.append(time.perf_counter() - began)
    assert min(times) < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum"], "Did you mean 'run'"),
        (["run", "x", "--worker", "2"], "--workers"),
        (["run"], "wm run needs a STUDY"),
        (["run", "x", "--workers", "0"], "'--workers'"),
        (["status", "nothing"], "no study nothing"),
        (["show", "abc"], "no run"),
        (["run", "nothing.yaml"], "nothing.yaml"),
    ],
)
def test_a_wrong_request_is_2_without_a_traceback(wm, arguments, message):
    status, out, err = wm(*arguments)
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert not out


def test_run_continue_and_fail(wm, tmp_path):
    file = write(tmp_path, "fails", seeds=2)
    status, out, err = wm("run", file, "--workers", "2")
    assert status == 1
    assert not out
    assert states(tmp_path) == ["done", "done", "failed:code", "failed:code"]
    assert "2 failed, code: fails by design" in err
    assert "wm retry mine" in err
    status, _, err = wm("run", "mine")
    assert status == 1
    assert "4 runs: 2 done, 2 failed" in err
    assert "see the results with: wm report mine" in err
    assert "started" not in err
    err = wm("run", "mine", "--only", "design=fails")[2]
    assert "2 runs: 2 failed" in err
    assert "wm report" not in err  # there is nothing to see


def test_run_all_well(wm, tmp_path):
    status, _, err = wm("run", write(tmp_path, "diverges"), "--workers", "2")
    assert status == 0  # a run that diverged is a result
    assert "2 runs: 1 done, 1 diverged" in err
    assert "wm report mine" in err


def test_run_a_selection(wm, tmp_path):
    status, _, err = wm("run", write(tmp_path), "--only", "design=quick")
    assert (status, states(tmp_path)) == (0, ["done", "pending"])
    assert "1 run: 1 done" in err
    assert wm("run", "mine", "--only", "design=nothing")[0] == 2


def test_a_killed_worker_is_lost_and_wm_run_continues(wm, tmp_path):
    status, _, err = wm("run", write(tmp_path, "dies"))
    assert (status, states(tmp_path)) == (1, ["done", "lost"])
    assert "killed by SIGKILL" in err
    assert "continue with: wm run mine" in err
    assert wm("status", "mine")[1].count("lost") >= 2
    assert wm("run", "mine")[0] == 0
    run = store.StudyDir(tmp_path / "runs" / "mine").planned[1]
    assert fakes.counted(RunDir(run.path)) == [0, 1, 2, 3, 4]


def start_wm(tmp_path, *arguments):
    """`wm` in a process of its own."""
    script = "import sys, studies.dispatch; studies.dispatch.EXECUTE = 'fakes:execute'; studies.cli.main()"
    script = f"import studies.cli; {script}"
    path = os.pathsep.join([str(ROOT), fakes.HERE])
    environment = os.environ | {"PYTHONPATH": path, "WM_RUNS": str(tmp_path / "runs")}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", script, *map(str, arguments)],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def test_ctrl_c_leaves_preempted_runs_and_says_how_to_continue(wm, tmp_path):
    process = start_wm(tmp_path, "run", write(tmp_path), "--workers", "1")
    wait_for_slow(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "continue with: wm run mine" in err
    assert "Traceback" not in err
    assert states(tmp_path) == ["done", "preempted"]


def test_a_killed_wm_leaves_no_worker(wm, tmp_path):
    process = start_wm(tmp_path, "run", write(tmp_path), "--workers", "1")
    wait_for_slow(tmp_path)
    process.kill()
    process.communicate()
    end = time.monotonic() + 30
    while states(tmp_path)[1] != "preempted":
        assert time.monotonic() < end
        time.sleep(0.05)


def wait_for_slow(tmp_path):
    end = time.monotonic() + 60
    while True:
        plan = store.StudyDir(tmp_path / "runs" / "mine")
        if plan.plan_file.exists() and fakes.counted(RunDir(plan.planned[1].path)):
            return
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_second_wm_run_leaves_running_runs_alone(wm, tmp_path):
    process = start_wm(tmp_path, "run", write(tmp_path), "--workers", "1")
    wait_for_slow(tmp_path)
    status, _, err = wm("run", "mine")
    assert status == 0
    assert "1 of them run in another process" in err
    assert "running" in wm("status", "mine")[1]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert states(tmp_path) == ["done", "preempted"]


def test_status(wm, tmp_path):
    wm("run", write(tmp_path, "fails", seeds=3))
    status, out, _ = wm("status", "mine")
    assert status == 0
    assert "6 runs: 3 done, 3 failed" in out
    assert "3/3" in out
    assert "0/3, 3 failed" in out
    assert "3 runs, same error: code: fails by design" in out
    status, out, err = wm("status", "mine", "--json")
    found = json.loads(out)
    assert found["counts"] == {"done": 3, "failed": 3}
    assert {run["state"] for run in found["runs"]} == {"done", "failed"}
    assert found["runs"][-1]["kind"] == "code"
    assert found["runs"][0]["iteration"] == 5
    assert not err


def test_show_logs_and_difference(wm, tmp_path):
    wm("run", write(tmp_path, "fails"))
    good, bad = store.StudyDir(tmp_path / "runs" / "mine").planned
    status, out, _ = wm("show", bad.hex[:8])
    assert status == 0
    for text in (bad.id, "failed:code", "fails by design", "Traceback: ...", "horizon: 4", str(bad.path)):
        assert text in out
    status, out, _ = wm("show", good.hex, bad.hex)
    assert "planner.horizon" in out
    assert "train.episodes" not in out
    status, out, _ = wm("logs", good.hex)
    assert status == 0
    assert "attempt 1 with" in out
    assert wm("logs", f"mine/{good.hex}", "-n", "1")[1].count("\n") == 1
    status, _, err = wm("show", "")
    assert status == 2
    assert good.id in err
    assert bad.id in err


def test_an_attempt_says_whether_it_goes_on_and_which_snapshot_its_code_was():
    start = {"event": "start", "attempt": 1, "time": 0.0, "code": "da8b00112233"}
    codes = ["da8b00112233", "da8b00112233 (code/74e6)"]
    for root, code in zip(("/home/me/wm", "/runs/mine/code/74e6"), codes, strict=True):
        table = _attempts([start | {"code_root": root}], running=True)
        assert list(table.columns[-1].cells) == [code]
        assert list(table.columns[3].cells) == ["running"]
    table = _attempts([start, start | {"attempt": 2}], running=True)
    assert list(table.columns[3].cells) == ["cut short", "running"]
    assert list(_attempts([start], running=False).columns[3].cells) == ["cut short"]


def test_retry(wm, tmp_path):
    wm("run", write(tmp_path, "fails"))
    assert wm("retry", "mine", "--kind", "disk")[0] == 2
    status, _, err = wm("retry", "mine", "--kind", "code")
    assert status == 0
    assert "wm run mine" in err
    assert states(tmp_path) == ["done", "pending"]
    wm("run", "mine")
    assert states(tmp_path) == ["done", "failed:code"]
    assert wm("retry", "mine", "--fresh")[0] == 0
    assert len(list((tmp_path / "runs" / "mine" / "history").glob("fails-*"))) == 1


def test_clean_previews_and_deletes_only_with_yes(wm, tmp_path):
    wm("run", write(tmp_path, "diverges"))
    old = store.StudyDir(tmp_path / "runs" / "mine").planned[0].path
    file = tmp_path / "mine.yaml"
    file.write_text(file.read_text().replace("horizon: 3", "horizon: 5"))
    wm("run", file)
    status, out, err = wm("clean", "mine")
    assert status == 0
    assert old.name in out
    assert "add --yes" in err
    assert old.exists()
    assert wm("clean", "mine", "--yes")[0] == 0
    assert not old.exists()
    assert states(tmp_path) == ["done", "diverged"]
    assert "nothing to delete" in wm("clean", "mine")[2]


def test_train_one_run_without_a_study(wm, tmp_path):
    config = tmp_path / "one.yaml"
    config.write_text("task: toy/point-mass\ndesign: images-latent-stochastic\nsize: tiny\n")
    out = tmp_path / "somewhere" / "one"
    status, _, err = wm("train", config, "--output-dir", out, "train.episodes=7")
    assert status == 0, err
    assert RunDir(out).read_config().train.episodes == 7
    assert fakes.counted(RunDir(out)) == [0, 1, 2, 3, 4]
    assert wm("train", config, "--output-dir", out, "train.episodes=7")[0] == 0
    status, _, err = wm("train", config, "--output-dir", out)
    assert status == 2
    assert "another configuration" in err
    status, _, err = wm("train", config, "--output-dir", tmp_path / "two", "train.episode=7")
    assert status == 2
    assert "train.episodes" in err
    assert not (tmp_path / "two").exists()


def test_a_bug_shows_its_traceback_and_a_hint(monkeypatch, capfd):
    def broken(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(studies.cli, "app", broken)
    with pytest.raises(ZeroDivisionError):
        studies.cli.main()
    assert "wm doctor" in capfd.readouterr().err


def test_a_closed_pipe_is_no_error(wm, tmp_path):
    wm("run", write(tmp_path, "diverges", seeds=20), "--only", "seed=0")
    script = "import sys, studies.cli; sys.argv = ['wm', 'status', 'mine', '--json']; studies.cli.main()"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = f'{sys.executable} -P -c "{script}" | head -c 10'
    done = subprocess.run(
        ["bash", "-c", command], env=environment, cwd=tmp_path, capture_output=True, check=False
    )
    assert done.stderr == b""
