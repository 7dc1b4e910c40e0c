"""What `wm run` shows: lines in a file, a table on a terminal."""

import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.rundir import RunState
from studies.pool import Job, Outcome
from studies.progress import Progress, duration, time_left
from studies.status import Condition
from tests.studies import fakes


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "1.5 h"), (400_000, "4.6 d")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_time_left_is_said_once_it_can_be_told():
    assert not time_left(0.0, 1.0, 100)
    assert not time_left(0.5, 0.5, 1)
    assert time_left(0.5, 1.0, 30) == "60 s left"


def show(tmp_path, *, terminal, width=100):
    """A pool of two runs of which one ends, shown on a terminal or in a file."""
    runs = [fakes.make(tmp_path, "quick"), fakes.make(tmp_path, "slow")]
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=width, color_system=None)
    with Progress(3, 1, console) as progress:
        workers = [SimpleNamespace(job=Job(run), started=time.time() - 60) for run in runs]
        for worker in workers:
            progress.started(worker)
        state = RunState(id=runs[1].id, state="running", phase="training", iteration=3, iterations=12)
        state.progress, state.last_return, state.heartbeat = 0.25, 12.34, time.time()
        runs[1].write_state(state)
        progress._began -= 60
        progress._shown -= 100
        progress.tick(workers, 0)
        runs[0].write_state(RunState(id=runs[0].id, state="done", progress=1.0, last_return=5.0))
        progress.ended(Outcome(Job(runs[0]), Condition("done"), 75.0))
        progress.ended(Outcome(Job(runs[1]), Condition("failed", "code", "[bold]not markup[/]\nmore"), 3.0))
    return runs, screen.getvalue()


def test_lines_in_a_file(tmp_path):
    runs, text = show(tmp_path, terminal=False)
    lines = text.splitlines()
    assert lines[0] == f"started  {runs[0].id}"
    assert "slow-point-mass-s0  training  3/12  last return 12.3  3 min left" in text
    assert "1 of 3 done, 2 running, 0 waiting" in text
    assert f"done      {runs[0].id}  last return 5.0  75 s" in lines
    assert f"failed:code {runs[1].id}  [bold]not markup[/]  3 s" in lines
    assert "\x1b" not in text


def test_a_table_on_a_terminal(tmp_path):
    _, text = show(tmp_path, terminal=True)
    assert "quick-point-mass-s0  starting" in text
    assert "slow-point-mass-s0   training  3/12  last return 12.3  3 min left" in text


def test_on_a_narrow_terminal_the_name_gives_way(tmp_path):
    _, text = show(tmp_path, terminal=True, width=60)
    assert "slow-poin…s-s0  training  3/12  last return 12.3  3 min left" in text


def test_names_between_colons_are_no_pictures(capsys):
    Progress(1, 0).say("the task my_tasks:Snake: my_tasks:smile: it ends")
    assert capsys.readouterr().err == "the task my_tasks:Snake: my_tasks:smile: it ends\n"
