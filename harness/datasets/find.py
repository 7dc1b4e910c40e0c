"""Where a named dataset is: ``RUNS/datasets/<name>/<task slug>/``, or a directory that is given as a path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.datasets.fixed import MANIFEST, read_manifest
from harness.errors import UserError
from harness.registry import suggest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESERVED = ("probe", "own", "heldout")


class MissingDatasetError(UserError):
    """There is no dataset of that name for a task. The message ends with the command that makes one.

    Attributes:
        fact: the message without the command.
    """

    def __init__(self, fact: str, name: str, task_name: str) -> None:
        super().__init__(f"{fact}; {remedy(name, [task_name])}")
        self.fact = fact


def remedy(name: str, tasks: Iterable[str]) -> str:
    """The command that makes a dataset, in words; a path may be given in place of the name."""
    chosen = " ".join(f"--task {task}" for task in tasks)
    new = name if _NAME.fullmatch(name) else "NAME"
    return f"`wm dataset build {new} STUDY... {chosen}` makes one from the episodes of runs"


def task_slug(task: str) -> str:
    """The folder of a task within a dataset: ``dmc/cheetah-run`` -> ``dmc-cheetah-run``."""
    return re.sub(r"[/:.]", "-", task)


def check_name(name: str) -> None:
    """Refuses a name that a new dataset cannot have.

    Raises:
        UserError: it is no plain file name, or means something else already.
    """
    _check_reserved(name)
    if not _NAME.fullmatch(name):
        raise UserError(f"a dataset cannot be called {name!r}: use letters, digits, '-', '_' and '.'")


def find_dataset(name: str, task_name: str, root: Path) -> Path:
    """The directory of a dataset.

    Args:
        name: under `root`; or a path to the directory of a dataset, or to a folder of one per task.
        task_name: of the configuration, such as ``dmc/cheetah-run``.
        root: RUNS/datasets.

    Raises:
        MissingDatasetError: there is none; says what exists and the command that makes one.
        UserError: it is of another task, or the name cannot be one of a dataset.
        RunError: kind ``corrupt``: its manifest is damaged.
    """
    if not name.strip():
        raise UserError("the name of a dataset is empty")
    _check_reserved(name)
    slug = task_slug(task_name)
    for place in (root / name / slug, root / name, Path(name) / slug, Path(name)):
        if (place / MANIFEST).is_file():
            _check_task(place, task_name)
            return place.absolute()
    others = tasks_of(root, name) or tasks_of(Path(name).parent, Path(name).name)
    if task_name in others:
        raise UserError(f"{others[task_name]} holds episodes of {task_name}: call that folder {slug}")
    if others:
        fact = f"dataset {name} holds no episodes of {task_name}, only of {', '.join(others)}"
        raise MissingDatasetError(fact, name, task_name)
    known = dataset_names(root)
    have = f"; there are {', '.join(known)}" if known else " (it holds none yet)"
    raise MissingDatasetError(
        f"no dataset {name} under {root}{suggest(name, known) or have}", name, task_name
    )


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


def _check_reserved(name: str) -> None:
    if name in _RESERVED:
        raise UserError(f"a dataset cannot be called {name}: that name means other episodes in `wm evaluate`")


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
