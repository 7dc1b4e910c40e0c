"""Gathers what is known of many runs: their own files, the dispatch records, and one question to each scheduler.

The order matters. Dispatch records first, then the queue, then, for what it does not list, the state files again, then
the accounting: whatever a task wrote before it left the queue is read after the queue was asked.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import claim
from studies.cluster import clusters
from studies.cluster.accounts import Accounts
from studies.cluster.owners import key_of, records_of
from studies.cluster.records import Assignment, Dispatch, Submission, read_events, read_submission
from studies.cluster.truth import Answers, Facts, ownership
from studies.cluster.types import Accounted, Queued
from studies.status import FINISHED, read_run
from studies.store import StoredRun

_TAIL_BYTES = 4096
_EARLIER_SECONDS = 120.0
"""How much earlier than its record a task may have been submitted by the scheduler's clock."""


@dataclass
class Asked:
    """What one cluster was asked and answered.

    Attributes:
        queue, accounting: the answers; None: none.
        queue_time: unix seconds of the question to the queue; None if it was not asked.
        jobs: whose accounting was asked for.
        since: the earliest submission among them, unix seconds.
    """

    queue: dict[str, Queued] | None = None
    accounting: dict[str, Accounted] | None = None
    queue_time: float | None = None
    jobs: frozenset[str] = frozenset()
    since: float = math.inf


@dataclass
class Schedulers:
    """Asks each cluster once, and again no sooner than `every` seconds later.

    Attributes:
        every: seconds.
        asked: by executor.
        names: what clusters call themselves, by executor.
    """

    every: float = 0.0
    asked: dict[str, Asked] = field(default_factory=dict)
    names: dict[str, str | None] = field(default_factory=dict)

    def forget(self, now: float) -> None:
        """Forgets the answers that are too old."""
        self.asked = {
            name: one
            for name, one in self.asked.items()
            if one.queue_time is not None and now - one.queue_time < self.every
        }

    def queue(self, executor: str, newer_than: float) -> dict[str, Queued] | None:
        """The queue of an executor, asked after a time in unix seconds."""
        one = self.asked.get(executor)
        if one is None or one.queue_time is None or one.queue_time < newer_than:
            one = self.asked[executor] = Asked(queue_time=time.time())
            one.queue = clusters.cluster_for(executor).queue()
        return one.queue

    def accounting(self, executor: str, jobs: Collection[str], since: float) -> dict[str, Accounted] | None:
        """The records of some jobs; the queue was asked before."""
        one = self.asked[executor]
        if not set(jobs) <= one.jobs:
            one.jobs |= frozenset(jobs)
            one.since = min(one.since, since)
            one.accounting = records_of(clusters.cluster_for(executor), sorted(one.jobs), one.since)
        return one.accounting

    def name(self, executor: str) -> str | None:
        """What the cluster of an executor calls itself, asked once; None if it does not say."""
        if executor not in self.names:
            self.names[executor] = clusters.cluster_for(executor).cluster_name
        return self.names[executor]


class TaskWords:
    """What a task said and printed last, read when it is asked for."""

    def __init__(self, task: Assignment) -> None:
        self._task = task

    @cached_property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """As `records.read_events` has them."""
        return read_events(self._task.array, self._task.index)

    @cached_property
    def log(self) -> Sequence[str]:
        """The last lines of its output, those of its standard error last."""
        return [line for file in self._task.array.log_files(self._task.index) for line in _tail(file)]


