"""A study of thousands of runs as a sweep leaves it, with a squeue and a sacct that answer for it and count calls.

Written without making configurations valid one by one, so that it takes a second.
"""

import json
import time
from pathlib import Path

from harness import claim
from studies.cluster import records
from studies.cluster.granting import Granted
from studies.plan import plan_line
from studies.store import StoredRun, StudyDir
from tests.studies import fakes

SEEDS = 50
STATES = {"done": 700, "running": 40, "failed": 20, "timeout": 30, "preempted": 10}
"""How many runs of 2,000 are in a state; the others wait."""

_LASTED, _SINCE = 7000, 600  # seconds since a job began, and since one ran out of time

_FAKE = """#!/bin/sh
echo "$0 $*" >> "{log}"
cat "{answer}"
"""


def make(root: Path, number: int = 2000, chunk: int = 1000, lines: int = 0) -> StudyDir:
    """A study under a root, in job arrays of `chunk` tasks.

    Args:
        root: RUNS.
        number: runs.
        chunk: tasks of an array.
        lines: of metrics.jsonl of a finished run.
    """
    study = StudyDir(root / "many")
    study.runs.mkdir(parents=True)
    runs = list(_runs(study, number))
    study.plan_file.write_text("".join(json.dumps(plan_line(run)) + "\n" for run in runs))
    dispatch = records.Dispatch(study.path)
    folder = dispatch.begin(
        {"executor": "slurm", "command": [], "code": "", "datasets": "", "execute": fakes.EXECUTE}
        | {"follow_up": "wm-many-follow-up", "profile": None, "selected": []}
    )
    queued, ended = ["77|PENDING|Dependency||0|wm-many-follow-up"], []
    states = [state for state, count in STATES.items() for _ in range(count * number // 2000)]
    for start in range(0, number, chunk):
        tasks = [[(run, records.Entry(run.hex))] for run in runs[start : start + chunk]]
        array = dispatch.add_array(folder, "slurm", Granted(hours=1), tasks)
        _submitted_long_ago(folder / f"array-{array.number}.json")
        job = str(1000 + array.number)
        dispatch.answered(array, job=job)
        for index, ((run, _),) in enumerate(tasks):
            state = states[start + index] if start + index < len(states) else "pending"
            _leave(run, state, f"{job}_{index}", array, index, lines)
            queued += [line for line in [_queued(state, f"{job}_{index}", array.name, index)] if line]
            if state == "timeout":
                ended.append(_accounted(f"{job}_{index}", array.name))
    (root / "squeue.txt").write_text("\n".join(queued) + "\n")
    (root / "sacct.txt").write_text("\n".join(ended) + "\n")
    return study


def programs(root: Path) -> Path:
    """A directory for PATH with a squeue and a sacct for `make`'s study; calls go to calls.txt."""
    place = root / "bin"
    place.mkdir(exist_ok=True)
    for name in ("squeue", "sacct"):
        file = place / name
        file.write_text(_FAKE.format(log=root / "calls.txt", answer=root / f"{name}.txt"))
        file.chmod(0o755)
    return place


def calls(root: Path) -> list[str]:
    """The programs that were called, in order."""
    file = root / "calls.txt"
    return [Path(line.split()[0]).name for line in file.read_text().splitlines()] if file.exists() else []


def _runs(study, number):
    """Eight designs and five tasks, seed by seed."""
    base = fakes.config().model_dump(mode="json")
    for index in range(number):
        design, task, seed = f"design-{index % 8}", f"dmc/task-{index // 8 % 5}", index // 40
        digits = f"{index:012x}"
        planner = base["planner"] | {"horizon": 1 + index % 8}  # so that the designs differ
        config = base | {"design": design, "task": task, "seed": seed, "planner": planner}
        name = f"{design}-{task.partition('/')[2]}-s{seed}-{digits}"
        yield StoredRun(name, digits, design, task, seed, config, study.runs / name)


def _submitted_long_ago(file):
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"time": content["time"] - _LASTED - 200}))


def _leave(run, state, key, array, index, lines):
    """What a run in a state has left on the disk."""
    if state == "pending":
        return
    run.path.mkdir()
    (run.path / "run.yaml").write_text("schema: 1\n")
    job, _, task = key.partition("_")
    began = time.time() - _LASTED
    released = state in {"done", "failed", "preempted"}
    owner = claim.Owner("elsewhere", "b", "n", 1, 1, began, job, task, None, released)
    (run.path / "claim.1").write_text(json.dumps(vars(owner)))
    recorded = {"timeout": "running"}.get(state, state)
    progress = 1.0 if state == "done" else 0.5
    content = {"id": run.id, "state": recorded, "iteration": 500, "iterations": 1000, "progress": progress}
    content |= {"phase": "training", "last_return": 3.5, "started": began}
    content |= {"heartbeat": time.time() - (_SINCE if state == "timeout" else 3)}
    if state == "failed":
        content["error"] = {"kind": "code", "message": "ValueError: a bug", "traceback": "..."}
    (run.path / "state.json").write_text(json.dumps(content))
    with array.events_file(index).open("w") as file:
        for event in (
            {"event": "begin", "host": "n1", "job": key, "restart": 0},
            {"event": "started", "hex": run.hex},
        ):
            file.write(json.dumps(event | {"time": began}) + "\n")
    if state == "done" and lines:
        _metrics(run.path, lines)


def _metrics(path, lines):
    line = {"kind": "train", "iteration": 1, "env_steps": 1000, "grad_steps": 100, "wall_seconds": 3.5}
    line |= {
        f"loss_{name}": 0.123456789 for name in ("image", "reward", "divergence", "overshooting", "norm")
    }
    text = json.dumps(line) + "\n"
    (path / "metrics.jsonl").write_text(
        text * lines + json.dumps({"kind": "cost", "wall_seconds": 3600.0}) + "\n"
    )
    times = [{"event": "start", "attempt": 1, "time": 0.0}, {"event": "end", "attempt": 1, "time": 3600.0}]
    (path / "attempts.jsonl").write_text("".join(json.dumps(record) + "\n" for record in times))


def _queued(state, key, name, index):
    if state == "running":
        return f"{key}|RUNNING|None|n{index % 4}|0|{name}"
    reasons = {"preempted": "BeginTime", "pending": "JobArrayTaskLimit" if index % 3 else "Priority"}
    return f"{key}|PENDING|{reasons[state]}||{int(state == 'preempted')}|{name}" if state in reasons else ""


def _accounted(key, name):
    """A line as `studies.cluster.queries` asks for it, with a step."""
    now = int(time.time())
    end = f"{now - 7200}|{now - _LASTED}|{now - _SINCE}|n1|8G"
    return f"{key}|TIMEOUT|0:0|{end}||{name}\n{key}.0|CANCELLED|0:15|{end}|100000K|python"
