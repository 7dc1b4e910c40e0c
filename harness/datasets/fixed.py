"""A fixed dataset: a directory of npz episodes and a manifest with digests, built whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.datasets.parts import Label, Part, PartName, Stored, overall_digest, part_of, remedy
from harness.datasets.turns import Heartbeat, turn
from harness.disk import disk_errors, sync_directory
from harness.episodes import Episode, save_npz, to_arrays
from harness.errors import RunError, UserError
from harness.rundir import write_atomically

MANIFEST = "manifest.json"
_SCHEMA = 1
_ABANDONED_SECONDS = 24 * 3600
_NAMED = 5  # damaged files that a message names


class Dataset(Stored):
    """Episodes that never change. The files are verified here; indexing reads one every time, `list` all.

    Args:
        directory: where it is.
        verify: read every file and compare it with its digest; else the manifest alone is read.

    Raises:
        RunError: kind ``corrupt``: a file is missing, or is not the one that was built.

    Attributes:
        directory: where it is.
        recipe: what it was built from.
        digest: sha256 over the content of all episodes, however they are compressed, and the parts they are in.
        columns: T of every episode.
        entries: of the manifest, one per episode: `file`, `columns`, `return`, digests, `part`, `source`.
    """

    def __init__(self, directory: Path, *, verify: bool = True) -> None:
        manifest = read_manifest(directory)
        super().__init__(directory, manifest["episodes"])
        self.recipe: dict[str, Any] = manifest["recipe"]
        self.digest: str = manifest["digest"]
        if verify:
            self._verify()

    def part(self, name: PartName) -> Part:
        """The episodes of one part, in their order; there may be none."""
        return Part(self.directory, [entry for entry in self.entries if part_of(entry) == name])

    def _verify(self) -> None:
        damaged = [text for entry in self.entries if (text := self._damage(entry))]
        if damaged:
            more = [f"and {len(damaged) - _NAMED} more files."] if len(damaged) > _NAMED else []
            raise _corrupt(self.directory, "\n".join([*damaged[:_NAMED], *more]))

    def _damage(self, entry: Mapping[str, Any]) -> str:
        """What is wrong with a file, or the empty string."""
        path = self.directory / entry["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            return f"{path}: {error.strerror}."
        found = hashlib.sha256(content).hexdigest()
        if found == entry["sha256"]:
            return ""
        return f"{path}: {len(content)} bytes with sha256 {found[:12]}, expected {entry['sha256'][:12]}."


def build(
    directory: Path,
    episodes: Iterable[Episode],
    recipe: Mapping[str, Any],
    labels: Iterable[Label] | None = None,
    notes: Mapping[str, Any] | None = None,
    heartbeat: Heartbeat | None = None,
) -> Dataset:
    """Builds a dataset beside its place and renames it there; if it is there by then, that one stands.

    Of several processes that want the same one, one builds and the others wait.

    Args:
        directory: where; parents are made.
        episodes: at least one, all with frames; consumed only if the dataset does not exist.
        recipe: JSON-able, says what it was built from; two datasets with one recipe are the same.
        labels: of each episode; by default all are in `train`.
        notes: JSON-able, for the manifest; say how it was built and do not tell datasets apart.
        heartbeat: called after every episode and while waiting; `episodes` should call it too if one takes longer
            than seconds.

    Raises:
        RunError: kind ``disk`` or ``corrupt``.
        UserError: there is a dataset of another recipe, or nothing to build from.
    """
    if not directory.exists():
        heartbeat = heartbeat or Heartbeat()
        with disk_errors(directory), _folders_for(directory):
            _remove_abandoned(directory)
            with turn(directory, heartbeat) as ours:
                if ours:
                    _build(directory, _labelled(_beating(episodes, heartbeat), labels), recipe, notes)
    dataset = Dataset(directory)
    if dataset.recipe != json.loads(json.dumps(recipe)):
        raise UserError(
            f"{directory}: holds a dataset made by another recipe; remove it, or choose another place"
        )
    return dataset


@contextmanager
def _folders_for(directory: Path) -> Iterator[None]:
    """Makes the folders that a dataset lies in; takes those away again that stay empty, as after an error."""
    made = [folder for folder in directory.parents if not folder.exists()]
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # not empty: the dataset is there, or another process builds it
            for folder in made:
                folder.rmdir()


def _build(
    directory: Path,
    episodes: Iterator[tuple[Episode, Label]],
    recipe: Mapping[str, Any],
    notes: Mapping[str, Any] | None,
) -> None:
    side = directory.with_name(f".{directory.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        side.mkdir()
        _write(side, episodes, recipe, notes)
        _move(side, directory)
    finally:
        shutil.rmtree(side, ignore_errors=True)


def _beating(episodes: Iterable[Episode], heartbeat: Heartbeat) -> Iterator[Episode]:
    for episode in episodes:
        yield episode
        heartbeat()


def content_digest(episode: Episode) -> str:
    """sha256 over the types, shapes and bytes of an episode's arrays."""
    digest = hashlib.sha256()
    for name, array in to_arrays(episode).items():
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _labelled(episodes: Iterable[Episode], labels: Iterable[Label] | None) -> Iterator[tuple[Episode, Label]]:
    if labels is not None:
        return zip(episodes, labels, strict=True)
    return ((episode, Label()) for episode in episodes)


