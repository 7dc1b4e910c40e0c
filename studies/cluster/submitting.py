"""Submits what is left of a study as job arrays, again and again: what is done or queued is left alone.

::

    lock                one process at a time
    queue, records      arrays whose answer is missing are looked for; no queue, no submission
    survey, policies    what each run needs: new, continued, again after a failure, or nothing
    grants, classes     job arrays, as many tasks as the queue has room for
    questions           many jobs, little disk
    snapshot, records   written before the scheduler is asked, so that nothing it takes is unknown
    arrays, follow-up   one after another; what was taken stays, what is refused does not hold up the others
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.claim import Claim
from harness.config import RunConfig
from harness.errors import UserError
from harness.own import own_paths
from studies import machine
from studies.cluster import granting, snapshot
from studies.cluster.choosing import Choice, choose, settled
from studies.cluster.classes import PlannedArray, Wanted, fitting, plan_arrays, raised, throttles
from studies.cluster.classes import settled as within
from studies.cluster.handing import (
    Handed,
    Handover,
    follow_up_order,
    follow_ups,
    followed,
    hand_over,
    live,
    new_follow_up,
    order,
    sharing,
)
from studies.cluster.lock import locked
from studies.cluster.profile import load_profile
from studies.cluster.records import Array, Dispatch
from studies.cluster.refusing import check_arrays, check_place
from studies.cluster.stopping import held_back
from studies.cluster.types import Cluster, Queued
from studies.cluster.unanswered import ask_queue, reconcile
from studies.cost import estimate
from studies.estimating import measured_for
from studies.store import StoredRun, StudyDir
from studies.worker import EXECUTE

MANY = 500
"""Tasks above which a submission asks first."""


def _print(text: str) -> None:
    print(text, file=sys.stderr)


def _no(question: str) -> bool:
    raise UserError(f"{question} Nothing was submitted: there is nobody to ask; add --yes to agree")


@dataclass(frozen=True)
class Options:
    """How a study is submitted.

    Attributes:
        executor: `slurm` or `local`.
        profile: the user's profile by name; None: the usual one.
        yes: agree to whatever is asked.
        follow_up: let a job do the same again once these have ended.
        execute: what executes a run, as module:function.
        command: the command line, for the record.
        follows: the name of the follow-up job that submits; what was cancelled then stays so.
        code: the snapshot of the code that its jobs run; None: the code as it is now.
        patience: seconds to wait for the accounting where jobs have just ended.
        say: is told what happens, line by line.
    """

    executor: str
    profile: str | None = None
    yes: bool = False
    follow_up: bool = True
    execute: str = EXECUTE
    command: tuple[str, ...] = ()
    follows: str | None = None
    code: Path | None = None
    patience: float = 0.0
    say: Callable[[str], None] = _print


@dataclass(frozen=True)
class Draft:
    """What a submission would be.

    Attributes:
        choices: what is done with each run.
        now: the arrays to submit.
        later: what the queue has no room for.
        queue: as it was asked before the runs were looked at.
        follow_up: resources of the follow-up job; None: there is to be none.
        throttles: how many tasks of arrays that are in the queue may then run at once, by job.
    """

    choices: list[Choice]
    now: list[PlannedArray]
    later: list[PlannedArray]
    queue: Mapping[str, Queued]
    follow_up: granting.Granted | None
    throttles: Mapping[str, int] = field(default_factory=dict)

    @property
    def tasks(self) -> int:
        """Of all arrays that are submitted now."""
        return sum(len(array.tasks) for array in self.now)

    @property
    def starts(self) -> list[StoredRun]:
        """The runs that are submitted now or later."""
        return [choice.run for choice in self.choices if choice.decision.start]


@dataclass(frozen=True)
class Outcome:
    """What a submission did: what was intended, and what the scheduler made of it (None: there was nothing to do)."""

    draft: Draft
    handed: Handed | None = None


def submit(
    study: StudyDir,
    runs: Sequence[StoredRun],
    options: Options,
    cluster: Cluster,
    asks: Callable[[str], bool] = _no,
) -> Outcome:
    """Submits what is neither done nor queued.

    Args:
        study: its plan is frozen.
        runs: of its plan.
        options: how.
        cluster: where.
        asks: puts a yes-or-no question to a person.

    Raises:
        UserError: nothing was submitted: another process submits, the scheduler does not answer, or the person said
            no. That the scheduler refused an array is in the outcome.
    """
    dispatch = Dispatch(study.path)
    with locked(dispatch.path, cluster) as lock:
        queue = ask_queue(cluster)
        found = reconcile(dispatch, queue, cluster.name)
        drafted = draft(study, runs, options, cluster, queue)
        _ask(study, drafted, options, asks)
        outcome = Outcome(drafted, _hand_over(study, drafted, options, cluster, lock, found))
        if options.follows is not None:
            followed(dispatch, options.follows)
        return outcome


def draft(
    study: StudyDir,
    runs: Sequence[StoredRun],
    options: Options,
    cluster: Cluster,
    queue: Mapping[str, Queued] | None = None,
) -> Draft:
    """What a submission would be; writes nothing.

    Args:
        study: its plan need not be frozen.
        runs: of its plan.
        options: how.
        cluster: where.
        queue: if it was just asked.

    Raises:
        UserError: the scheduler does not answer, there is no such profile, or the cluster has no place for a run.
    """
    check_place(study.path, cluster.name)
    queue = ask_queue(cluster) if queue is None else queue
    profile = load_profile(options.profile)
    limits = cluster.limits()
    measured = measured_for(study)
    seen = settled(runs, options.patience, queue)
    dispatch = Dispatch(study.path)
    choices = choose(seen, dispatch, queue, profile.policies, automatic=options.follows is not None)
    wanted = [
        Wanted(
            choice.run,
            choice.decision.entry,
            raised(
                granting.granted(
                    choice.run.config,
                    profile=profile,
                    measured=measured(choice.run.config),
                    decision=choice.decision,
                ),
                choice.decision.memory,
                limits,
            ),
        )
        for choice in choices
        if choice.decision.start
    ]
    earlier = sharing(dispatch, queue) if cluster.name == "slurm" else []
    arrays = plan_arrays(wanted, limits, earlier)
    if (
        options.follows is None
    ):  # nobody reads what a follow-up refuses, and other arrays need not wait for it
        check_arrays(arrays, limits, cluster.name)
    follow_up = None
    if options.follow_up and profile.follow_up is not False:
        like = wanted[0].granted if wanted else granting.Granted()
        follow_up = within(granting.follow_up(like, profile.follow_up), limits)
    now, later = fitting(arrays, limits, len(queue), reserve=int(follow_up is not None))
    return Draft(choices, now, later, queue, follow_up, throttles(arrays, earlier))


def check_disk(study: StudyDir, drafted: Draft) -> None:
    """Refuses what cannot work.

    Raises:
        UserError: the disk is too small for even one of the runs while it runs.
    """
    needed, free = _disk(study, drafted)
    if drafted.now and needed["disk_running_gb"] > free:
        raise UserError(
            f"a run needs {needed['disk_running_gb']:.1f} GB while it runs and {free:.1f} GB are free at "
            f"{study.root}: free some space, or move --runs"
        )


def _disk(study: StudyDir, drafted: Draft) -> tuple[dict[str, float], float]:
    """What the runs that are started need, and what is free, in GB."""
    runs = drafted.starts
    return estimate(runs, dict.fromkeys((run.hex for run in runs), "pending")), machine.free_gb(study.root)


def _ask(study: StudyDir, drafted: Draft, options: Options, asks: Callable[[str], bool]) -> None:
    """Asks a person about what is large.

    Raises:
        UserError: the person says no.
    """
    if options.yes or not drafted.now:
        return
    questions = []
    if drafted.tasks > MANY:
        runs = sum(array.runs for array in drafted.now)
        questions.append(f"{drafted.tasks} jobs ({runs} runs) are to be submitted.")
    needed, free = _disk(study, drafted)
    if needed["disk_gb"] > free:
        questions.append(
            f"the runs may keep {needed['disk_gb']:.0f} GB and {free:.0f} GB are free at {study.root}."
        )
    if questions and not asks(" ".join(questions)):
        raise UserError("nothing was submitted")


def _hand_over(
    study: StudyDir,
    drafted: Draft,
    options: Options,
    cluster: Cluster,
    lock: Claim,
    found: Sequence[str],
) -> Handed | None:
    """Submits the arrays, and the job that looks after them and after whatever else nobody looks after.

    That is what was `found` again, and all that is queued if no follow-up is: its submitter may have died.
    """
    dispatch = Dispatch(study.path)
    others = {name for name in follow_ups(dispatch, drafted.queue).values() if name != options.follows}
    wanted = drafted.follow_up is not None
    alone = (
        [*found, *([] if others else live(dispatch.arrays, drafted.queue, cluster.name))] if wanted else []
    )
    soon = wanted and bool(drafted.later) and not others
    if not (drafted.now or alone or soon):
        return None
    name = new_follow_up(study.name) if wanted else None
    code = (options.code and snapshot.read_snapshot(options.code)) or snapshot.take(
        dispatch, _own(drafted.starts)
    )
    folder = dispatch.begin(
        {
            "executor": cluster.name,
            "cluster": cluster.cluster_name,
            "command": list(options.command),
            "code": str(code.path),
            "datasets": str(study.root / "datasets"),
            "execute": options.execute,
            "follow_up": name,
            "profile": options.profile,
            "selected": [run.hex for run in drafted.starts],
        }
    )
    handover = Handover(dispatch, folder, cluster, code.environment())
    look_after = partial(_look_after, handover, name, drafted.follow_up, alone)
    _throttle(drafted, cluster, options.say)
    with held_back() as stop:
        handed = hand_over(
            handover,
            drafted.now,
            say=options.say,
            stop=lambda: stop() or _lost(lock),
            look_after=look_after,
        )
        if handed.arrays or alone or soon:
            look_after(handed)
    return handed


def _throttle(drafted: Draft, cluster: Cluster, say: Callable[[str], None]) -> None:
    """Lets arrays that are in the queue leave room for the new ones under a `parallel`."""
    for job, most in drafted.throttles.items() if drafted.now else ():
        try:
            cluster.throttle(job, most)
        except UserError as error:
            say(f"job {job} keeps its own limit of tasks at once, beside that of the new ones: {error}")


def _lost(lock: Claim) -> str:
    """Why a submission must end, if another process has its study now."""
    return (
        "" if lock.still_mine() else "another process has taken the study over, since this one took so long"
    )


def _look_after(
    handover: Handover,
    name: str | None,
    resources: granting.Granted | None,
    alone: Sequence[str],
    handed: Handed,
) -> None:
    """Submits the follow-up, unless there is to be none or it was submitted already."""
    if name is None or resources is None or handed.follow_up is not None:
        return
    after = [*(array.job for array in handed.arrays if array.job), *alone]
    try:
        handed.follow_up = handover.follow_up(name, resources, list(dict.fromkeys(after)))
        handed.alone = ""
    except UserError as error:
        handed.alone = str(error)


def scripts(study: StudyDir, drafted: Draft, cluster: Cluster) -> list[str]:
    """What the scheduler would be handed, one text an array and one for the follow-up; the numbers in the names are
    not settled yet.
    """
    folder = study.path / "dispatch" / "NUMBER"
    code = snapshot.Snapshot(study.path / "code" / "DIGEST", "", None, None, 0.0, "")
    arrays = [
        Array(folder, number, f"wm-{study.name}-NUMBER-{number}", cluster.name, 0.0, one.resources, ())
        for number, one in enumerate(drafted.now)
    ]
    orders = [
        order(array, planned, code.environment()) for array, planned in zip(arrays, drafted.now, strict=True)
    ]
    if drafted.follow_up is not None and orders:
        after = [f"JOB{number}" for number in range(1, len(orders) + 1)]
        name = f"wm-{study.name}-follow-up-NUMBER"
        orders.append(
            follow_up_order(folder, len(orders), name, drafted.follow_up, after, code.environment())
        )
    return [cluster.script(one) for one in orders]


def _own(runs: Sequence[StoredRun]) -> list[str]:
    """The components of the user's own in some runs."""
    named = {
        json.dumps(
            [run.config.get(name) for name in ("agent", "task", "model", "planner", "oracle")]
        ): run.config
        for run in runs
    }
    return sorted({path for config in named.values() for path in own_paths(RunConfig.model_validate(config))})
