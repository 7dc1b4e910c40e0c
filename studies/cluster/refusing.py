"""What a submission refuses before anything is written or handed over, because the scheduler or a job would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from studies.cluster import sbatch
from studies.cluster.classes import PlannedArray, unfit
from studies.cluster.types import Limits


def check_place(path: Path, executor: str) -> None:
    """Refuses a directory in which jobs cannot work: PYTHONPATH ends an entry at a colon.

    Raises:
        UserError: it is one.
    """
    for sign in sbatch.UNFIT if executor == "slurm" else ":":
        if sign in str(path):
            raise UserError(
                f"{path}: jobs cannot work in a directory with {sign} in its path; set --runs to another"
            )


def check_arrays(arrays: Sequence[PlannedArray], limits: Limits, executor: str) -> None:
    """Refuses what the scheduler would, where the cluster has told it.

    Raises:
        UserError: there is such an array.
    """
    for array in arrays:
        if executor == "slurm":
            sbatch.check_lines(array.resources)
        if why := unfit(array, limits):
            run = array.tasks[0][0].run
            raise UserError(
                f"resources.{why}\nit is granted to {run.id}{' and others' * (array.runs > 1)}; "
                "set another in the study's `resources` or in your profile"
            )