class Gatherer:
    """Gathers the facts of the runs of one study.

    Args:
        study: its directory.
        schedulers: shared by all studies of a survey.
    """

    def __init__(self, study: Path, schedulers: Schedulers) -> None:
        self.dispatch = Dispatch(study)
        self._schedulers = schedulers
        self._here = socket.gethostname()
        self._silent: dict[Path, str] = {}
        self._submissions: dict[Path, Submission] = {}
        self._known: set[str] | None = None
        self._words: dict[tuple[Path, int, int], TaskWords] = {}

    def gather(self, runs: Sequence[StoredRun], now: float) -> list[Facts]:
        """The facts of some runs, in their order."""
        if not self.dispatch.exists:
            return [_own_files(run.path, Facts(run.hex)) for run in runs]
        history, marks = self.dispatch.assignments, self.dispatch.marks
        first = [Facts(run.hex, history=history.get(run.hex, ()), mark=marks.get(run.hex)) for run in runs]
        found = [_own_files(run.path, facts) for run, facts in zip(runs, first, strict=True)]
        kept = Accounts(self.dispatch.path).read()
        self._known = None
        self._ask_queues(found, now)
        found = [
            self._answered(_own_files(run.path, facts) if self._has_left(facts) else facts, kept)
            for run, facts in zip(runs, found, strict=True)
        ]
        unknown = self._ask_accounting(found, now)
        if unknown:
            found = [self._answered(facts, kept) if facts.hex in unknown else facts for facts in found]
            self._keep(found, now)
        return found

    def _ask_queues(self, found: Iterable[Facts], now: float) -> None:
        """Asks every cluster that may have a task of an unfinished run."""
        newest: dict[str, float] = {}
        for facts in found:
            if _is_finished(facts):
                continue
            if facts.task is not None and not self._nobody_to_ask(facts.task):
                executor = facts.task.array.executor
                newest[executor] = max(newest.get(executor, 0.0), facts.task.array.time)
            if facts.ownership == "unknown" and facts.owner is not None and facts.owner.job is not None:
                newest.setdefault("slurm", 0.0)
        for executor, submitted in newest.items():
            self._schedulers.queue(executor, min(submitted, now))

    def _has_left(self, facts: Facts) -> bool:
        """Whether the task of an unfinished run is not in the queue, so that its last word is on the disk by now."""
        if _is_finished(facts) or facts.task is None:
            return False
        asked = self._schedulers.asked.get(facts.task.array.executor)
        return bool(asked and asked.queue is not None and facts.key not in asked.queue)

    def _answered(self, facts: Facts, kept: Mapping[str, Accounted]) -> Facts:
        """The facts with what the clusters have answered."""
        slurm = self._answers("slurm", kept)
        if silent := self._nobody_knows(facts):
            slurm = Answers(kept=kept, silent=silent, elsewhere=True)
        if facts.task is None:
            return replace(facts, slurm=slurm)
        answers = self._answers(facts.task.array.executor, kept)
        found = replace(facts, answers=answers, slurm=slurm, said=self._words_of(facts.task))
        silent = self._nobody_to_ask(facts.task) or self._nobody_knows_task(found)
        elsewhere = Answers(kept=kept, silent=silent, elsewhere=True)
        return replace(found, answers=elsewhere) if silent else found

    def _nobody_knows_task(self, facts: Facts) -> str:
        """Why it means nothing that the queue does not list the task of a run; empty if it means something."""
        if facts.task is None or facts.answers.queue is None or facts.listed is not None:
            return ""
        if _is_finished(facts) or facts.is_kept:
            return ""
        return self._elsewhere(self._submission(facts.task).cluster, facts.task.array.executor)

    def _nobody_knows(self, facts: Facts) -> str:
        """Why the SLURM of this place does not know the owner of a run, whatever it says; empty if it does."""
        owned = facts.ownership == "unknown" and not _is_finished(facts)
        if not owned or facts.owner is None or facts.owner.job is None:
            return ""
        if facts.is_foreign:
            return "another user's job has it"
        return self._elsewhere(facts.owner.cluster, "slurm")

    def _elsewhere(self, cluster: str | None, executor: str) -> str:
        """Why a cluster of some name is not the one that answers here; empty if it is, or nobody knows.

        Its name is asked for only if no task in its queue proves it.
        """
        if cluster is None or executor == "local":
            return ""
        if self._known is None:
            queue = self._schedulers.asked.get("slurm", Asked()).queue or {}
            names = {task.name for task in queue.values()}
            listed = {one.folder for one in self.dispatch.arrays if one.name in names}
            self._known = {name for name in (read_submission(one).cluster for one in listed) if name}
        if cluster in self._known:
            return ""
        here = self._schedulers.name(executor)
        words = f"it is on the cluster {cluster}, this is {here or 'an unnamed one'}"
        return "" if here == cluster else words

    def _submission(self, task: Assignment) -> Submission:
        folder = task.array.folder
        if folder not in self._submissions:
            self._submissions[folder] = read_submission(folder)
        return self._submissions[folder]

    def _answers(self, executor: str, kept: Mapping[str, Accounted]) -> Answers:
        one = self._schedulers.asked.get(executor, Asked())
        return Answers(one.queue, one.accounting, kept)

    def _ask_accounting(self, found: Iterable[Facts], now: float) -> set[str]:
        """Asks about tasks that have left the queue and whose end nobody knows; returns the runs it is about."""
        jobs: dict[str, set[str]] = {}
        since: dict[str, float] = {}
        unknown = set()
        for facts in found:
            for executor, key, submitted in _unknown_tasks(facts, now):
                unknown.add(facts.hex)
                jobs.setdefault(executor, set()).add(key.partition("_")[0])
                since[executor] = min(since.get(executor, submitted), submitted)
        for executor, numbers in jobs.items():
            self._schedulers.accounting(executor, numbers, since[executor] - _EARLIER_SECONDS)
        return unknown

    def _keep(self, found: Iterable[Facts], now: float) -> None:
        """Keeps what is known for good."""
        ended = {
            facts.key: facts.ended
            for facts in found
            if facts.key is not None
            and facts.answers.queue is not None
            and facts.listed is None
            and facts.ended is not None
        }
        if ended:
            Accounts(self.dispatch.path).keep(ended, now)

    def _nobody_to_ask(self, task: Assignment) -> str:
        """Why no queue that can be asked from here lists a task; empty if one does.

        A local pool is known on its own machine; a scheduler tells a user about that user's tasks.
        """
        folder = task.array.folder
        if folder not in self._silent:
            host = self._submission(task).host if task.array.executor == "local" else self._here
            other = folder.stat().st_uid != os.getuid()
            why = f"it was submitted on {host}" if host != self._here else ""
            self._silent[folder] = "another user submitted it" if other else why
        return self._silent[folder]

    def _words_of(self, task: Assignment) -> TaskWords:
        place = (task.array.folder, task.array.number, task.index)
        if place not in self._words:
            self._words[place] = TaskWords(task)
        return self._words[place]


