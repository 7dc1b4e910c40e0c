"""Executes probes where a study will run: in a pool here, or as jobs that are waited for.

Probes are a small study of their own in ``RUNS/<study>/estimate/``, so that whatever works for runs works for them:
claims, checkpoints, jobs, ``wm status RUNS/<study>/estimate``, ``wm logs``.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import claim
from harness.disk import disk_errors
from harness.errors import UserError
from harness.rundir import RunDir, read_jsonl, write_atomically
from studies import dispatch
from studies.estimate.probes import Probe
from studies.estimate.timing import measure
from studies.estimating import Probed, read_estimates, write_estimates
from studies.plan import plan_line
from studies.status import CONTINUED, FINISHED
from studies.store import StoredRun, StudyDir
from studies.survey import Seen, survey
from studies.worker import EXECUTE

_POLL_SECONDS = 5.0
_SAY_SECONDS = 60.0


@dataclass(frozen=True)
class Failed:
    """A probe that told nothing, and why."""

    probe: Probe
    run: StoredRun
    why: str


class Estimation:
    """The probes of a study.

    Args:
        home: the study's directory, which need not exist.
        probes: all that its runs need.
        executor: `slurm` or `local`.
    """

    def __init__(self, home: StudyDir, probes: Sequence[Probe], executor: str) -> None:
        self.home = home
        self.place = StudyDir(home.path / "estimate", home.root)
        self.executor = executor
        self.known = read_estimates(home)
        self.probes = list(probes)
        self._todo: list[tuple[Probe, StoredRun]] = []

    def to_do(self, *, fresh: bool = False) -> list[tuple[Probe, StoredRun]]:
        """The probes that were not measured with this code, in such a place."""
        return [(one, one.stored(self.place)) for one in self.probes if fresh or not self._is_measured(one)]

    def _is_measured(self, probe: Probe) -> bool:
        found = self.known.get(probe.key)
        return found is not None and found.code == probe.code() and found.where == probe.where(self.executor)

    def prepare(self, *, fresh: bool = False) -> list[StoredRun]:
        """Makes the study of probes. What runs goes on; what other code or another place left is deleted.

        Args:
            fresh: all of it anew; what was measured is forgotten.

        Returns:
            The probes to execute, or to go on with.

        Raises:
            RunError: the disk is full.
        """
        planned = {line["hex"]: line for line in read_jsonl(self.place.plan_file)}
        lines = {digits: line for digits, line in planned.items() if digits in self.place.on_disk}
        self._todo = self.to_do(fresh=fresh)
        states = survey([run for _, run in self._todo])
        for (probe, run), seen in zip(self._todo, states, strict=True):
            line = plan_line(run) | {"where": probe.where(self.executor)}
            alive = seen.condition.name == "running" or seen.condition.queued
            if not alive or run.hex not in lines:
                same = not fresh and lines.get(run.hex) == line and self._is_usable(probe, seen)
                if not (alive or same):
                    self._delete(run)
                lines[run.hex] = line
        with disk_errors(self.place.plan_file):
            self.place.runs.mkdir(parents=True, exist_ok=True)
            text = "".join(json.dumps(line) + "\n" for line in lines.values())
            write_atomically(self.place.plan_file, text)
        if fresh:  # now, so that an interrupted call is continued by one without `fresh`
            for probe, _ in self._todo:
                self.known.pop(probe.key, None)
            write_estimates(self.home, self.known)
        return [run for _, run in self._todo]

    def _is_usable(self, probe: Probe, seen: Seen) -> bool:
        """Whether a probe is done or has stopped half-way, by today's code alone."""
        attempts = RunDir(seen.run.path).read_attempts()
        codes = {record["code"] for record in attempts if record["event"] == "start"}
        return seen.condition.name in CONTINUED | FINISHED and codes <= {probe.code()}

    def _delete(self, run: StoredRun) -> None:
        """Makes a probe one that never began."""
        from studies.cluster.records import Dispatch

        if run.path.exists():
            claim.acquire(run.path)
            shutil.rmtree(run.path)
        records = Dispatch(self.place.path)
        if records.exists:
            records.mark([run.hex], "retried")

    def collect(self) -> list[Failed]:
        """Takes in what the probes that were prepared tell so far; returns those that tell nothing."""
        failed = []
        states = survey([run for _, run in self._todo])
        for (probe, run), seen in zip(self._todo, states, strict=True):
            try:
                self.known[probe.key] = self._measured(probe, seen)
            except ValueError as error:
                failed.append(Failed(probe, run, str(error)))
        if self.known:
            write_estimates(self.home, self.known)
        return failed

    def _measured(self, probe: Probe, seen: Seen) -> Probed:
        condition = seen.condition
        if condition.name != "done":
            raise ValueError(f"{condition}" + (f": {condition.note}" if condition.note else ""))
        return measure(probe, RunDir(seen.run.path), self.executor)


def execute_here(place: StudyDir, runs: Sequence[StoredRun]) -> bool:
    """Executes probes in a pool on this machine, with progress on standard error; whether it was interrupted.

    Raises:
        UserError: a dataset is missing, nothing renders, or the disk is too small.
    """
    from studies.offline import check_datasets

    check_datasets(place.root, runs)
    dispatch.check_rendering(runs)
    dispatch.check_disk(place.root, runs, None)
    _, report = dispatch.run_all(runs, None, place.root / "datasets")
    return report is not None and report.interrupted


def execute_on(
    executor: str, place: StudyDir, runs: Sequence[StoredRun], profile: str | None, say: Callable[[str], None]
) -> None:
    """Submits probes and waits until all have ended. Ctrl-C ends the waiting; the jobs go on.

    Raises:
        UserError: the scheduler refused them.
        KeyboardInterrupt: as it says.
    """
    from studies.cluster.clusters import cluster_for
    from studies.cluster.submitting import Options, submit
    from studies.offline import check_datasets

    check_datasets(place.root, runs)
    options = Options(
        executor,
        profile,
        yes=True,
        follow_up=False,
        execute=EXECUTE,
        command=("wm", "estimate"),
        say=say,
    )
    outcome = submit(place, runs, options, cluster_for(executor))
    if outcome.handed is not None and outcome.handed.error:
        raise UserError(outcome.handed.error)
    said, when = "", 0.0
    while True:
        counts = Counter(
            "running" if one.condition.name == "running" else "queued" if one.condition.queued else "ended"
            for one in survey(runs)
        )
        text = ", ".join(f"{counts[name]} {name}" for name in ("ended", "running", "queued"))
        if text != said or time.monotonic() - when > _SAY_SECONDS:
            say(f"{len(runs)} probes: {text}")
            said, when = text, time.monotonic()
        if counts["ended"] == len(runs):
            return
        time.sleep(_POLL_SECONDS)
