"""What `wm run` shows while the pool works: a live table on a terminal, throttled lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from harness.rundir import RunState
from studies.pool import Outcome, Worker
from studies.status import FINISHED

_REFRESH_SECONDS = 0.5
_LINE_SECONDS = 30.0
_COLOURS = {"done": "green", "failed": "red", "lost": "red", "diverged": "magenta", "preempted": "yellow"}


class Progress:
    """Shows what the pool does, on standard error; a context manager around `Pool.run`.

    Args:
        total: runs that this call is about.
        finished: how many of them were done before.
    """

    def __init__(self, total: int, finished: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, emoji=False)
        terminal = self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if terminal else None
        self._total = total
        self._finished = finished
        self._began = time.time()
        self._work_at_start: dict[str, float] = {}  # progress of a run when its worker was first seen
        self._shown = 0.0
        self._work_done = 0.0  # in runs, by this call

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def started(self, worker: Worker) -> None:
        """Notes the work that was done before; says so where there is no table."""
        state = worker.job.run.read_state()
        self._work_at_start[worker.job.run.id] = state.progress if state else 0.0
        if not self._live:
            self.say(f"started  {worker.job.run.id}")

    def ended(self, outcome: Outcome) -> None:
        """One line about a run that has ended."""
        condition = outcome.condition
        state = outcome.run.read_state()
        if condition.name in FINISHED:
            self._finished += 1
        self._work_done += (state.progress if state else 0.0) - self._work_at_start.pop(outcome.run.id, 0.0)
        colour = _COLOURS.get(condition.name, "default")
        words = [outcome.run.id]
        if outcome.elsewhere:
            words.append("belongs to another process")
        elif condition.name == "done" and state and state.last_return is not None:
            words.append(f"last return {state.last_return:.1f}")
        elif condition.note:
            words.append(condition.note.splitlines()[0])
        words.append(duration(outcome.seconds))
        label = f"{condition!s:<9}"
        self._console.print(f"[{colour}]{escape(label)}[/] {escape('  '.join(words))}", soft_wrap=True)

    def tick(self, running: Sequence[Worker], waiting: int) -> None:
        """Shows the running runs and the whole; reads their states no oftener than it shows them."""
        now = time.time()
        if now - self._shown < (_REFRESH_SECONDS if self._live else _LINE_SECONDS):
            return
        first, self._shown = self._shown == 0.0, now
        states = {worker.job.run.id: worker.job.run.read_state() for worker in running}
        if self._live:
            self._live.update(self._table(running, states, waiting, now), refresh=True)
        elif not first:
            for worker in running:
                self.say("  ".join(self._row(worker, states[worker.job.run.id], now)))
            self.say(self._summary(states, waiting, now))

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(escape(text), soft_wrap=True)

    def _table(
        self, running: Sequence[Worker], states: dict[str, RunState | None], waiting: int, now: float
    ) -> Group:
        rows = [self._row(worker, states[worker.job.run.id], now) for worker in running]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(1, 5)]
        room = self._console.width - sum(widths) - 2 * len(widths)  # the name gives way on a narrow terminal
        table = Table.grid(padding=(0, 2))
        for _ in range(5):
            table.add_column(no_wrap=True)
        for row in rows:
            table.add_row(*map(escape, [shorten(row[0], room), *row[1:]]))
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(
                total=self._total,
                completed=self._finished + _work(states),
                width=min(40, self._console.width // 4),
            ),
            escape(self._summary(states, waiting, now)),
        )
        return Group(table, bar)

    def _row(self, worker: Worker, state: RunState | None, now: float) -> list[str]:
        """Run without its hex, phase, iteration, last return, and time left."""
        name = worker.job.run.id
        label = name.rpartition("-")[0]
        if state is None or state.heartbeat < worker.started:
            return [label, "starting", "", "", ""]
        if state.state != "running":
            return [label, "ending", "", "", ""]
        where = f"{state.iteration}/{state.iterations}" if state.iterations else ""
        score = f"last return {state.last_return:.1f}" if state.last_return is not None else ""
        left = time_left(
            state.progress - self._work_at_start.get(name, 0.0), 1.0 - state.progress, now - worker.started
        )
        return [label, state.phase, where, score, left]

    def _summary(self, states: dict[str, RunState | None], waiting: int, now: float) -> str:
        """`5 of 12 done, 2 running, 5 waiting, 7 min left`."""
        now_done = _work(states)
        before = sum(self._work_at_start.get(name, 0.0) for name in states)
        left = time_left(
            self._work_done + now_done - before, len(states) - now_done + waiting, now - self._began
        )
        counts = f"{self._finished} of {self._total} done, {len(states)} running, {waiting} waiting"
        return f"{counts}, {left}" if left else counts


def _work(states: dict[str, RunState | None]) -> float:
    return sum(state.progress for state in states.values() if state)


def shorten(name: str, width: int) -> str:
    """A name cut in the middle, so that its seed is still seen; never shorter than 10."""
    width = max(10, width)
    return name if len(name) <= width else f"{name[: width - 5]}…{name[-4:]}"


def time_left(done: float, left: float, seconds: float) -> str:
    """`7 min left`, from the work done in some seconds; the empty string before that can be told."""
    if done <= 0.01 or seconds < 5:
        return ""
    return f"{duration(left / done * seconds)} left"


def duration(seconds: float) -> str:
    """`42 s`, `7 min`, `3.5 h`, `2.1 d`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
