"""The private cluster of the tests ends what runs inside of it, and nothing of its user's."""

import os
import subprocess
import sys

from scripts.slurm.cluster import Cluster


def test_only_what_runs_inside_of_the_cluster_is_its_own(tmp_path):
    cluster = Cluster(tmp_path)
    inside = {"SLURM_CONF": cluster.environment["SLURM_CONF"]}
    call = [sys.executable, "-S", "-c", "print(flush=True); input()"]
    started = [
        subprocess.Popen(call, env=os.environ | extra, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for extra in (inside, inside | {"SLURM_JOB_ID": "7"}, {"SLURM_JOB_ID": "7", "SLURM_CONF": "/other"})
    ]
    try:
        for process in started:
            process.stdout.readline()
        assert cluster._processes() == [started[1].pid]
    finally:
        for process in started:
            process.communicate(b"\n")


def test_help_starts_nothing(tmp_path):
    call = [sys.executable, "-m", "scripts.slurm.cluster", "--help"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=30, check=True)
    assert "usage:" in done.stdout
    assert not list(tmp_path.iterdir())
