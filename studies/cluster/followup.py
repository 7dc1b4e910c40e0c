"""The job that looks after a submission: once its arrays have ended it submits what the policies try again.

It is ``wm submit`` without a person: it starts nothing that was never asked for and nothing that was cancelled, and
ends with the next follow-up job in the queue if there is anything to look after. What it did is in
``dispatch/<submission>/follow-up.log``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError
from studies import packages
from studies.cluster import clusters, submitting
from studies.cluster.choosing import settled
from studies.cluster.records import Dispatch, read_submission
from studies.cluster.telling import told
from studies.cluster.types import Cluster
from studies.cluster.unanswered import ask_queue
from studies.store import StoredRun, StudyDir

LOG = "follow-up.log"
PATIENCE_SECONDS = 2400.0
"""How long it tries again when the scheduler does not answer or another process submits; longer than a lock lasts."""
SETTLE_SECONDS = 7200.0
"""How long it waits for runs to be accounted for whose jobs have just ended."""
_ENOUGH_SECONDS = 900.0
"""What it leaves of its own time to submit."""
_PAUSE_SECONDS = 20.0  # the first; each is twice as long as the one before


@dataclass(frozen=True)
class FollowUp:
    """A follow-up as a scheduler holds it: nothing but its place in ``dispatch/``.

    Attributes:
        folder: ``dispatch/<submission>``.
        array, index: not used; whatever a job calls is made of the three.
    """

    folder: str
    array: int = 0
    index: int = 0

    def __call__(self) -> None:
        """Follows up."""
        packages.verify()
        follow_up(Path(self.folder))


def follow_up(
    folder: Path, cluster: Cluster | None = None, sleep: Callable[[float], None] = time.sleep
) -> submitting.Outcome | None:
    """Submits again what is left of all that was ever submitted of a study, and logs it.

    Args:
        folder: ``dispatch/<submission>``.
        cluster: by default the one of the submission.
        sleep: waits for some seconds.

    Returns:
        What it did; None if it could not, which the log explains.
    """
    submission = read_submission(folder)
    study = StudyDir(folder.parent.parent, Path(submission.datasets).parent)
    log = _Log(folder / LOG)
    options = submitting.Options(
        executor=submission.executor,
        profile=submission.profile,
        yes=True,
        execute=submission.execute,
        command=("follow-up", *submission.command),
        follows=submission.follow_up,
        say=log,
    )
    cluster = cluster or clusters.cluster_for(submission.executor)
    waited, pause, settle = 0.0, _PAUSE_SECONDS, _settling()
    while True:
        try:
            runs = submitted(study)
            settled(runs, settle, ask_queue(cluster))
            settle = 0.0
            outcomes = []
            for code, members in by_code(study, runs).items():
                of_code = replace(options, code=Path(code) if code else None)
                outcomes.append(submitting.submit(study, members, of_code, cluster))
                for line in told(study.name, outcomes[-1]):
                    log(line)
            if all(one.handed is None or one.handed.is_settled for one in outcomes):
                return outcomes[-1]
        except UserError as error:
            log(str(error))
        if waited >= PATIENCE_SECONDS:
            log(f"gave up; continue with: wm submit {study.name}")
            return None
        sleep(pause)
        waited, pause = waited + pause, 2 * pause


def submitted(study: StudyDir) -> list[StoredRun]:
    """The runs of the plan that were to be submitted at any time."""
    dispatch = Dispatch(study.path)
    wanted = set(dispatch.assignments)
    for file in dispatch.path.glob("[0-9]*/submission.json"):
        wanted |= set(read_submission(file.parent).selected)
    return [run for run in study.planned if run.hex in wanted]


def by_code(study: StudyDir, runs: Sequence[StoredRun]) -> dict[str, list[StoredRun]]:
    """Runs by the snapshot of the code of the newest submission that has them, the newest one last.

    A run that was submitted again with other code goes on with that, whichever follow-up job looks after it. Without
    a run there is one group, of none.
    """
    newest: dict[str, str] = {}
    for file in sorted(Dispatch(study.path).path.glob("[0-9]*/submission.json")):
        submission = read_submission(file.parent)
        newest = {digits: code for digits, code in newest.items() if digits not in submission.selected}
        newest |= dict.fromkeys(submission.selected, submission.code)
    groups: dict[str, list[StoredRun]] = {code: [] for code in newest.values()}
    for run in runs:
        groups.setdefault(newest.get(run.hex, ""), []).append(run)
    return {code: members for code, members in groups.items() if members} or {"": []}


def _settling() -> float:
    """How long a follow-up may wait, within the time of its job."""
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    left = float(end) - time.time() - _ENOUGH_SECONDS if end.isdigit() else SETTLE_SECONDS
    return max(0.0, min(SETTLE_SECONDS, left))


class _Log:
    """Lines on standard output and in a file, each with the time."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, text: str) -> None:
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}"
        print(line, flush=True)
        try:
            with self._file.open("a") as stream:
                stream.write(line + "\n")
        except OSError:  # a full disk is no reason to leave the runs
            return


if __name__ == "__main__":
    FollowUp(sys.argv[1])()
