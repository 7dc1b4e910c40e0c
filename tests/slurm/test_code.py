"""A job runs the code as it was when it was submitted, and nothing else."""

import json
import shutil

from studies.packages import PACKAGES, code_root
from tests.slurm.lab import HERE


def test_the_code_at_submission_runs_although_it_was_edited_since(lab):
    code = lab.home / "checkout"
    for package in PACKAGES:
        shutil.copytree(code_root() / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    study = lab.study("edited", ["quick"], resources={"begin": "now+1hour"})
    study.submit(PYTHONPATH=f"{code}:{HERE}")
    for file in ("studies/worker.py", "studies/cluster/task.py", "harness/rundir.py"):
        (code / file).write_text("raise RuntimeError('edited since')\n")
    lab.cluster.call("scontrol", "update", f"JobId={study.job_of('quick')}", "StartTime=now")
    study.settled().becomes({"quick": "done"})
    (snapshot,) = (study.path / "code").iterdir()
    assert study.did("quick")[0]["code"] == str(snapshot.resolve())
    assert json.loads((snapshot / "snapshot.json").read_text())["digest"] == snapshot.name


def test_a_folder_called_models_in_the_working_directory_stays_out(lab):
    work = lab.home / "shadows"
    for package in ("models", "harness", "submitit"):
        (work / package).mkdir(parents=True)
        (work / package / "__init__.py").write_text(
            "raise RuntimeError('the folder of the user was imported')\n"
        )
    study = lab.study("shadowed", ["quick"]).submit(cwd=work)
    study.settled().becomes({"quick": "done"})
