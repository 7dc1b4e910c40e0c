"""SLURM: submission through submitit, questions through SLURM's own programs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import cached_property
from io import StringIO
from pathlib import Path

from harness.disk import disk_errors
from harness.errors import UserError
from studies.cluster import limits, queries, sbatch
from studies.cluster.queries import ask
from studies.cluster.types import Accounted, Limits, Order, Queued, Silent, SubmissionError, Unanswered

_ACCOUNTS = "withassoc", "format=DefaultAccount,Account,Partition,MaxSubmit,DefaultQOS"
_GONE = ("invalid job id", "already completing", "already completed")


class Slurm:
    """A `studies.cluster.types.Cluster`. What does not change while a command runs is asked once per object."""

    name = "slurm"

    def __init__(self) -> None:
        self._accounting: bool | None = None
        self._old = False
        self._silence = ""

    def submit(self, order: Order) -> str:
        """Submits an array and returns its job number.

        Raises:
            SubmissionError: it was refused; nothing of it is left in the queue or the folder.
            Unanswered: nobody knows whether it was; the queue does not list it yet.
            UserError: an option of the resources that no job can have.
        """
        executor = sbatch.executor(order)
        if shutil.which("sbatch") is None:
            raise Silent(sbatch.explain("sbatch is not on the PATH"))
        calls = sbatch.calls(order)
        folder = order.folder / "logs"
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            before = _files(folder)
            try:
                with _clean_environment(), redirect_stderr(StringIO()):  # submitit prints what it raises, too
                    job: str = executor.submit_array(calls)[0].job_id
            except RuntimeError as error:  # submitit's own errors
                _remove(folder, before)
                kind = sbatch.failure(str(error))
                found = self._found(order) if kind is Unanswered else None
                if found is not None:
                    return found
                raise kind(_words(kind, order.name, str(error))) from error
            except BaseException:  # such as Ctrl-C
                _remove(folder, before)
                _withdraw(order.name)
                raise
            for link in folder.glob(".submission_file_*.sh"):
                link.unlink(missing_ok=True)
        return job.partition("_")[0]

    def _found(self, order: Order) -> str | None:
        """The number of a job that SLURM accepted although sbatch failed, if the queue lists it already."""
        listed = (key for key, task in (self.queue() or {}).items() if task.name == order.name)
        job = next(listed, "").partition("_")[0]
        if job:
            sbatch.hold_out(order, job)
        return job or None

    def script(self, order: Order) -> str:
        """The batch script that `submit` would hand to sbatch; needs no SLURM.

        Raises:
            UserError: an option of the resources that no job can have.
        """
        return sbatch.script(order)

    def queue(self) -> dict[str, Queued] | None:
        """This user's tasks that wait or run, by key, in one call; None if it could not be asked."""
        answer = ask(*queries.queue_command(old=self._old))
        found = queries.parse_queue(answer.text) if answer.ok else None
        if found is None and not self._old and (answer.ok or "format" in answer.error.lower()):
            self._old = True
            return self.queue()
        return found

    def accounting(self, jobs: Collection[str], since: float) -> dict[str, Accounted] | None:
        """The latest records of the tasks of some jobs, by key, in one call; None if it could not be asked.

        Args:
            jobs: job numbers without indices.
            since: unix seconds; what ended before is another job of the same number.
        """
        found: dict[str, Accounted] = {}
        for batch in queries.batches(jobs):  # one, up to about 7,000 jobs
            answer = ask(*queries.accounting_command(batch, since))
            if not answer.ok:
                if _says_there_is_none(answer.error):
                    self._accounting = False
                return None
            self._accounting = True
            records = queries.parse_accounting(answer.text)
            if records is None:
                return None
            found |= records
        return found

    @property
    def has_accounting(self) -> bool:
        """Whether this cluster keeps accounts at all; True if it cannot be told, for that may be a failed call."""
        if self._accounting is None:
            if shutil.which("sacct") is None:
                self._accounting = False
            elif self.configuration is not None:
                self._accounting = limits.keeps_accounts(self.configuration)
        return self._accounting is not False

    def cancel(self, keys: Sequence[str]) -> None:
        """Takes tasks out of the queue, or ends them; those that are gone already are no error.

        Raises:
            UserError: the scheduler could not be asked, or does not allow it.
        """
        words = queries.compress(keys)
        for start in range(0, len(words), 100):
            answer = ask("scancel", *words[start : start + 100], seconds=3 * queries.SECONDS)
            left = [line for line in answer.error.splitlines() if not any(w in line.lower() for w in _GONE)]
            if left:
                raise UserError(
                    f"scancel: {left[0]}\n`wm cancel` again once SLURM answers; `wm doctor` checks it"
                )

    def throttle(self, job: str, parallel: int) -> None:
        """Lets at most so many tasks of an array run at once; those that run go on.

        Raises:
            UserError: SLURM could not be asked, or does not allow it.
        """
        answer = ask("scontrol", "update", f"JobId={job}", f"ArrayTaskThrottle={parallel}")
        if not answer.ok:
            raise UserError(f"scontrol: {answer.error}")

    def limits(self) -> Limits:
        """What a submission must keep to.

        Raises:
            UserError: there is no scheduler, or it does not answer.
        """
        return self._limits

    @property
    def cluster_name(self) -> str | None:
        """What this cluster calls itself; None if it does not answer. Asked only outside a job, with the limits."""
        return os.environ.get("SLURM_CLUSTER_NAME") or (self.configuration or {}).get("ClusterName")

    @cached_property
    def configuration(self) -> dict[str, str] | None:
        """What the controller says of itself (`scontrol show config`); None if it does not answer."""
        answer = ask(*limits.CONFIGURATION)
        self._silence = answer.error
        return limits.parse_configuration(answer.text) if answer.ok else None

    @cached_property
    def _limits(self) -> Limits:
        configuration = self.configuration
        if configuration is None:
            raise UserError(
                f"SLURM does not answer: {self._silence}\n"
                "`wm doctor` checks it; `--executor local` runs the study on this machine"
            )
        accounts = qualities = None
        if self.has_accounting:
            user = f"name={queries.user()}"
            accounts = ask("sacctmgr", "-n", "-P", "show", "user", "where", user, *_ACCOUNTS)
            qualities = (
                ask("sacctmgr", "-n", "-P", "show", "qos", "format=Name,MaxSubmitPU") if accounts.ok else None
            )
        said = tuple(answer.text if answer and answer.ok else None for answer in (accounts, qualities))
        return Limits(
            max_array_size=limits.array_size(configuration),
            max_queued=limits.most_queued(configuration, *said),
            max_of=limits.most_queued_of(*said),
            partitions=limits.parse_partitions(ask(*limits.PARTITIONS).text),
        )


