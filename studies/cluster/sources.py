"""Which files make the code of a study, and how they differ from what was committed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from harness.errors import UserError
from studies import packages

MAX_OWN_MB = 50
_GIT_SECONDS = 20
_DISTRIBUTION = "world-models-study"


@dataclass
class Sources:
    """The code to copy.

    Attributes:
        files: by their names in the copy.
        own: the user's own top-level packages and modules, by file name, and where they are.
    """

    files: dict[str, Path] = field(default_factory=dict)
    own: dict[str, Path] = field(default_factory=dict)

    def roots(self) -> dict[Path, list[str]]:
        """The names in `own` by the directory that holds them."""
        found: dict[Path, list[str]] = {}
        for name, path in self.own.items():
            found.setdefault(path.parent, []).append(name)
        return found


@dataclass(frozen=True)
class Version:
    """What version control says about some code.

    Attributes:
        commit: None if there is no repository.
        dirty: whether something is not as committed; None if that is not known.
        diff: what is not, and the names of files that are not tracked.
    """

    commit: str | None = None
    dirty: bool | None = None
    diff: str = ""


def find_sources(own: Collection[str], without: Path) -> Sources:
    """The five packages, and the user's own packages with what they import from beside them.

    What is installed (in site-packages) is not copied: packages.txt has its version.

    Args:
        own: import paths of the user's own components, `package.module:Name`.
        without: a directory that is no code, wherever it is: RUNS.

    Raises:
        UserError: a package cannot be found, or is too large to be code.
    """
    sources = Sources()
    root = packages.code_root()
    for name in packages.PACKAGES:
        sources.files |= {str(file.relative_to(root)): file for file in _files(root / name, without)}
    waiting = sorted({path.partition(":")[0].partition(".")[0] for path in own} - {*packages.PACKAGES})
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        places = _places(name)
        if not places:
            raise UserError(f"no package {name} is found here, so no job would find it: is it installed?")
        for place in filter(_is_own, places):
            beside = _add(sources, place, without) - seen
            seen |= beside
            waiting.extend(one for one in beside if _comes_from(one, place.parent))
    return sources


def version_of(root: Path, names: Sequence[str]) -> Version:
    """What git says about files and folders of a directory; within seconds, or nothing.

    Args:
        root: the directory.
        names: in it.
    """
    if not _git(root, "ls-files", "--", *names):  # a repository around site-packages is not this code's
        return Version()
    commit = _git(root, "rev-parse", "HEAD")
    diff = _git(root, "diff", "--no-ext-diff", "--no-color", "HEAD", "--", *names)
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "--", *names)
    if commit is None or diff is None or untracked is None:
        return Version()
    diff += "".join(f"# not tracked: {name}\n" for name in untracked.splitlines())
    return Version(commit.strip(), bool(diff), diff)


def installed_commit() -> str | None:
    """The commit from which pip installed wm, if it was from a repository."""
    try:
        text = metadata.distribution(_DISTRIBUTION).read_text("direct_url.json")
        commit = json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
    except (metadata.PackageNotFoundError, ValueError):
        return None
    return str(commit) if commit else None


def _add(sources: Sources, place: Path, without: Path) -> set[str]:
    """Adds a package or module of the user's own; returns the top-level names that it imports."""
    names = set()
    size = 0
    largest = (0, place)
    for file in _files(place, without) if place.is_dir() else [place]:
        size += file.stat().st_size
        largest = max(largest, (file.stat().st_size, file))
        if size > MAX_OWN_MB * 1e6:
            raise UserError(
                f"{place} holds more than {MAX_OWN_MB} MB: jobs run a copy of the code, and this is no code only. "
                f"Move data out of the package; {largest[1]} has {largest[0] / 1e6:.0f} MB"
            )
        sources.files[str(file.relative_to(place.parent))] = file
        if file.suffix == ".py":
            names |= _imported(file)
    sources.own[place.name] = place
    return names - {*packages.PACKAGES} - sys.stdlib_module_names


def _files(folder: Path, without: Path) -> Iterator[Path]:
    """The files of a package in order; links to folders are followed once."""
    entered: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in entered or real == str(without) or (Path(parent) / "pyvenv.cfg").exists():
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in sorted(files):
            file = Path(parent, name)
            if not name.startswith(".") and file.suffix != ".pyc" and file.is_file():
                yield file


def _places(name: str) -> list[Path]:
    """Where a top-level package or module is."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    found = [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
    return [place.absolute() for place in found if place.name and place.exists()]


def _is_own(place: Path) -> bool:
    """Whether a package is developed here rather than installed."""
    library = Path(sysconfig.get_path("stdlib"))
    return not {"site-packages", "dist-packages"} & {*place.parts} and not place.is_relative_to(library)


def _comes_from(name: str, root: Path) -> bool:
    """Whether a top-level name is imported from a directory."""
    if not (root / name).is_dir() and not (root / f"{name}.py").is_file():
        return False
    return any(place.parent == root for place in _places(name))


def _imported(file: Path) -> set[str]:
    """The top-level names that a file imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints, or None if it cannot say."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=root,
            env=clean | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
