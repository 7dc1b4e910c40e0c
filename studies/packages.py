"""The five packages have common names: where they come from, and that nothing foreign takes their place."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from harness.errors import UserError

PACKAGES = ("models", "planners", "harness", "analysis", "studies")
SUBMITTED = "WM_CODE"
"""The variable that tells a job where the code is that it was submitted with."""


def code_root() -> Path:
    """The directory that holds the five packages."""
    return Path(__file__).resolve().parent.parent


def verify() -> None:
    """Checks that all five packages come from one place; imports none of them.

    Raises:
        UserError: a package is missing, another one of the same name stands before it, or a job runs other code than
            it was submitted with; says where.
    """
    root = code_root()
    submitted = os.environ.get(SUBMITTED)
    if submitted and Path(submitted).resolve() != root:
        raise UserError(
            f"this job was submitted with the code in {submitted} and runs that in {root}: "
            "does a setup line or a start-up file of the shell set PYTHONPATH? Let it add to the end"
        )
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None:
            raise UserError(f"the package `{name}` is missing beside {root / 'studies'}; install wm again")
        places = [Path(place).resolve() for place in spec.submodule_search_locations or [spec.origin or ""]]
        if root / name not in places:
            raise UserError(
                f"the package `{name}` comes from {places[0]}, not from {root}: "
                f"rename it, or take {places[0].parent} out of PYTHONPATH"
            )


def environment(extra: dict[str, str]) -> dict[str, str]:
    """The environment of a process that must see our packages first and never the working directory's."""
    path = [str(code_root()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path)} | extra
