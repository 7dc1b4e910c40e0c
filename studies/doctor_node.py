"""`wm doctor --job`: the checks of `wm doctor` by a job, submitted just as the tasks of a study are."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from harness.disk import disk_errors
from studies import packages
from studies.cluster.granting import Granted
from studies.cluster.handing import python_of
from studies.cluster.profile import Profile
from studies.cluster.types import Cluster, Order
from studies.findings import Finding

_LOOK_SECONDS = 2.0
_LAG_SECONDS = 30.0  # until what a node wrote is seen here, and a job that was just submitted is in the queue
_FOUND = "found.json"


class Look:
    """What the job does.

    Attributes:
        folder: a new one under RUNS.
    """

    def __init__(self, folder: str, array: int, index: int) -> None:
        self.folder = folder
        self.place = (array, index)

    def __call__(self) -> None:
        """Examines the node, and writes what it found."""
        from studies.doctor import examine

        folder = Path(self.folder)
        found = [asdict(finding) for finding in examine(folder.parent)]
        node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        content = json.dumps({"node": node, "found": found})
        hidden = folder / f".{_FOUND}"
        hidden.write_text(content)
        hidden.rename(folder / _FOUND)


def examine_node(runs: Path, cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    """Submits a small job that examines the node it gets, and waits for it.

    Args:
        runs: the directory of all studies, made if need be.
        cluster: where.
        profile: of the user; the part of its resources that holds for all runs counts.

    Raises:
        SubmissionError: the scheduler refused the job.
    """
    folder = runs.absolute() / f".wm-doctor-{uuid.uuid4().hex[:8]}"
    with disk_errors(folder):
        folder.mkdir(parents=True)
    job = None
    try:
        job = cluster.submit(_order(folder, resources(cluster, profile)))
        _wait(cluster, job, folder)
        yield from _read(folder, job)
        job = None
    finally:
        if job is not None:
            cluster.cancel([job])
        shutil.rmtree(folder, ignore_errors=True)


def resources(cluster: Cluster, profile: Profile) -> Granted:
    """What the job asks for: little, and a GPU where its partition has some."""
    fields = profile.rules.default.items()
    named = {name.removeprefix("resources."): value for name, value in fields if value is not None}
    small = {"cpus": 2, "memory_gb": 4.0, "hours": 0.25, "runs_per_gpu": 1, "parallel": None}
    asked = Granted.model_validate(named | small)
    wanted = (asked.partition or "").split(",")
    found = cluster.limits().partitions.values()
    gpus = [one.gpus for one in found if one.name in wanted or (one.default and not asked.partition)]
    return asked.model_copy(update={"gpus": int(any(gpus))})


def _order(folder: Path, asked: Granted) -> Order:
    variables = packages.environment({})
    return Order(
        name=f"wm-doctor-{folder.name[-8:]}",
        folder=folder,
        array=0,
        size=1,
        resources=asked,
        parallel=None,
        environment={name: variables[name] for name in ("PYTHONPATH", "PYTHONSAFEPATH")},
        python=python_of(asked),
        call="studies.doctor_node:Look",
    )


def _wait(cluster: Cluster, job: str, folder: Path) -> None:
    """Until the job has said something, or is gone; says on standard error what it waits for."""
    said = ""
    seen = time.monotonic()
    while not (folder / _FOUND).exists() and time.monotonic() - seen < _LAG_SECONDS:
        tasks = cluster.queue()
        if tasks is None or job in tasks:
            seen = time.monotonic()
        task = tasks.get(job) if tasks else None
        state = f"{task.state.lower()} {task.node or task.reason}".strip() if task else ""
        if state and state != said:
            said = state
            print(f"job {job}: {state} (Ctrl-C cancels it)", file=sys.stderr)
        time.sleep(_LOOK_SECONDS)
        os.listdir(folder)  # noqa: PTH208 - makes a network file system look again


def _read(folder: Path, job: str) -> Iterator[Finding]:
    try:
        content = json.loads((folder / _FOUND).read_text())
    except OSError:
        printed = sorted((folder / "logs").glob("*_log.*"))
        last = [line for file in printed for line in file.read_text(errors="replace").splitlines()[-3:]]
        detail = f"job {job} ended without a word: {' '.join(last) or 'it printed nothing'}"
        remedy = (
            f"`sacct -j {job}` tells how; does the node see {folder.parent} and {packages.code_root()}, and do the "
            "setup lines of your profile work there?"
        )
        yield Finding("node", ok=False, detail=detail, remedy=remedy)
        return
    node = content["node"]
    yield Finding("node", ok=True, detail=f"job {job} ran on {node} and sees {folder.parent}")
    for one in content["found"]:
        finding = Finding(**one)
        yield replace(finding, name=f"{node}: {finding.name}")
