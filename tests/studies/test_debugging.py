"""`wm run --debug`: one run in this process, under whatever debugger the user has."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import studies.cli
from harness import claim
from harness.rundir import RunDir
from studies import store
from tests.studies import fakes

ROOT = Path(studies.cli.__file__).parent.parent.parent
STUDY = """
name: mine
base: {task: toy/point-mass, predict: images, space: latent, dynamics: stochastic, size: tiny, train: {episodes: 10}}
designs: {%s: {planner.horizon: 3}}
grid: {design: %s, seed: range(2)}
"""
FAKE = 'import studies.dispatch; studies.dispatch.EXECUTE = "fakes:execute"'


def write(tmp_path, design):
    (tmp_path / "mine.yaml").write_text(STUDY % (design, design))


def runs(tmp_path):
    return [RunDir(run.path) for run in store.StudyDir(tmp_path / "runs" / "mine").planned]


def debug(tmp_path, *command, says, **extra):
    """A command as a user types it, with what the user then types; what it printed."""
    (tmp_path / "sitecustomize.py").write_text(FAKE)
    path = os.pathsep.join(map(str, (tmp_path, ROOT, fakes.HERE)))
    environment = os.environ | {"PYTHONPATH": path, "WM_RUNS": str(tmp_path / "runs")} | extra
    return subprocess.run(
        [sys.executable, *command, "run", "mine.yaml", "--debug"],
        input=says,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def _fakes_are_importable(monkeypatch):
    monkeypatch.syspath_prepend(fakes.HERE)


def test_one_run_here_whose_signals_are_left_alone(wm, tmp_path, monkeypatch):
    write(tmp_path, "quick")
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
    handlers = [signal.getsignal(number) for number in numbers]
    seen = []
    monkeypatch.setattr(
        "fakes._misbehave", lambda *_: seen.append([signal.getsignal(number) for number in numbers])
    )
    status, _, err = wm("run", "mine.yaml", "--debug")
    assert status == 0
    assert "(of 2; choose with --run)" in err
    first, second = runs(tmp_path)
    assert first.read_state().state == "done"
    assert second.read_state() is None
    assert seen == [handlers] * 5
    assert not claim.is_alive(claim.current(first.path))


def test_an_exception_comes_through_and_says_how_to_look_around(tmp_path):
    write(tmp_path, "raises")
    ended = debug(tmp_path, "-m", "studies.cli", says="")
    assert ended.returncode == 1
    assert "ValueError: a bug [sic]\nraised in a run under --debug" in ended.stderr
    assert "python -m pdb -m studies.cli run mine.yaml --debug" in ended.stderr
    assert "a bug in wm" not in ended.stderr
    assert not claim.is_alive(claim.current(runs(tmp_path)[0].path))


def test_pdb_stops_where_the_exception_was_raised(tmp_path):
    write(tmp_path, "raises")
    ended = debug(tmp_path, "-m", "pdb", "-m", "studies.cli", says="c\np design, state.iteration\nq\n")
    assert "Uncaught exception. Entering post mortem debugging" in ended.stdout
    assert "('raises', 1)" in ended.stdout


def test_pdb_stops_at_a_breakpoint_of_its_own(tmp_path):
    write(tmp_path, "quick")
    says = "import fakes\nb fakes._end\nc\np ending, state.iteration\nc\nq\n"
    ended = debug(tmp_path, "-m", "pdb", "-m", "studies.cli", says=says)
    assert "('done', 5)" in ended.stdout
    assert "Exit status: 0" in ended.stdout
    assert fakes.counted(runs(tmp_path)[0]) == [0, 1, 2, 3, 4]


def test_breakpoint_in_the_code_of_a_run(tmp_path):
    write(tmp_path, "breaks")
    ended = debug(tmp_path, "-m", "studies.cli", says="up\np state.iteration\n" + 5 * "c\n")
    assert "(Pdb) 1\n" in ended.stdout
    assert ended.returncode == 0
    assert runs(tmp_path)[0].read_state().state == "done"
    ended = debug(tmp_path, "-m", "studies.cli", says="q\n")
    assert ended.returncode == 130
    assert "left the debugger; the same command" in ended.stderr
    assert "Traceback" not in ended.stderr
    ended = debug(tmp_path, "-m", "studies.cli", says="", PYTHONBREAKPOINT="0")
    assert ended.returncode == 0
    assert "Pdb" not in ended.stdout


def test_ctrl_c_in_a_debugger_is_the_debuggers(tmp_path):
    """At a real terminal: pdb's own handler stops the run where it is, as it would any program."""
    write(tmp_path, "slow")
    (tmp_path / "sitecustomize.py").write_text(FAKE)
    path = os.pathsep.join(map(str, (tmp_path, ROOT, fakes.HERE)))
    environment = os.environ | {"PYTHONPATH": path, "WM_RUNS": str(tmp_path / "runs"), "TERM": "dumb"}
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pdb", "-m", "studies.cli", "run", "mine.yaml", "--debug"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    )
    os.close(terminal)
    read_until(main, b"(Pdb)")
    os.write(main, b"c\n")
    read_until(main, b"attempt 1")
    os.killpg(process.pid, signal.SIGINT)
    said = read_until(main, b"(Pdb)")
    assert b"Program interrupted" in said
    process.kill()
    process.wait()
    os.close(main)


def read_until(terminal, wanted):
    said = b""
    while wanted not in said:
        said += os.read(terminal, 4096)
    return said
