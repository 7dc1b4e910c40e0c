"""Gradient steps: batches keyed by the update's number, Adam, and the running sums that a metrics line reports."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from harness.config import RunConfig
from harness.replay import ClipBatch, Replay
from harness.streams import Streams
from models.types import AnyWorldModel, SequenceBatch

Sums = dict[str, Tensor]


class Trainer:
    """Trains a world model on clips of a replay.

    Args:
        config: batch size, clip length, optimiser and precision.
        model: a `torch.nn.Module` as well as a world model, on `device`.
        streams: batches have a stream per update that is common to all designs; the loss's noise has the design's.
        device: of the model.
    """

    def __init__(
        self, config: RunConfig, model: AnyWorldModel, streams: Streams, device: torch.device
    ) -> None:
        assert isinstance(model, nn.Module)
        self.model = model
        self.parameters = list(model.parameters())
        parts: tuple[nn.Module, ...] = getattr(model, "parts", (model,))
        self.parts = [
            list(part.parameters()) for part in parts
        ]  # one's gradient norm is no matter of another's
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=config.train.learning_rate, eps=config.train.adam_epsilon, fused=True
        )
        self.streams = streams
        self.device = device
        self.batch = config.train.batch
        self.clip = config.clip_length
        self.shortest = config.model.context + 1  # a context, and a column to score
        self.clip_norm = config.train.clip_norm
        self.total = max(1, config.total_updates)
        self.bfloat16 = config.train.precision == "bfloat16"

    def step(self, replay: Replay, update: int, sums: Sums) -> None:
        """One gradient step, the update's number counting from 0; adds the metrics to `sums` on the device."""
        clips = replay.sample(self.streams.numpy("batch", update), self.batch, self.clip, self.shortest)
        batch = self._to_device(clips)
        draws = self.model.draws("loss", (self.batch,), self.clip)
        noise = {k: v.to(self.device) for k, v in self.streams.noise(draws, "loss_noise", update).items()}
        progress = torch.tensor(update / self.total, device=self.device)
        with self._autocast():
            loss = self.model.loss(batch, noise, progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        norm = torch.stack([nn.utils.clip_grad_norm_(part, self.clip_norm) for part in self.parts]).norm()
        self.optimizer.step()
        for name, value in {"loss": loss.total, "gradient_norm": norm, **loss.metrics}.items():
            number = value.detach().double()
            sums[name] = sums[name] + number if name in sums else number

    def _to_device(self, clips: ClipBatch) -> SequenceBatch:
        fields = (clips.image, clips.action, clips.reward, clips.first, clips.terminal, clips.mask)
        return SequenceBatch(*(torch.from_numpy(field).to(self.device) for field in fields))

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()
