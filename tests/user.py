"""What the tests of packages of a user's own share: an example in a folder of its own, and the command line there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import harness

ROOT = Path(harness.__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"


def copy_example(name: str, to: Path) -> Path:
    """A copy of docs/examples/NAME outside the checkout."""
    folder = to / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    return folder


def wm(folder: Path, *arguments: str, path: Path | None = None) -> tuple[int, str, str]:
    """Calls the command line in a folder: exit status, standard output, standard error.

    The user's package is imported from `path`, by default that folder.
    """
    environment = os.environ | {"PYTHONPATH": f"{path or folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    environment.pop("WM_RUNS", None)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from studies.cli import main; main()", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def check_shown(doc: str, example: str) -> None:
    """A page of docs/ shows code of the example as it is: blocks that begin with its file's name."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / doc).read_text(), re.MULTILINE | re.DOTALL)
    shown = [block.partition("\n") for block in blocks if block.startswith("# my_")]
    assert shown
    for name, _, code in shown:
        assert code.rstrip() in (EXAMPLES / example / name.removeprefix("# ")).read_text()