def _write(
    directory: Path,
    episodes: Iterator[tuple[Episode, Label]],
    recipe: Mapping[str, Any],
    notes: Mapping[str, Any] | None,
) -> None:
    entries: list[dict[str, Any]] = []
    for index, (episode, label) in enumerate(episodes):
        if not episode.has_frames:
            raise UserError(f"{directory}: episode {index} was kept without frames; render it first")
        path = directory / f"episode-{index:05d}.npz"
        save_npz(episode, path)
        entry = {
            "file": path.name,
            "columns": episode.columns,
            "length": episode.length,
            "return": episode.total_return,
            "part": label.part,
            **({"source": dict(label.source)} if label.source else {}),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "content": content_digest(episode),
        }
        entries.append(entry)
    if not entries:
        raise UserError(f"{directory}: a dataset needs at least one episode")
    manifest = {
        "schema": _SCHEMA,
        "recipe": dict(recipe),
        **({"notes": dict(notes)} if notes else {}),
        "digest": overall_digest(entries),
        "steps": sum(entry["columns"] - 1 for entry in entries),
        "episodes": entries,
    }
    write_atomically(directory / MANIFEST, json.dumps(manifest, indent=1))
    sync_directory(directory)


def _move(side: Path, directory: Path) -> None:
    """Renames into place; a dataset that another process put there first stands."""
    try:
        side.rename(directory)
    except OSError:
        if not (directory / MANIFEST).exists():
            raise
    sync_directory(directory.parent)


def _remove_abandoned(directory: Path) -> None:
    """Removes what builds that were killed long ago left behind."""
    for side in directory.parent.glob(f".{directory.name}.*.tmp"):
        if time.time() - side.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(side, ignore_errors=True)


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a dataset, whose digests agree; no episode is read.

    Raises:
        RunError: kind ``corrupt``: it is missing or damaged.
    """
    path = directory / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        if manifest["schema"] != _SCHEMA:
            raise _corrupt(directory, f"{path}: schema {manifest['schema']}, this version reads {_SCHEMA}.")
        needed = [
            (entry["file"], entry["columns"], entry["sha256"], entry["content"])
            for entry in manifest["episodes"]
        ]
        if not needed or not {"recipe", "digest"} <= manifest.keys():
            raise _corrupt(directory, f"{path}: incomplete.")
        if overall_digest(manifest["episodes"]) != manifest["digest"]:
            raise _corrupt(directory, f"{path}: its digests contradict one another.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _corrupt(directory, f"{path}: missing or damaged ({error}).") from error
    return manifest


def _corrupt(directory: Path, message: str) -> RunError:
    return RunError("corrupt", message, remedy(directory))
