"""The parts of a dataset: `train`, and `heldout` for measuring. Every episode is in one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.episodes import Episode, load_npz

PartName = Literal["train", "heldout"]
PARTS: tuple[PartName, ...] = ("train", "heldout")
PROBES = "probe"
"""The folder in RUNS/datasets of the episodes that wm makes itself."""


@dataclass(frozen=True)
class Label:
    """What a manifest says of an episode beyond its content.

    Attributes:
        part: `train` or `heldout`.
        source: where it came from, JSON-able; empty if nothing is known.
    """

    part: PartName = "train"
    source: Mapping[str, Any] = field(default_factory=dict)


def remedy(directory: Path) -> str:
    """What to do about a damaged file of a dataset; a probe alone can be made again as it was."""
    if directory.parent.name == PROBES:
        return f"Remove the directory {directory}: wm makes the same episodes again when they are needed."
    return (
        f"Restore that file from a copy of {directory}. Do not remove the dataset before: building it again gives "
        "other episodes where runs have finished or were deleted since."
    )


class Stored:
    """Episodes in npz files. Indexing reads one every time, `list` all.

    Attributes:
        directory: the dataset's.
        entries: of its manifest, one per episode.
        columns: T of every episode.
    """

    def __init__(self, directory: Path, entries: Sequence[dict[str, Any]]) -> None:
        self.directory = directory
        self.entries = list(entries)
        self.columns: list[int] = [entry["columns"] for entry in self.entries]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int, /) -> Episode:
        path = self.directory / self.entries[index]["file"]
        return load_npz(path, remedy(self.directory))

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))


class Part(Stored):
    """Some episodes of a dataset.

    Attributes:
        digest: sha256 over the content of these episodes.
    """

    def __init__(self, directory: Path, entries: Sequence[dict[str, Any]]) -> None:
        super().__init__(directory, entries)
        self.digest = hashlib.sha256("\n".join(entry["content"] for entry in entries).encode()).hexdigest()


def part_of(entry: Mapping[str, Any]) -> PartName:
    """The part that an entry of a manifest is in; `train` in manifests without parts.

    Raises:
        ValueError: it names none.
    """
    found = entry.get("part", "train")
    for name in PARTS:
        if found == name:
            return name
    raise ValueError(f"no part is called {found!r}; there are {' and '.join(PARTS)}")


def overall_digest(entries: Sequence[Mapping[str, Any]]) -> str:
    """sha256 over contents and parts; that of the contents alone where all episodes are in `train`."""
    lines = [entry["content"] + (" heldout" * (part_of(entry) == "heldout")) for entry in entries]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
