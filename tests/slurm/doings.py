"""What runs do in the tests against SLURM, in place of training: the first word of the design's name.

A run waits for a file that the test writes, so that nothing depends on how fast the machine is. Every attempt adds a
line to `did.jsonl` in the run's directory.
"""

import json
import mmap
import os
import signal
import sys
import time
from pathlib import Path

import harness
from harness.rundir import Failure, RunDir, RunState, read_jsonl

EXECUTE = "doings:execute"
PACED = "doings:paced"
STEPS = 4
_LONG_STEPS, _LONG_SECONDS = 300, 0.25
_POLLS = 2
_SEEN = (
    "CUDA_VISIBLE_DEVICES",
    "MUJOCO_EGL_DEVICE_ID",
    "SLURM_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "OMP_NUM_THREADS",
)


def execute(run: RunDir, *, stop, owns, datasets) -> str:
    """Counts to `STEPS`, and after the second step does what the design's name says, in every attempt."""
    doing = (run.read_config().design or "quick").partition("-")[0]
    state = run.read_state() or RunState(id=run.id, state="running", attempt=0)
    state.attempt = 1 + len(
        list(read_jsonl(run.path / "did.jsonl"))
    )  # as the harness counts: whatever the state says
    state.state, state.iterations = "running", _LONG_STEPS if doing == "long" else STEPS
    _tell(run, state)
    done = False
    while state.iteration < state.iterations:
        if stop() and doing != "stubborn":
            return _end(run, state, "preempted")
        if not owns():
            return "preempted"
        if state.iteration == 2 and not done:
            done = True
            ending = _do(doing, run, state, stop)
            if ending:
                return _end(run, state, ending)
        _tick(run, state)
        time.sleep(_LONG_SECONDS if doing == "long" else 0)
    return _end(run, state, "diverged" if doing == "diverges" else "done")


def _tell(run: RunDir, state: RunState) -> None:
    line = {"attempt": state.attempt, "from": state.iteration, "pid": os.getpid(), "time": time.time()}
    line |= {name: os.environ.get(name) for name in _SEEN} | {
        "code": str(Path(harness.__file__).parent.parent)
    }
    with (run.path / "did.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _tick(run: RunDir, state: RunState) -> None:
    state.iteration += 1
    state.phase, state.progress = "collecting", state.iteration / state.iterations
    state.last_return, state.heartbeat = float(state.iteration), time.time()
    run.write_state(state)


def _do(doing: str, run: RunDir, state: RunState, stop) -> str | None:
    """What makes the run special; returns its ending if it ends by that."""
    if doing in {"waits", "stubborn"}:
        return _wait(run, state, stop, deaf=doing == "stubborn")
    if doing == "raises":
        raise ValueError("a bug [sic]")
    if doing == "exits":
        sys.exit(3)
    if doing == "segfaults":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
    if doing == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if doing == "orphaned":
        os.kill(os.getppid(), signal.SIGKILL)
        return _wait(run, state, stop)
    if doing == "eats":
        _eat(int((run.read_config().design or "").rpartition("-")[2]))
        return _wait(run, state, stop, seconds=5)
    if doing in {"full", "gpu"}:
        state.error = Failure(
            "disk" if doing == "full" else "gpu-memory", f"{doing} by design", "Traceback: ..."
        )
        return "failed"
    return None


def _wait(run: RunDir, state: RunState, stop, *, deaf: bool = False, seconds: float = 600) -> str | None:
    """Waits for the file `go` in the run's or the study's directory, as long as nobody asks to stop."""
    end = time.time() + seconds
    files = (run.path / "go", run.path.parent.parent / "go")
    while not any(file.exists() for file in files) and time.time() < end:
        if stop() and not deaf:
            return "preempted"
        state.heartbeat = time.time()
        run.write_state(state)
        time.sleep(0.1)
    return None


def _eat(megabytes: int) -> None:
    memory = mmap.mmap(-1, megabytes * 2**20)
    for page in range(0, len(memory), mmap.PAGESIZE):
        memory[page] = 1
    _eat.kept = memory


def _end(run: RunDir, state: RunState, ending: str) -> str:
    state.state, state.heartbeat = ending, time.time()
    run.write_state(state)
    return ending


def paced(run: RunDir, *, stop, owns, datasets) -> str:
    """A real run that stands still at every gate until it is opened.

    A gate is a number in the file `gates` in the study's directory: of lines of metrics.jsonl. With so many, and some
    steps later, the run stands until `open.<number>` exists beside; that it stands, `at.<number>` says.
    """
    from harness.entry import execute as train

    study = run.path.parent.parent
    gates = [int(word) for word in (study / "gates").read_text().split()]
    polls = dict.fromkeys(gates, 0)

    def stop_at_gates() -> bool:
        lines = len(list(run.read_metrics()))
        for gate in gates:
            polls[gate] += lines >= gate
            if polls[gate] > _POLLS:  # in the middle of something that a kill will undo
                (run.path / f"at.{gate}").touch()
                while not (study / f"open.{gate}").exists() and not stop():
                    time.sleep(0.05)
        return bool(stop())

    with (run.path / "did.jsonl").open("a") as file:
        file.write(
            json.dumps({"job": os.environ.get("SLURM_JOB_ID"), "lines": len(list(run.read_metrics()))}) + "\n"
        )
    return train(run, stop=stop_at_gates, owns=owns, datasets=datasets)