def _unknown_tasks(facts: Facts, now: float) -> Iterable[tuple[str, str, float]]:
    """The executor, key and time of submission of tasks whose end would tell what became of a run."""
    held = ownership(facts, now)
    if _is_finished(facts) or held == "alive":
        return
    task, key = facts.task, facts.key
    if held == "unknown" and facts.owner is not None and facts.slurm.queue is not None:
        own = key_of(facts.owner)
        if own is not None and own not in facts.slurm.queue and facts.kept_of_owner is None:
            yield "slurm", own, facts.owner.time
    settled = facts.recorded == "failed" or facts.mark_in_force is not None
    if task is None or key is None or settled or facts.is_kept:
        return
    if facts.answers.queue is not None and facts.listed is None:
        yield task.array.executor, key, task.array.time


def _is_finished(facts: Facts) -> bool:
    return facts.state is not None and facts.state.state in FINISHED


def _own_files(path: Path, facts: Facts) -> Facts:
    """The facts with what the run's directory says."""
    held, owner, state = read_run(path)
    foreign = held == "unknown" and claim.is_of_another_user(path)
    return replace(facts, ownership=held, owner=owner, state=state, is_foreign=foreign)


def _tail(file: Path) -> list[str]:
    """The last lines of a file; none if it cannot be read."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return stream.read().decode(errors="replace").splitlines()
    except OSError:
        return []
