"""Writes run directories as the harness would (`harness.rundir`), from what runs reached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analysis.records import Kinds
from analysis.simulate.forecasts import forecasts
from analysis.simulate.reached import Reached
from analysis.simulate.records import lines, records
from harness.config import RunConfig
from harness.rundir import Failure, RunDir, RunState

START: dict[str, Any] = {
    "event": "start",
    "attempt": 1,
    "time": 1.7e9,
    "host": "simulated",
    "pid": 0,
    "code": "simulated",
    "environment": "simulated",
    "device": "simulated",
    "rendering": "simulated",
    "threads": 1,
    "simulated": True,
}
"""The `start` line of attempts.jsonl, by which readers know a run that was never trained."""


def write_run(
    path: Path,
    config: RunConfig,
    run: Reached,
    rng: np.random.Generator,
    *,
    start: Mapping[str, Any] = START,
    summary: bool = True,
    pictures: bool = True,
) -> RunDir:
    """Writes a run directory.

    Args:
        path: RUNS/<study>/runs/<id>.
        config: of the run.
        run: what it reached.
        rng: for what is noise about that.
        start: the `start` line of attempts.jsonl.
        summary: with summary.npz.
        pictures: with forecasts/.
    """
    directory = RunDir.create(path, config)
    kinds = records(config, run, rng)
    text = lines(kinds)
    directory.metrics.write_bytes(text)
    end = {"event": "end", "attempt": 1, "time": start["time"] + 600, "ending": run.state}
    attempts = [dict(start)] if run.state == "running" else [dict(start), end | {"peak_memory_mb": 900.0}]
    directory.attempts.write_text("".join(json.dumps(line) + "\n" for line in attempts))
    ended = run.state in {"done", "diverged"}
    if ended and summary:
        write_summary(directory, kinds, text)
    if run.state == "done" and pictures and config.agent == "model":
        directory.forecasts.mkdir(exist_ok=True)
        arrays = forecasts(config, run)
        for dataset in ("probe", "own"):
            np.savez_compressed(directory.forecasts / f"{dataset}.npz", **arrays)  # type: ignore[arg-type]
    directory.write_state(state_of(directory.id, config, run, simulated=bool(start.get("simulated"))))
    return directory


def state_of(id_: str, config: RunConfig, run: Reached, *, simulated: bool = True) -> RunState:
    """What state.json holds."""
    total = config.train.episodes if config.agent == "model" else 0
    done = int(run.progress * total)
    return RunState(
        id=id_,
        state=run.state,
        phase="done" if run.state == "done" else "training",
        iteration=done,
        iterations=total,
        env_steps=0 if config.offline else done * run.steps,
        grad_steps=done * config.train.updates_per_episode,
        progress=run.progress,
        error=Failure("disk", "No space left on device") if run.state == "failed" else None,
        extra={"simulated": True} if simulated else {},
    )


def write_summary(run: RunDir, kinds: Kinds, text: bytes) -> None:
    """Writes summary.npz, the columns of metrics.jsonl with its digest."""
    digest = hashlib.sha256(text).hexdigest()
    meta = {"schema": 1, "id": run.id, "metrics_sha256": digest}
    arrays = {f"{kind}/{name}": column for kind, found in kinds.items() for name, column in found.items()}
    with run.summary.open("wb") as file:
        np.savez_compressed(file, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]
