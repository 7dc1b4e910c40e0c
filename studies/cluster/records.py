"""What was dispatched, and what its tasks said: ``RUNS/<study>/dispatch/``.

::

    0001/                    a submission; mkdir makes the number unique
      submission.json        when, by whom, with which code and command; immutable
      array-0.json           the array: name, resources, runs of each task and why; immutable
      array-0.runs.jsonl     line i: the runs of task i with their configurations; immutable; all that a task reads
      array-0.job.json       the scheduler's answer: the job number, or why it refused
      events/0-17.jsonl      appended by task 17 of array 0 (one process at a time)
      logs/                  submitit's files
    marks/<hex>.json         a run that was cancelled or is to be tried again, and when
    lock/                    a claim: one process submits at a time

A run belongs to the last task that lists it. An array without array-0.job.json was interrupted between the two: it is
known by its name, which no other job has.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from harness.disk import disk_errors
from harness.rundir import write_atomically
from studies.cluster.granting import Granted
from studies.store import StoredRun

MarkName = Literal["cancelled", "retried"]

_LATER_SECONDS = 0.001


@dataclass(frozen=True)
class Entry:
    """A run in a task.

    Attributes:
        hex: of the run.
        reason: why it was submitted: `new`, `continue`, `retried` by a person (`wm retry`), or `retry:KIND` after a
            failure of that kind.
        tries: how many submissions since `retried` had the same `retry:KIND`, this one included (`policy` says what
            undoes the count); 0 otherwise.
        progress: of the run when it was submitted, 0 to 1.
    """

    hex: str
    reason: str = "new"
    tries: int = 0
    progress: float = 0.0


@dataclass(frozen=True)
class Array:
    """A job array as submitted.

    Attributes:
        folder: ``dispatch/<submission>``.
        number: of the array in it.
        name: the job's name.
        executor: `slurm` or `local`.
        time: unix seconds of the submission.
        resources: of a single run, as granted; an allocation has `runs_per_gpu` times as much.
        tasks: the runs of each task.
        job: the scheduler's number; None if it is not known (see the module).
        error: why the scheduler refused it, or the empty string.
    """

    folder: Path
    number: int
    name: str
    executor: str
    time: float
    resources: Granted
    tasks: tuple[tuple[Entry, ...], ...]
    job: str | None = None
    error: str = ""

    def key(self, index: int) -> str | None:
        """What the scheduler calls a task; None if the job's number is not known. An array of one is a plain job."""
        if self.job is None:
            return None
        return self.job if len(self.tasks) == 1 else f"{self.job}_{index}"

    def events_file(self, index: int) -> Path:
        """Where a task says what it does."""
        return self.folder / "events" / f"{self.number}-{index}.jsonl"

    def log_files(self, index: int) -> list[Path]:
        """What a task printed, its standard output first; they may not exist."""
        key = self.key(index)
        return [] if key is None else [self.folder / "logs" / f"{key}_0_log.{end}" for end in ("out", "err")]


@dataclass(frozen=True)
class Assignment:
    """A run's place in an array."""

    array: Array
    index: int
    entry: Entry

    @property
    def key(self) -> str | None:
        """What the scheduler calls its task."""
        return self.array.key(self.index)


@dataclass(frozen=True)
class Mark:
    """That a run was cancelled, or is to be tried again whatever became of it; a later submission undoes either."""

    name: MarkName
    time: float


@dataclass(frozen=True)
class Submission:
    """One call of `wm submit`.

    Attributes:
        code: the snapshot of the code that its tasks run, ``RUNS/<study>/code/<digest>``.
        datasets: RUNS/datasets.
        execute: what executes a run, as module:function.
        follow_up: the name of the job that looks after it once its arrays have ended; None if there is none.
        profile: the user's profile as it was named, or None.
        selected: hexes of the runs that were to be submitted, whatever came of it.
        cluster: what the scheduler calls itself; None if it does not say.
    """

    number: int
    time: float
    executor: str
    host: str
    user: str
    command: tuple[str, ...]
    code: str
    datasets: str
    execute: str
    follow_up: str | None = None
    profile: str | None = None
    selected: tuple[str, ...] = ()
    cluster: str | None = None


