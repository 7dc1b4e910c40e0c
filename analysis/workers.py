"""Parts of a report that are made at once, by forked processes: what was read is in memory once."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from types import TracebackType
from typing import Any, Self

VARIABLE = "WM_PROCESSES"
MOST = 8
"""Processes at most: a report has no more parts that take long."""
Job = Callable[[], Any]
_JOBS: dict[int, Job] = {}
"""What a forked process finds its part by: functions travel by being there when it is forked."""
_NUMBERS = itertools.count()


def processes() -> int:
    """How many may be used: `WM_PROCESSES`, else one a core; one where a process cannot be forked safely."""
    if sys.platform != "linux" or "fork" not in multiprocessing.get_all_start_methods():
        return 1
    asked = os.environ.get(VARIABLE, "")
    return min(MOST, max(1, int(asked) if asked.isdigit() else len(os.sched_getaffinity(0))))


class Workers:
    """Does jobs in forked processes, or one after another where there is one process alone.

    Args:
        count: of the processes.
        copied: what a job in another process hands back of its result: something small that can be pickled.
    """

    def __init__(self, count: int, copied: Callable[[Any], Any]) -> None:
        self._count, self._copied = count, copied
        self._pools: list[ProcessPoolExecutor] = []
        self._begun: dict[Future[Any], str] = {}
        self._waiting: dict[str, Job] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def start(self, jobs: Mapping[str, Job], count: int | None = None) -> None:
        """Begins jobs, which know what this process knows now.

        Args:
            jobs: by name, the longest first.
            count: of processes for them, if not all.
        """
        if self._count == 1 or not jobs:
            self._waiting |= jobs
            return
        pool = ProcessPoolExecutor(
            min(count or self._count, len(jobs)), mp_context=multiprocessing.get_context("fork")
        )
        self._pools.append(pool)
        numbers = {next(_NUMBERS): name for name in jobs}
        _JOBS.update({number: self._job(jobs[name]) for number, name in numbers.items()})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: those of pools, which wait
            self._begun |= {pool.submit(_do, number): name for number, name in numbers.items()}
        for number in numbers:
            del _JOBS[number]

    def _job(self, job: Job) -> Job:
        return lambda: self._copied(job())

    def finish(self, told: Callable[[str, int, int], None]) -> dict[str, Any]:
        """The results by name, when all are there; what a job raises is raised here.

        Args:
            told: of each job that is done: its name, how many are done, of how many.
        """
        total = len(self._begun) + len(self._waiting)
        found: dict[str, Any] = {}
        for name, job in self._waiting.items():
            told(name, len(found), total)
            found[name] = job()
        for future in as_completed(self._begun):
            found[self._begun[future]] = future.result()
            told(self._begun[future], len(found), total)
        return found


def _do(number: int) -> Any:
    return _JOBS[number]()
