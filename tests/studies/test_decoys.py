"""`wm` in a folder that holds packages of the same five names."""

import os
import subprocess
import sys

import pytest

from studies import packages
from tests.studies import fakes

STUDY = """
name: mine
base: {task: toy/point-mass, predict: images, space: latent, dynamics: stochastic, size: tiny, train: {episodes: 10}}
grid: {seed: range(2)}
"""
SCRIPT = """
import sys
import studies.cli, studies.dispatch
studies.dispatch.EXECUTE = "fakes:execute"
studies.cli.main()
"""


@pytest.fixture
def folder(tmp_path):
    """A working directory with decoys that fail on import, and a study."""
    for name in packages.PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a decoy was imported')\n")
    (tmp_path / "mine.yaml").write_text(STUDY)
    return tmp_path


def wm(folder, *arguments, path=()):
    """The console script as pip writes it: a file elsewhere, so the working directory is not on the path."""
    script = folder / "bin" / "wm"
    script.parent.mkdir(exist_ok=True)
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*path, str(packages.code_root()), fakes.HERE])}
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_decoys_in_the_working_directory_change_nothing(folder):
    done = wm(folder, "run", "mine.yaml", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "2 runs: 2 done" in done.stderr
    assert wm(folder, "status", "mine").returncode == 0


def test_a_decoy_that_stands_first_in_pythonpath_is_named(folder):
    for name in ("harness", "analysis", "studies", "planners"):
        (folder / name / "__init__.py").unlink()
        (folder / name).rmdir()
    done = wm(folder, "run", "mine.yaml", path=[str(folder)])
    assert done.returncode == 2
    assert f"the package `models` comes from {folder / 'models'}" in done.stderr
    assert "Traceback" not in done.stderr