def _says_there_is_none(error: str) -> bool:
    """Whether sacct says that there is no accounting, rather than that it does not answer."""
    return "accounting storage is disabled" in error.lower() or "is not on the PATH" in error


def _words(kind: type[SubmissionError], name: str, said: str) -> str:
    """What a person is told of a submission that failed."""
    if kind is Unanswered:
        return f"sbatch failed, and SLURM may still have taken {name}: {sbatch.explain(said)}"
    return f"SLURM refused {name}: {sbatch.explain(said)}"


def _withdraw(name: str) -> None:
    """Takes a job out of the queue that SLURM may have accepted before its sbatch was interrupted."""
    ask("scancel", f"--name={name}", f"--user={os.getuid()}")


@contextmanager
def _clean_environment() -> Iterator[None]:
    """Hides what a job must not inherit, for example if this process is itself in a job."""
    hidden = {name: os.environ.pop(name) for name in queries.foreign()}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _files(folder: Path) -> set[Path]:
    """What submitit leaves behind where sbatch fails."""
    return {*folder.glob("*.pkl"), *folder.glob(".submission_file_*.sh"), *folder.glob("*_submission.sh")}


def _remove(folder: Path, before: set[Path]) -> None:
    for file in _files(folder) - before:
        file.unlink(missing_ok=True)
