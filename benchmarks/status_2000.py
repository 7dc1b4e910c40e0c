"""How long `wm status` takes on a study of 2,000 runs, and what it asks the scheduler.

    python -m benchmarks.status_2000                    # from the root of the repository
    python -m benchmarks.status_2000 --profile          # where the time goes

The study is written to a temporary directory as a sweep leaves it; squeue and sacct are programs that print a file.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.studies.cluster import many


def main():
    """Prints the seconds of each call, and the calls of squeue and sacct."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--lines", type=int, default=2000, help="of metrics.jsonl of a finished run")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        many.make(root, options.runs, lines=options.lines)
        os.environ["PATH"] = f"{many.programs(root)}{os.pathsep}{os.environ['PATH']}"
        os.environ["WM_RUNS"] = folder
        if options.profile:
            profile()
        for words in (["status", "many"], ["status", "many", "--json"]):
            before = os.times()
            times = [seconds(words) for _ in range(options.repeat)]
            after = os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            asked = ", ".join(f"{name} {n}" for name, n in sorted(Counter(many.calls(root)).items()))
            (root / "calls.txt").unlink()
            shown = " ".join(f"{one:.2f}" for one in times)
            took = f"{min(times):.2f} s (of {shown}), {cpu / len(times):.2f} s of CPU"
            print(f"wm {' '.join(words)}: {took}; {len(times)} calls asked: {asked}")


def seconds(words):
    """Of a call in a process of its own, the start of Python included."""
    script = "import sys; from studies.cli import main; main()"
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", script, *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def profile():
    """Prints where a call spends its time."""
    from studies import cli

    sys.argv = ["wm", "status", "many"]
    profiler = cProfile.Profile()
    try:
        profiler.runcall(cli.main)
    except SystemExit:
        pass
    finally:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