@dataclass(frozen=True)
class TaskRun:
    """A run of a task, with all that the task needs to start it."""

    hex: str
    path: Path
    config: dict[str, Any]


class Dispatch:
    """Reads and writes the dispatch directory of a study, which need not exist."""

    def __init__(self, study: Path) -> None:
        self.path = study / "dispatch"
        self.code = study / "code"

    @property
    def exists(self) -> bool:
        """Whether anything was ever dispatched."""
        return self.path.is_dir()

    @cached_property
    def arrays(self) -> list[Array]:
        """Every array that the scheduler did not refuse, oldest first."""
        found = [_read_array(file) for folder in self._folders() for file in _array_files(folder)]
        return [array for array in found if not array.error]

    @cached_property
    def assignments(self) -> dict[str, list[Assignment]]:
        """The tasks that list a run, oldest first, by hex."""
        found: dict[str, list[Assignment]] = {}
        for array in self.arrays:
            for index, task in enumerate(array.tasks):
                for entry in task:
                    found.setdefault(entry.hex, []).append(Assignment(array, index, entry))
        return found

    @cached_property
    def marks(self) -> dict[str, Mark]:
        """The marks of runs, by hex."""
        found = {}
        for file in (self.path / "marks").glob("*.json"):
            mark = self.mark_of(file.stem)
            if mark is not None:
                found[file.stem] = mark
        return found

    def mark_of(self, digits: str) -> Mark | None:
        """The mark of a single run, as it is now."""
        content = _json(self.path / "marks" / f"{digits}.json")
        return None if content is None else Mark(content["mark"], content["time"])

    def mark(self, hexes: Sequence[str], name: MarkName) -> None:
        """Marks runs, now; later than their last submission, whatever this machine's clock says."""
        folder = self.path / "marks"
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for digits in hexes:
                last = self.assignments.get(digits)
                when = max(time.time(), last[-1].array.time if last else 0.0)
                content = json.dumps({"mark": name, "time": when})
                write_atomically(folder / f"{digits}.json", content, sync=False)
        self.__dict__.pop("marks", None)

    def begin(self, submission: Mapping[str, Any]) -> Path:
        """Makes the directory of a new submission; returns it.

        Args:
            submission: the fields of `Submission` that are not told by the place and time.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            number = max((int(folder.name) for folder in self._folders()), default=0) + 1
            while True:
                folder = self.path / f"{number:04d}"
                try:
                    folder.mkdir()
                    break
                except FileExistsError:
                    number += 1
            (folder / "events").mkdir()
            (folder / "logs").mkdir()
            content = {
                "number": number,
                "time": time.time(),
                "host": socket.gethostname(),
                "user": os.environ.get("USER") or str(os.getuid()),
                **submission,
            }
            write_atomically(folder / "submission.json", json.dumps(content))
        self.__dict__.pop("arrays", None)
        self.__dict__.pop("assignments", None)
        return folder

    def add_array(
        self,
        folder: Path,
        executor: str,
        resources: Granted,
        tasks: Sequence[Sequence[tuple[StoredRun, Entry]]],
    ) -> Array:
        """Writes an array that is about to be submitted; `answered` then says what the scheduler made of it."""
        number = len(_array_files(folder))
        study = folder.parent.parent.name
        name = f"wm-{study}-{folder.name}-{number}-{uuid.uuid4().hex[:6]}"
        entries = tuple(tuple(entry for _, entry in task) for task in tasks)
        when = time.time()
        for mark in filter(None, (self.mark_of(entry.hex) for task in entries for entry in task)):
            when = max(when, mark.time + _LATER_SECONDS)  # marked by a machine whose clock is ahead
        array = Array(folder, number, name, executor, when, resources, entries)
        lines = "".join(
            json.dumps([{"hex": r.hex, "path": str(r.path), "config": r.config} for r, _ in task]) + "\n"
            for task in tasks
        )
        head = {"name": name, "executor": executor, "time": array.time, "resources": resources.model_dump()}
        head["tasks"] = [[asdict(entry) for entry in task] for task in entries]
        with disk_errors(folder):
            write_atomically(folder / f"array-{number}.runs.jsonl", lines)
            write_atomically(folder / f"array-{number}.json", json.dumps(head))
        return array

    def answered(self, array: Array, *, job: str | None = None, error: str = "") -> None:
        """Writes what the scheduler answered."""
        with disk_errors(array.folder):
            content = {"job": job, "error": error, "time": time.time()}
            write_atomically(_answer_file(array.folder, array.number), json.dumps(content))
        self.__dict__.pop("arrays", None)
        self.__dict__.pop("assignments", None)

    def _folders(self) -> list[Path]:
        try:
            return sorted(folder for folder in self.path.iterdir() if folder.name.isdigit())
        except (FileNotFoundError, NotADirectoryError):
            return []


def read_submission(folder: Path) -> Submission:
    """What a submission's directory says about it."""
    content = json.loads((folder / "submission.json").read_text())
    lists = {name: tuple(content.get(name, ())) for name in ("command", "selected")}
    return Submission(**content | lists)


