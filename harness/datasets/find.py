"""Where a named dataset is: ``RUNS/datasets/<name>/<task slug>/``, or a directory that is given as a path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.datasets.fixed import MANIFEST, read_manifest
from harness.errors import UserError
from harness.registry import suggest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESERVED = ("probe", "own", "heldout")


def task_slug(task: str) -> str:
    """The folder of a task within a dataset: ``dmc/cheetah-run`` -> ``dmc-cheetah-run``."""
    return re.sub(r"[/:.]", "-", task)


def check_name(name: str) -> None:
    """Refuses a name that a new dataset cannot have.

    Raises:
        UserError: it is no plain file name, or means something else already.
    """
    if name in _RESERVED:
        raise UserError(f"a dataset cannot be called {name}: that name means other episodes in `wm evaluate`")
    if not _NAME.fullmatch(name):
        raise UserError(f"a dataset cannot be called {name!r}: use letters, digits, '-', '_' and '.'")


def find_dataset(name: str, task_name: str, root: Path) -> Path:
    """The directory of a dataset.

    Args:
        name: under `root`; or a path to the directory of a dataset, or to a folder of one per task.
        task_name: of the configuration, such as ``dmc/cheetah-run``.
        root: RUNS/datasets.

    Raises:
        UserError: there is none, or it is of another task; says what exists and the command that makes one.
        RunError: kind ``corrupt``: its manifest is damaged.
    """
    if not name.strip():
        raise UserError("the name of a dataset is empty")
    slug = task_slug(task_name)
    for place in (root / name / slug, root / name, Path(name) / slug, Path(name)):
        if (place / MANIFEST).is_file():
            _check_task(place, task_name)
            return place.absolute()
    new = name if _NAME.fullmatch(name) else "NAME"
    made = f"`wm dataset build {new} STUDY... --task {task_name}` makes one from the episodes of runs"
    others = tasks_of(root, name) or tasks_of(Path(name).parent, Path(name).name)
    if others:
        raise UserError(
            f"dataset {name} holds no episodes of {task_name}, only of {', '.join(others)}; {made}"
        )
    known = dataset_names(root)
    have = f"; there are {', '.join(known)}" if known else " (it holds none yet)"
    raise UserError(f"no dataset {name} under {root}{suggest(name, known) or have}; {made}")


def dataset_names(root: Path) -> list[str]:
    """The names under RUNS/datasets, sorted; not the probes, which wm makes itself."""
    if not root.is_dir():
        return []
    folders = sorted(path for path in root.iterdir() if path.name not in _RESERVED)
    return [path.name for path in folders if (path / MANIFEST).is_file() or any(_tasks(path))]


def tasks_of(root: Path, name: str) -> dict[str, Path]:
    """The directories of a named dataset, by task."""
    return {str(read_manifest(path)["recipe"].get("task", path.name)): path for path in _tasks(root / name)}


def manifest_digest(path: Path) -> str:
    """The digest of the dataset in a directory, of which the manifest alone is read.

    Raises:
        RunError: kind ``corrupt``: the manifest is missing or damaged.
    """
    digest: str = read_manifest(path)["digest"]
    return digest


def _tasks(folder: Path) -> Iterator[Path]:
    """The datasets in a folder, without those that are being built."""
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        if not manifest.parent.name.startswith("."):
            yield manifest.parent


def _check_task(place: Path, task_name: str) -> None:
    """Refuses a dataset that says it is of another task."""
    found = read_manifest(place)["recipe"].get("task")
    if found is not None and found != task_name:
        raise UserError(f"{place} holds episodes of {found}, not of {task_name}")
