"""2,000 trivial runs through a genuine SLURM on this machine: submission, throughput, `wm status`, what is left over.

    python -m benchmarks.slurm_2000 [--runs 2000] [--at-once 8]

Needs the packages of scripts/slurm/install.sh. The runs do nothing, so the numbers are those of the dispatch: two
Python processes a run (the task and its worker) on however many cores there are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from scripts.slurm.cluster import Cluster
from tests.slurm.lab import Lab, Study

DESIGNS = ["quick-a", "quick-b", "quick-c", "quick-d"]
EVERY_SECONDS = 30.0
NODES = 2


def main() -> int:
    """Prints what was measured as it comes, and all of it as JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=8, help="tasks that SLURM runs at the same time")
    options = parser.parse_args()
    size = {
        "nodes": NODES,
        "cpus": options.at_once // NODES,
        "memory_mb": 500 * options.at_once // NODES + 100,
    }
    with (
        tempfile.TemporaryDirectory(prefix="wm-slurm-") as folder,
        Cluster(Path(folder) / "cluster", **size) as cluster,
    ):
        lab = Lab(cluster, Path(folder) / "home")
        seeds = options.runs // len(DESIGNS)
        study = lab.study("noop", DESIGNS, seeds=seeds, resources={"memory_gb": 0.4}, profile="follow-up")
        print(json.dumps(measure(lab, study), indent=1))
    return 0


def measure(lab: Lab, study: Study) -> dict[str, object]:
    """Submits the study, watches it, and counts what is left over."""
    begun = time.time()
    seconds = timed(study, "submit", str(study.file), "--yes")
    arrays = study.dispatch.arrays
    said: dict[str, object] = {
        "runs": len(study.planned),
        "cores": os.cpu_count(),
        "submit_seconds": seconds,
        "array_sizes": [len(array.tasks) for array in arrays],
    }
    again = timed(study, "submit", str(study.file), "--yes")
    said["submit_again_seconds"] = again
    said["submit_again_new_arrays"] = len(study.dispatch.arrays) - len(arrays)
    during = []
    while study.jobs():
        during.append(status(lab, study, f"during-{len(during)}"))
        print(f"{time.time() - begun:6.0f} s: {during[-1]}", file=sys.stderr, flush=True)
        next_look = time.monotonic() + EVERY_SECONDS
        while study.jobs() and time.monotonic() < next_look:
            time.sleep(1)
    after = [status(lab, study, f"after-{number}") for number in range(3)]
    states = [run.read_state() for run in (study.run(one.design, one.seed) for one in study.planned)]
    ended = [state.heartbeat for state in states if state]
    said |= {
        "seconds_to_the_last_result": max(ended) - begun,
        "results_per_second": len(ended) / (max(ended) - min(ended)),
        "status_during": summary(during),
        "status_after": summary(after),
        "counts_after": after[-1]["counts"],
    }
    return said | left_over(lab, study)


def timed(study: Study, *arguments: str, **environment: str) -> float:
    """Seconds of a call of `wm`, its start included."""
    begun = time.perf_counter()
    study.wm(*arguments, **environment)
    return round(time.perf_counter() - begun, 2)


def status(lab: Lab, study: Study, name: str) -> dict[str, object]:
    """Seconds of `wm status`, how often it called squeue and sacct, and what it counted."""
    path, calls = lab.counted(name)
    seconds = timed(study, "status", study.name, PATH=path)
    called = calls()
    counts = json.loads(study.wm("status", study.name, "--json").stdout)["counts"]
    return {"seconds": seconds, "calls": called, "counts": counts}


def summary(looks: list[dict[str, object]]) -> dict[str, object]:
    """Median and largest seconds, and every number of calls that was seen."""
    seconds = [float(str(look["seconds"])) for look in looks]
    calls = sorted({json.dumps(look["calls"], sort_keys=True) for look in looks})
    return {
        "looks": len(looks),
        "median_seconds": statistics.median(seconds),
        "largest_seconds": max(seconds),
        "calls": calls,
    }


def left_over(lab: Lab, study: Study) -> dict[str, object]:
    """Jobs that no record knows, runs that ran other than once, and submitit's files that no task took."""
    known = {array.name for array in study.dispatch.arrays}
    listed = lab.cluster.call(
        "sacct", "--noheader", "--allocations", "--parsable2", "--format=JobName", "--starttime=now-1day"
    )
    names = {name for name in listed.split() if "follow-up" not in name}
    attempts = [len(study.did(one.design, one.seed)) for one in study.planned]
    files = [file for file in study.path.rglob("*") if file.is_file()]
    return {
        "unknown_jobs": len(names - known),
        "runs_without_attempt": attempts.count(0),
        "runs_with_several_attempts": sum(number > 1 for number in attempts),
        "queue_after": len(lab.queue()),
        "files": len(files),
        "megabytes": round(sum(file.stat().st_size for file in files) / 1e6, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
