"""A run that only counts, in place of `harness.entry.execute`; what it does is the name of its design.

quick, longer, slow, diverges, fails, raises, full, breaks (into a debugger): as they say; dies (by SIGKILL),
crashes-once: the first attempt; crashes: every attempt; no-room: the first attempt finds no GPU memory; eats: 200 MB
for a moment.

Every iteration appends its number to `counted.txt`; a continued run goes on where the state file stopped.
"""

import os
import signal
import time
from pathlib import Path

from harness.config import RunConfig, run_id
from harness.rundir import Failure, RunDir, RunState

EXECUTE = "fakes:execute"
MEAL = 200 * 2**20  # bytes that the design `eats` fills for a moment
HERE = str(Path(__file__).parent)


def config(design: str = "quick", seed: int = 0) -> RunConfig:
    """A valid configuration whose design says what the fake does: quick, slow, fails, raises, dies, full."""
    return RunConfig.model_validate(
        {
            "task": "toy/point-mass",
            "seed": seed,
            "design": design,
            "predict": "images",
            "space": "latent",
            "dynamics": "stochastic",
            "train": {"episodes": 10 + seed},  # so that no two designs of a seed share an id by chance
            "planner": {"horizon": 1 + sum(map(ord, design)) % 97},
        }
    )


def make(root: Path, design: str = "quick", seed: int = 0) -> RunDir:
    """A run directory under `root`."""
    made = config(design, seed)
    return RunDir.create(root / "runs" / run_id(made), made)


def counted(run: RunDir) -> list[int]:
    """The iterations that the fake executed, in order, over all attempts."""
    file = run.path / "counted.txt"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def execute(run: RunDir, *, owns, datasets, stop=lambda: False, debug=False) -> str:
    """Counts to 5, 50 or 400, from where the state file stopped; a retried failure starts anew."""
    design = run.read_config().design
    state = run.read_state() or RunState(id=run.id, state="running", attempt=0)
    state.attempt += 1
    state.state, state.iterations = "running", {"slow": 400, "longer": 50}.get(design or "", 5)
    print(f"attempt {state.attempt} with {os.environ.get('OMP_NUM_THREADS')} threads", flush=True)
    while state.iteration < state.iterations:
        if stop():
            return _end(run, state, "preempted")
        assert owns()
        with (run.path / "counted.txt").open("a") as file:
            file.write(f"{state.iteration}\n")
        state.iteration += 1
        state.phase, state.progress = "collecting", state.iteration / state.iterations
        state.last_return, state.heartbeat = float(state.iteration), time.time()
        run.write_state(state)
        _misbehave(run, design, state)
        time.sleep(0.02)
    return _end(run, state, "diverged" if design == "diverges" else "done")


def _misbehave(run: RunDir, design: str | None, state: RunState) -> None:
    if design == "breaks":
        breakpoint()  # noqa: T100 - for tests of --debug
    if design == "raises":
        raise ValueError("a bug [sic]")
    first = state.attempt == 1
    if (design, first, state.iteration) == ("dies", True, 3):
        os.kill(os.getpid(), signal.SIGKILL)
    if design == "crashes" or (design, first, state.iteration) == ("crashes-once", True, 3):
        os.kill(os.getpid(), signal.SIGSEGV)
    if design == "eats" and state.iteration == 1:
        bytearray(b"x") * MEAL
    if design == "no-room" and not (run.path / "state.previous.json").exists():
        state.error = Failure("gpu-memory", "no room by design", "Traceback: ...")
        state.iteration = state.iterations
    if design in {"fails", "full"}:
        state.error = Failure("disk" if design == "full" else "code", f"{design} by design", "Traceback: ...")
        state.iteration = state.iterations


def _end(run: RunDir, state: RunState, ending: str) -> str:
    state.state = "failed" if state.error else ending
    state.heartbeat = time.time()
    run.write_state(state)
    return state.state
