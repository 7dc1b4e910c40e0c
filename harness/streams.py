"""Keyed random streams: every draw comes from a fresh stream named by (seed, purpose, task, index).

No generator is saved and none is shared, so changing how often one evaluates cannot change training, and a resumed
run draws what an undisturbed one would have drawn. The design enters only the streams of model initialisation and
model noise; everything else is common to the designs of a comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

DESIGN_PURPOSES = frozenset({"model_init", "loss_noise", "observe_noise", "predict_noise", "open_loop_noise"})
"""Purposes whose streams differ between designs."""


def stream_key(*parts: str | int) -> int:
    """A 63-bit key from strings and integers, the same in every process and version."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class Streams:
    """The streams of one run.

    Args:
        seed: the run's seed.
        task: the task's name, so that two tasks share no stream.
        design: what tells this design's model from another's.
    """

    def __init__(self, seed: int, task: str, design: str) -> None:
        self._base = (seed, task)
        self._design = design

    def key(self, purpose: str, *index: str | int) -> int:
        """The 63-bit key of a stream."""
        design = (self._design,) if purpose in DESIGN_PURPOSES else ()
        return stream_key(*self._base, *design, purpose, *index)

    def env_seed(self, purpose: str, *index: str | int) -> int:
        """A seed for `gymnasium.Env.reset`."""
        return self.key(purpose, *index) % 2**31

    def numpy(self, purpose: str, *index: str | int) -> np.random.Generator:
        """A fresh numpy stream."""
        return np.random.default_rng(self.key(purpose, *index))

    def torch(self, purpose: str, *index: str | int) -> torch.Generator:
        """A fresh torch stream, on the CPU whatever the device, so that devices see the same numbers."""
        return torch.Generator().manual_seed(self.key(purpose, *index))

    def noise(
        self, draws: Mapping[str, tuple[tuple[int, ...], str]], purpose: str, *index: str | int
    ) -> dict[str, Tensor]:
        """The tensors that a call declared, each from a stream of its own name."""
        return {name: _draw(*draw, self.torch(purpose, *index, name)) for name, draw in draws.items()}

    def row_noise(
        self,
        draws: Mapping[str, tuple[tuple[int, ...], str]],
        purpose: str,
        rows: Iterable[tuple[str | int, ...]],
    ) -> dict[str, Tensor]:
        """Noise of a batch whose row b has the stream of index rows[b], whatever else is in the batch.

        Args:
            draws: as declared for one row, leading dimension 1.
            purpose: what for.
            rows: an index per row.
        """
        parts = [self.noise(draws, purpose, *row) for row in rows]
        return {name: torch.cat([part[name] for part in parts]) for name in draws}


def _draw(shape: tuple[int, ...], kind: str, generator: torch.Generator) -> Tensor:
    if kind == "normal":
        return torch.randn(shape, generator=generator)
    if kind == "uniform":
        return torch.rand(shape, generator=generator)
    raise ValueError(f"unknown kind of noise {kind!r}: normal or uniform")