def read_task(folder: Path, array: int, index: int) -> list[TaskRun]:
    """The runs of a task."""
    with (folder / f"array-{array}.runs.jsonl").open() as file:
        line = next(text for number, text in enumerate(file) if number == index)
    return [TaskRun(run["hex"], Path(run["path"]), run["config"]) for run in json.loads(line)]


def read_array(folder: Path, number: int) -> Array:
    """An array of a submission."""
    return _read_array(folder / f"array-{number}.json")


def read_events(array: Array, index: int) -> list[dict[str, Any]]:
    """What a task said, over all its restarts; a line that is being written, or that a kill cut short, is left out.

    Every line has `event` and `time` (unix seconds):

    begin       the task's process has started: host, node (as SLURM calls it), job, restart, pid, gpus, code (digest)
    started     a run's worker: hex
    ended       a run's worker has ended: hex, condition, status, oom (killed for its memory), peak_memory_mb;
                owner (who else has the run, status 76)
    requeue     the task asks to be requeued: because, left (hexes)
    end         the task ends: left (hexes), because, kind (of failure that the rest of its runs is to count as, if any)
    """
    try:
        lines = array.events_file(index).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def say(array: Array, index: int, event: str, **fields: Any) -> None:
    """Appends a line to a task's events; a disk that is full is no reason to stop."""
    file = array.events_file(index)
    line = json.dumps({"event": event, "time": time.time(), **fields}) + "\n"
    try:
        with file.open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":  # a kill, or a full disk, left half a line
                    line = "\n" + line
            stream.write(line.encode())
    except OSError:
        return


def _read_array(file: Path) -> Array:
    head = json.loads(file.read_text())
    number = int(file.stem.partition("-")[2])
    answer = _json(_answer_file(file.parent, number)) or {}
    return Array(
        folder=file.parent,
        number=number,
        name=head["name"],
        executor=head["executor"],
        time=head["time"],
        resources=Granted.model_validate(head["resources"]),
        tasks=tuple(tuple(Entry(**entry) for entry in task) for task in head["tasks"]),
        job=answer.get("job"),
        error=answer.get("error", ""),
    )


def _array_files(folder: Path) -> list[Path]:
    files = [file for file in folder.glob("array-*.json") if file.stem.partition("-")[2].isdigit()]
    return sorted(files, key=lambda file: int(file.stem.partition("-")[2]))


def _answer_file(folder: Path, number: int) -> Path:
    return folder / f"array-{number}.job.json"


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None
