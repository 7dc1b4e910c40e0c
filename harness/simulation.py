"""Rolls action sequences out on true simulators, divided over processes; the numbers do not depend on how many.

::

    this process     snapshots [B], actions [B, C, H, A] --> B x C sequences --> shares --> rewards [B, C, H]
                                                                |      |
    others           serve(FD)  <------------------------------+------+   a simulator each, no frames

The processes are programs of their own, neither forked (OpenGL and threads do not survive that) nor importing the
caller's main module. One ends when the other end of its socket is closed, so that none outlives who started it.
Torch-free.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from harness.config.sections import EnvConfig
from harness.errors import FailureKind, RunError, UserError
from harness.tasks import Simulator, Task, find_task

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
_METHODS = ("snapshot", "restore", "advance")
_PATIENCE = 5.0  # seconds that a process gets to end


class Outcomes(NamedTuple):
    """What sequences of actions lead to."""

    rewards: F64  # [.., H]; zero behind an episode's end
    goes_on: NDArray[np.bool_]  # [.., H], whether the episode goes on after the step


class Share(NamedTuple):
    """What one process is to roll out: from each snapshot a few sequences [n, H, A]."""

    snapshots: list[Any]
    actions: list[F32]


def require_simulator(task: Task) -> None:
    """Refuses a task that the oracle cannot plan on.

    Raises:
        UserError: says so, and what to do.
    """
    if not task.spec.simulates:
        raise UserError(
            f"{task.spec.name} cannot be simulated from any state, which is what the oracle plans on: leave "
            "agent oracle out for it (of a grid by exclude: [{agent: oracle, task: ...}], of an include by not naming "
            "it there), or, in a task of your own, give its "
            "environment snapshot, restore and advance (harness.tasks.Simulator) and its spec simulates=True"
        )


def simulator_of(env: Any) -> Simulator:
    """The simulator that an environment of a task that `simulates` is.

    Raises:
        UserError: it lacks methods.
    """
    found: Simulator = env.unwrapped
    missing = [name for name in _METHODS if not callable(getattr(found, name, None))]
    if missing:
        raise UserError(
            f"{type(found).__name__} has no {', '.join(missing)}, though the spec of its task says simulates=True"
        )
    return found


class Simulators:
    """Simulators of one task in several processes. Use as a context manager, or `close` it.

    Args:
        task: as configured; must simulate.
        env: what it was configured with.
        processes: how many simulate; this one is the first of them.

    Raises:
        UserError: the task does not simulate.
    """

    def __init__(self, task: Task, env: EnvConfig, processes: int = 1) -> None:
        require_simulator(task)
        self._task, self._config = task, env
        self._own: Any = None
        self._processes = processes
        self._others: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rollout(self, snapshots: Sequence[Any], actions: F32) -> Outcomes:
        """Plays sequences from snapshots.

        Args:
            snapshots: B of them.
            actions: [B, C, H, A] in [-1, 1], or one-hot.

        Raises:
            RunError: a process died, or the simulator raised.
        """
        batch, candidates, horizon, _ = actions.shape
        self._start()
        shares = divide(snapshots, actions, self._processes)
        for process, share in zip(self._others, shares[1:], strict=True):
            process.send(share)
        parts = [play_share(simulator_of(self._own), share=shares[0], discrete=self._task.spec.discrete)]
        parts += [process.receive() for process in self._others]
        shape = (batch, candidates, horizon)
        rewards = np.concatenate([part.rewards for part in parts]).reshape(shape)
        return Outcomes(rewards, np.concatenate([part.goes_on for part in parts]).reshape(shape))

    def close(self) -> None:
        """Ends the processes; called again, it does nothing. A later `rollout` starts anew."""
        for process in self._others:
            process.hang_up()
        for process in self._others:
            process.end()
        self._others = []
        if self._own is not None:
            self._own.close()
            self._own = None

    def _start(self) -> None:
        if self._own is None:
            self._own = self._task.make()
        while len(self._others) < self._processes - 1:
            self._others.append(_Process(self._task.spec.name, self._config))


def divide(snapshots: Sequence[Any], actions: F32, parts: int) -> list[Share]:
    """B x C sequences in `parts` shares of consecutive ones, as equal as can be; each may be of several snapshots."""
    batch, candidates = actions.shape[:2]
    bounds = np.linspace(0, batch * candidates, parts + 1).round().astype(int)
    shares = []
    for begin, end in pairwise(bounds.tolist()):
        rows = [
            (row, max(begin - row * candidates, 0), min(end - row * candidates, candidates))
            for row in range(batch)
        ]
        taken = [(row, low, high) for row, low, high in rows if low < high] or [(0, 0, 0)]
        shares.append(Share([snapshots[row] for row, _, _ in taken], [actions[r, a:b] for r, a, b in taken]))
    return shares


def play_share(simulator: Simulator, share: Share, *, discrete: bool) -> Outcomes:
    """Plays the sequences of a share one after another: outcomes [n, H]."""
    count = sum(len(sequences) for sequences in share.actions)
    horizon = share.actions[0].shape[1]
    rewards, goes_on = np.zeros((count, horizon)), np.zeros((count, horizon), np.bool_)
    row = 0
    for snapshot, sequences in zip(share.snapshots, share.actions, strict=True):
        for sequence in sequences:
            simulator.restore(snapshot)
            for step, action in enumerate(sequence):
                rewards[row, step], over = simulator.advance(int(action.argmax()) if discrete else action)
                goes_on[row, step] = not over
                if over:
                    break
            row += 1
    return Outcomes(rewards, goes_on)


class _Process:
    """Another process with a simulator, seen from this one."""

    def __init__(self, task: str, env: EnvConfig) -> None:
        self._socket, far = Pipe()
        path = os.pathsep.join(dict.fromkeys([str(Path(__file__).parents[1]), *filter(None, sys.path)]))
        self._program = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from harness.simulation import serve; serve({far.fileno()})"],
            env=os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            pass_fds=[far.fileno()],
        )
        far.close()
        self.send((task, env))

    def send(self, message: Any) -> None:
        try:
            self._socket.send(message)
        except OSError as error:
            raise self._died() from error

    def receive(self) -> Outcomes:
        try:
            outcome: Outcomes | str = self._socket.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if isinstance(outcome, str):
            raise RunError("code", f"the simulator raised in one of the oracle's processes.\n{outcome}", "")
        return outcome

    def hang_up(self) -> None:
        self._socket.close()

    def end(self) -> None:
        """Waits for the end, which hanging up brings about."""
        try:
            self._program.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()

    def _died(self) -> RunError:
        self.hang_up()
        self.end()
        status = self._program.returncode
        killed = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        kind: FailureKind = "host-memory" if status == -signal.SIGKILL else "code"
        cause = "Was the machine out of memory?" if kind == "host-memory" else "The log says why."
        return RunError(
            kind,
            f"a process that simulates for the oracle ended {killed}.",
            f"{cause} Set runtime.oracle_processes lower; 1 simulates without other processes.",
        )


def serve(handle: int) -> None:
    """The program of another process: rolls out what comes through a socket until the other end hangs up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # whoever started this decides when it ends
    with Connection(handle) as socket:
        try:
            _answer(socket)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        except Exception:  # noqa: BLE001 - the other end raises it
            socket.send(traceback.format_exc())


def _answer(socket: Connection) -> None:
    name, config = socket.recv()
    task = find_task(name, config)
    env = task.make()
    try:
        while True:
            share = socket.recv()
            socket.send(play_share(simulator_of(env), share, discrete=task.spec.discrete))
    finally:
        env.close()
