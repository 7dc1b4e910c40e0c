"""Checkpoints: two generations, written to the side, checked by digest, renamed.

A checkpoint holds everything that a resumed run needs beyond its streams, which are keyed: weights, optimiser, the
loop's position, and how much of the replay and of metrics.jsonl belongs to it.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from harness.disk import replacing
from harness.errors import RunError

_MAGIC = b"wm-checkpoint-1 "
log = logging.getLogger("wm")


class CheckpointStore:
    """The `checkpoint/` folder of a run.

    Args:
        directory: made if it does not exist.
        owns: called before every commit; False means that another process took the run over.
    """

    def __init__(self, directory: Path, owns: Callable[[], bool] = lambda: True) -> None:
        self.directory = directory
        self.owns = owns
        self.model_file = directory / "model.pt"

    def save(self, content: dict[str, Any]) -> None:
        """Writes the next generation and drops all but the one before it.

        Raises:
            LostOwnership: another process owns the run; nothing was written.
            RunError: the disk is full; the earlier generations are untouched.
        """
        if not self.owns():
            raise LostOwnership
        self.directory.mkdir(exist_ok=True)
        generations = self._generations()
        number = int(generations[-1].stem) + 1 if generations else 0
        self._write(self.directory / f"{number:06d}.pt", content)
        for old in self._generations()[:-2]:
            old.unlink()

    def load(self) -> dict[str, Any] | None:
        """The newest generation that is whole, or None if there is none at all.

        Raises:
            RunError: there are checkpoints, and all of them are damaged.
        """
        generations = self._generations()
        for path in reversed(generations):
            content = read_checkpoint(path)
            if content is not None:
                return content
            log.warning("checkpoint %s is damaged; trying the one before it", path.name)
        if generations:
            raise RunError(
                "corrupt",
                f"every checkpoint in {self.directory} is damaged.",
                "Start the run anew with `wm retry --fresh`, which archives what is there.",
            )
        return None

    def keep(self, what: str) -> None:
        """What stays when the run is done: `full` checkpoints, the `model`'s weights alone, or `none`.

        May be called again after a kill.
        """
        generations = self._generations()
        if what == "model" and generations:
            self._write(self.model_file, {"model": self.weights()})
        if what != "full":
            for old in generations:
                old.unlink()

    def weights(self) -> dict[str, Any]:
        """The model's weights, of a finished run or of the newest checkpoint.

        Raises:
            RunError: there are none.
        """
        content = read_checkpoint(self.model_file) if self.model_file.exists() else self.load()
        if content is None:
            raise RunError(
                "corrupt",
                f"{self.directory} holds no whole checkpoint.",
                "A finished run keeps its weights with storage.checkpoint: model or full; a damaged file must be "
                "restored from a copy, or the run started anew with `wm retry --fresh`.",
            )
        weights: dict[str, Any] = content["model"]
        return weights

    def _generations(self) -> list[Path]:
        return sorted(path for path in self.directory.glob("[0-9]*.pt") if path.stem.isdigit())

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        payload = buffer.getvalue()
        digest = hashlib.sha256(payload).hexdigest().encode()
        with replacing(path) as file:
            file.write(_MAGIC + digest + b"\n")
            file.write(payload)


class LostOwnership(Exception):
    """Another process owns the run now; this one leaves without writing."""


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The content of a checkpoint file on the CPU, or None if its digest does not match."""
    data = path.read_bytes()
    header, _, payload = data.partition(b"\n")
    if header != _MAGIC + hashlib.sha256(payload).hexdigest().encode():
        return None
    content: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return content
