"""The clusters by the name of their executor."""

from __future__ import annotations

from studies.cluster.types import Cluster

EXECUTORS = ("slurm", "local")


def cluster_for(executor: str) -> Cluster:
    """The cluster that an executor means; asks nothing of it yet."""
    if executor == "local":
        from studies.cluster.local import Local

        return Local()
    from studies.cluster.slurm import Slurm

    return Slurm()
