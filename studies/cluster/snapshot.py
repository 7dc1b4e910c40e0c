"""The code as it was at submission, and that a job runs it.

::

    RUNS/<study>/code/<digest>/
      models/ planners/ harness/ analysis/ studies/    as they were, with their data
      mine/  mylayers.py                               the user's own components, and what they import beside them
      snapshot.json    commit, dirty, digest, time, python, own, sources
      dirty.diff       what the commits do not have, and the names of files that git does not track
      packages.txt     Python and every installed distribution, with versions

The files are read-only; the digest is of the code and of packages.txt, so that the same code is copied once.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

from harness.disk import disk_errors
from studies import packages
from studies.cluster.records import Dispatch
from studies.cluster.sources import Sources, Version, find_sources, installed_commit, version_of

_RECORD = "snapshot.json"
_PACKAGES = "packages.txt"
_DIFF = "dirty.diff"


@dataclass(frozen=True)
class Snapshot:
    """A copy of the code.

    Attributes:
        path: the directory, which comes first on a job's PYTHONPATH.
        digest: of its content, 12 hex digits.
        commit: of the five packages; None if they are not in a repository.
        dirty: whether any of the code was not as committed; None if that is not known.
        time: unix seconds of the copy.
        python: version.
        own: import paths of the user's own components, `package.module:Name`.
        sources: where the packages and modules beside the five were copied from.
    """

    path: Path
    digest: str
    commit: str | None
    dirty: bool | None
    time: float
    python: str
    own: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Variables of a job: the snapshot comes first, the working directory not at all.

        What else is on PYTHONPATH stays, made absolute. `packages.verify` compares $WM_CODE with what was imported.
        """
        entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        rest = [Path(entry).absolute() for entry in entries if entry]
        ours = packages.code_root()
        kept = [str(path) for path in rest if path.resolve() != ours and not (path / _RECORD).exists()]
        path = os.pathsep.join(dict.fromkeys([str(self.path), *kept]))
        return {"PYTHONSAFEPATH": "1", "PYTHONPATH": path, packages.SUBMITTED: str(self.path)}


def take(dispatch: Dispatch, own: Collection[str]) -> Snapshot:
    """Copies the code that is running, unless that was done; returns the snapshot.

    Where the running code is a snapshot of this study (in a follow-up), that one is returned.

    Args:
        dispatch: of the study.
        own: import paths of the user's own components, `package.module:Name` (`harness.own.own_paths`).

    Raises:
        UserError: a package of the user's own cannot be found, or is too large to be code.
        RunError: the disk is full, or cannot be written.
    """
    running = read_snapshot(packages.code_root())
    if running and running.path.parent == dispatch.code.resolve() and {*own} <= {*running.own}:
        return replace(running, path=dispatch.code / running.digest)
    sources = find_sources(own, without=dispatch.path.parent.parent.resolve())
    installed = _installed()
    with disk_errors(dispatch.code):
        dispatch.code.mkdir(parents=True, exist_ok=True)
        aside = dispatch.code / f".{uuid.uuid4().hex}"
        try:
            _copy(sources, aside)
            digest = _digest(aside, sources.files, installed)
            place = dispatch.code / digest
            if not (place / _RECORD).exists():
                _describe(aside, digest, own, sources, _version(sources, running), installed)
                _put(aside, place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    taken = read_snapshot(place)
    assert taken is not None
    return taken


def read_snapshot(path: Path) -> Snapshot | None:
    """The snapshot in a directory, or None if it holds none."""
    try:
        content = json.loads((path / _RECORD).read_text())
    except (OSError, ValueError):
        return None
    return Snapshot(**content | {"path": path, "own": tuple(content["own"])})


def _copy(sources: Sources, aside: Path) -> None:
    """Copies the files, read-only and with their times, so that compiled files beside them stay valid."""
    for name, file in sources.files.items():
        target = aside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
        target.chmod((target.stat().st_mode & 0o555) | 0o444)


def _describe(
    aside: Path, digest: str, own: Collection[str], sources: Sources, version: Version, installed: str
) -> None:
    """Writes what was copied."""
    record = {
        "digest": digest,
        "commit": version.commit,
        "dirty": version.dirty,
        "time": time.time(),
        "python": platform.python_version(),
        "own": sorted(own),
        "sources": {name: str(path) for name, path in sources.own.items()},
    }
    for name, text in (
        (_PACKAGES, installed),
        (_DIFF, version.diff),
        (_RECORD, json.dumps(record, indent=1)),
    ):
        (aside / name).write_text(text)
        (aside / name).chmod(0o444)


def _put(aside: Path, place: Path) -> None:
    try:
        aside.rename(place)
    except OSError:
        if not (place / _RECORD).exists():  # else: another process was faster
            raise


def _version(sources: Sources, running: Snapshot | None) -> Version:
    """Of all that is copied; the commit is that of the five packages."""
    if running is not None:
        ours = Version(running.commit, running.dirty, (running.path / _DIFF).read_text())
    else:
        ours = version_of(packages.code_root(), packages.PACKAGES)
    others = [version_of(root, names) for root, names in sources.roots().items()]
    return Version(
        commit=ours.commit or installed_commit(),
        dirty=True if any(one.dirty for one in (ours, *others)) else ours.dirty,
        diff="".join(one.diff for one in (ours, *others)),
    )


def _digest(folder: Path, names: Collection[str], installed: str) -> str:
    digest = hashlib.sha256(installed.encode())
    for name in sorted(names):
        content = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()[:12]


def _installed() -> str:
    """Python and the installed distributions, one a line."""
    found = {f"{one.metadata['Name']}=={one.version}" for one in metadata.distributions()}
    return "\n".join([f"python=={platform.python_version()}", *sorted(found, key=str.lower)]) + "\n"
