"""A cluster of two dictionaries: what it was given waits until a test says how it ended."""

import json
import time
from dataclasses import replace

from harness.config import RunConfig, run_id
from harness.rundir import Failure, RunDir, RunState
from studies.cluster import records
from studies.cluster.snapshot import Snapshot
from studies.cluster.types import Accounted, Limits, Queued, QueueFull, SubmissionError, Unanswered
from studies.plan import plan_line
from studies.store import StoredRun, StudyDir
from tests.studies import fakes


class FakeCluster:
    """Implements `Cluster`."""

    has_accounting = True
    cluster_name = None

    def __init__(self, name="slurm", limits=None):
        self.name = name
        self.granted = limits or Limits(1000)
        self.orders = {}  # by job number
        self.tasks = {}  # what the queue lists
        self.ended = {}  # what the accounting has
        self.answers = True
        self.refuses = lambda order: False
        self.loses = lambda order: False
        self.room = None  # a limit that nobody tells
        self.dies = lambda order: False  # after it took the order, before it answers
        self.cancelled = []
        self.throttled = {}

    def submit(self, order):
        if self.refuses(order):
            raise SubmissionError("sbatch: error: Batch job submission failed: Invalid qos")
        if self.room is not None and order.size > self.room - len(self.tasks):
            raise QueueFull("sbatch: error: QOSMaxSubmitJobPerUserLimit")
        if self.loses(order):
            raise Unanswered("sbatch: error: Socket timed out")
        job = str(100 + len(self.orders))
        self.orders[job] = order
        for index in range(order.size):
            key = job if order.size == 1 else f"{job}_{index}"
            self.tasks[key] = Queued("PENDING", "Priority", name=order.name)
        if self.dies(order):
            raise KeyboardInterrupt
        return job

    def script(self, order):
        return f"#!/bin/bash\n#SBATCH --job-name={order.name} --array=0-{order.size - 1}\n"

    def queue(self):
        return dict(self.tasks) if self.answers else None

    def accounting(self, jobs, since):
        return {key: value for key, value in self.ended.items() if key.partition("_")[0] in jobs}

    def cancel(self, keys):
        self.cancelled += keys
        for key in keys:
            self.end(key, "CANCELLED")

    def throttle(self, job, parallel):
        self.throttled[job] = parallel

    def limits(self):
        return self.granted

    def end(self, job, state="COMPLETED", **fields):
        """A job or a task leaves the queue; it had begun unless it was cancelled."""
        for key in [key for key in self.tasks if job in {key, key.partition("_")[0]}]:
            task = self.tasks.pop(key)
            number, _, index = key.partition("_")
            order = self.orders[number]
            if state != "CANCELLED" and (order.folder / f"array-{order.array}.json").exists():
                array = records.read_array(order.folder, order.array)
                records.say(array, int(index or 0), "begin", job=key, host="n1.site", node="n1")
                records.say(array, int(index or 0), "end", left=[], because="")
            self.ended[key] = Accounted(state, name=task.name, end=time.time(), **fields)

    def runs(self, key):
        """A task begins."""
        self.tasks[key] = replace(self.tasks[key], state="RUNNING", reason="", node="n1")

    @property
    def arrays(self):
        """The orders that are no follow-ups."""
        return [order for order in self.orders.values() if "follow-up" not in order.name]

    @property
    def follow_ups(self):
        """The orders that are."""
        return {job: order for job, order in self.orders.items() if "follow-up" in order.name}


def make_study(root, designs=("quick",), seeds=2, resources=None):
    """A study with a frozen plan, `resources` by design."""
    home = root / "runs" / "mine"
    (home / "runs").mkdir(parents=True)
    runs = []
    for design in designs:
        for seed in range(seeds):
            config = fakes.config(design, seed)
            data = config.model_dump(mode="json")
            data["resources"] |= (resources or {}).get(design, {})
            name = run_id(config)
            path = home / "runs" / name
            runs.append(StoredRun(name, name[-12:], design, config.task, seed, data, path))
    (home / "plan.jsonl").write_text("".join(json.dumps(plan_line(run)) + "\n" for run in runs))
    return StudyDir(home)


def write_state(run, state, kind=None, progress=0.5):
    """What a worker left behind."""
    made = RunDir.create(run.path, RunConfig.model_validate(run.config))
    error = Failure(kind, f"{kind} by design") if kind else None
    made.write_state(RunState(id=made.id, state=state, progress=progress, heartbeat=time.time(), error=error))


def empty_snapshot(dispatch):
    """In place of `snapshot.take`, which copies hundreds of files."""
    return Snapshot(dispatch.code / "0123", "0123", None, None, 0.0, "3.11")
