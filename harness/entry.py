"""One attempt at a run, from its directory to its ending: what a worker calls.

Everything that can go wrong in a run ends here as a recorded ending; nothing but a programming error of the caller
leaves `execute` as an exception.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from harness import tensorboard
from harness.attempts import record_end, record_start
from harness.config import RunConfig, component_versions
from harness.devices import Proven, check_given, check_same, in_use
from harness.disk import as_disk_error
from harness.errors import RunError, UserError
from harness.monitor import Monitor, Stopped
from harness.own import own_paths
from harness.places import where_in
from harness.rundir import Ending, Failure, RunDir, RunState

log = logging.getLogger("wm")


def execute(
    run: RunDir,
    *,
    stop: Callable[[], bool] = lambda: False,
    owns: Callable[[], bool] = lambda: True,
    datasets: Path,
    debug: bool = False,
) -> Ending:
    """Runs or resumes a run and returns how the attempt ended.

    Args:
        run: a directory with its run.yaml.
        stop: polled at every environment and gradient step; when true the run checkpoints and ends `preempted`.
        owns: asked before every commit; when false the run leaves without writing.
        datasets: RUNS/datasets, shared by the runs of all studies.
        debug: let exceptions of the run through, for a debugger.

    Returns:
        `done`, `diverged`, `failed` or `preempted`. A run that is recorded as done or diverged is left as it is.
    """
    before = run.read_state()
    if before is not None and before.state in {"done", "diverged"}:
        return before.state
    numbers = [record["attempt"] for record in run.read_attempts()]  # one that fails early has an end alone
    attempt = 1 + max(numbers, default=0)
    state = RunState(id=run.id, state="running", attempt=attempt, started=time.time())
    if before is not None:
        state.last_return = before.last_return
    monitor = Monitor(run, state, stop, owns)
    monitor.write()
    try:
        ending, error = _attempt(run, monitor, owns, datasets), None
    except Exception as failure:
        from harness.checkpoint import LostOwnership

        if debug and not isinstance(failure, (Stopped, LostOwnership)):
            raise
        if isinstance(failure, LostOwnership):
            log.warning("another process has taken this run over; leaving it to that one")
            return "preempted"
        ending, error = _ending_of(failure, own_paths(run.read_config()))
    record_end(run, monitor, ending, error)
    return ending


def _attempt(run: RunDir, monitor: Monitor, owns: Callable[[], bool], datasets: Path) -> Ending:
    """Sets the process up and runs to the end."""
    config = run.read_config()
    monitor.state.iterations = config.train.episodes if config.agent == "model" else 0
    _check_versions(run, config)
    drawing = _select_rendering(config)
    if config.storage.tensorboard:
        tensorboard.require()
    import torch

    if config.runtime.threads is not None:
        torch.set_num_threads(config.runtime.threads)
    from harness.build import make_device
    from harness.final import run_model, run_oracle, run_random, settle
    from harness.session import Session
    from harness.summary import summarised_ending
    from harness.tasks import find_task

    check_given(config.runtime.device)
    device = make_device(config.runtime.device)
    gpu = in_use(str(device))
    if drawing is not None:
        check_same(drawing, gpu)
    threads = torch.get_num_threads()
    record_start(run, config, monitor.state.attempt, str(device), gpu, drawing, threads)
    backend = f"{drawing.rendering} ({drawing.renderer})" if drawing else "no OpenGL"
    counted = f"{threads} thread{'s' * (threads != 1)}"
    log.info("on %s, %s, rendering with %s", gpu["name"] if gpu else device, counted, backend)
    task = find_task(config.task, config.env)
    session = Session(run, config, task, device, monitor, owns, datasets)
    ending = summarised_ending(run)
    if ending is None:
        attempts = {"model": run_model, "random": run_random, "oracle": run_oracle}
        ending = attempts[config.agent](session)
    settle(session, ending)
    return ending


def _ending_of(failure: Exception, own: tuple[str, ...]) -> tuple[Ending, Failure | None]:
    if isinstance(failure, Stopped):
        return "preempted", None
    text = "".join(traceback.format_exception(failure))
    log.error("%s", text)
    if isinstance(failure, OSError):
        failure = as_disk_error(failure) or failure
    if isinstance(failure, RunError):
        return "failed", Failure(failure.kind, str(failure), text)
    if isinstance(failure, MemoryError):
        return "failed", Failure("host-memory", "out of host memory", text)
    if type(failure).__name__ == "OutOfMemoryError":
        return "failed", Failure("gpu-memory", str(failure).splitlines()[0], text)
    message = str(failure).strip() if isinstance(failure, UserError) else where_in(failure, own)
    return "failed", Failure("code", message, text)


def _check_versions(run: RunDir, config: RunConfig) -> None:
    """A run goes on only with the component versions that it was planned with."""
    import yaml

    planned = yaml.safe_load(run.config_file.read_text()).get("versions")
    today = component_versions(config)
    if planned != today:
        raise RunError(
            "code",
            f"the run was planned with component versions {planned}; this code has {today}.",
            "Plan the study again, or start this run anew with `wm retry --fresh`.",
        )


def _select_rendering(config: RunConfig) -> Proven | None:
    if not config.task.startswith("dmc/"):
        return None
    from harness.tasks.rendering import select

    return select()
