"""The directory of one run, and the plan of a study that names its runs: where everything is, and how it is read.

Torch-free; `analysis` reads through it.

One process writes a run (`harness.claim`); readers never lock. A file that is replaced is replaced atomically.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from harness.config import RunConfig, component_versions, run_id
from harness.errors import UserError

SCHEMA_VERSION = 1
PLAN = "plan.jsonl"
STATE = "state.json"
SIMULATED = "simulated.json"
"""In the directory of a study that `wm simulate` made up: what was put into it."""
_BLOCK_BYTES = 64 * 1024
_HEX = re.compile(r"[0-9a-f]{12}")
_PLANNED = {"id": str, "hex": str, "design": str, "task": str, "seed": int, "config": dict}
Ending = Literal["running", "done", "failed", "diverged", "preempted"]
DURATIONS = ("wall_seconds", "seconds", "train_seconds", "plan_seconds", "collect_seconds", "peak_memory_mb")
"""Fields of metrics.jsonl that measure the machine, not the run: the only ones that may differ between two runs."""


@dataclass
class Failure:
    """Why a run failed: its kind, one line, and the traceback for `wm logs`."""

    kind: str
    message: str
    traceback: str = ""


@dataclass
class RunState:
    """What `state.json` holds; written by the owner only."""

    id: str
    state: Ending
    attempt: int = 1
    phase: str = "starting"  # starting, collecting, training, evaluating, final, done
    iteration: int = 0  # finished iterations
    iterations: int = 0  # planned
    env_steps: int = 0
    grad_steps: int = 0
    progress: float = 0.0  # 0..1 of the planned work
    last_return: float | None = None
    started: float = 0.0  # unix seconds, of this attempt
    heartbeat: float = 0.0  # unix seconds
    error: Failure | None = None
    schema: int = SCHEMA_VERSION
    extra: dict[str, Any] = field(default_factory=dict)


class RunDir:
    """Paths and readers of ``RUNS/<study>/runs/<run_id>/``."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.config_file = self.path / "run.yaml"
        self.attempts = self.path / "attempts.jsonl"
        self.state_file = self.path / STATE
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint"
        self.replay = self.path / "replay"
        self.evaluation = self.path / "eval"
        self.forecasts = self.path / "forecasts"
        self.summary = self.path / "summary.npz"
        self.log = self.path / "log.txt"
        self.tensorboard = self.path / "tensorboard"

    @classmethod
    def create(cls, path: Path | str, config: RunConfig) -> RunDir:
        """Makes the directory and its immutable run.yaml; an existing equal one is left as it is."""
        run = cls(path)
        run.path.mkdir(parents=True, exist_ok=True)
        if not run.config_file.exists():
            content = {
                "schema": SCHEMA_VERSION,
                "id": run_id(config),
                "versions": component_versions(config),
                "config": config.model_dump(mode="json"),
            }
            write_atomically(run.config_file, yaml.safe_dump(content, sort_keys=False))
        return run

    @property
    def id(self) -> str:
        return self.path.name

    def read_config(self) -> RunConfig:
        """The run's configuration, as run.yaml holds it."""
        return RunConfig.model_validate(yaml.safe_load(self.config_file.read_text())["config"])

    def read_state(self) -> RunState | None:
        """What the owner last wrote; None if no attempt has begun, or the file is damaged."""
        return read_state(self.path)

    def write_state(self, state: RunState) -> None:
        """Replaces state.json; an ending is on the disk when this returns."""
        write_atomically(self.state_file, json.dumps(asdict(state)), sync=state.state != "running")

    def read_metrics(self, kinds: set[str] | None = None) -> Iterator[dict[str, Any]]:
        """The records of metrics.jsonl; a last line that is still being written is left out."""
        yield from read_jsonl(self.metrics, kinds)

    def last_metrics(self, kind: str) -> dict[str, Any] | None:
        """The last record of a kind in metrics.jsonl, read from the file's end; None if there is none."""
        return next((record for record in _backwards(self.metrics) if record.get("kind") == kind), None)

    def read_attempts(self) -> list[dict[str, Any]]:
        """The records of attempts.jsonl: a `start` and an `end` line per attempt."""
        return list(read_jsonl(self.attempts))


def read_state(run_dir: Path) -> RunState | None:
    """What a run's owner last wrote; None if no attempt has begun, or the file is damaged."""
    try:
        content = json.loads((run_dir / STATE).read_text())
        error = content.pop("error", None)
        return RunState(**content, error=Failure(**error) if error else None)
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, AttributeError):
        return None


def planned_runs(study: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """The lines of RUNS/<study>/plan.jsonl, in their order, each with its run's directory.

    A line holds id, hex, design, task, seed, config and, if the run is read in place from another study,
    `reused_from`. The directory may not exist yet; one whose design was renamed is found by its hex.

    Raises:
        UserError: there is no plan, or it is damaged: a part of it would pass the other runs off as unplanned.
    """
    directories: dict[Path, dict[str, Path]] = {}
    for line in _plan_lines(study / PLAN):
        source = line.get("reused_from")
        home = study.parent / source if source else study
        if home not in directories:
            directories[home] = run_directories(home)
        yield line, directories[home].get(line["hex"], home / "runs" / line["id"])


def run_directories(study: Path) -> dict[str, Path]:
    """The run directories of a study that exist, by hex."""
    runs = study / "runs"
    try:
        names = sorted(os.listdir(runs))  # noqa: PTH208 - thousands of names, no paths needed
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name[-12:]: runs / name for name in names if _HEX.fullmatch(name[-12:])}


def _plan_lines(plan: Path) -> Iterator[dict[str, Any]]:
    """The lines of a plan, each with all that a planned run needs."""
    try:
        content = plan.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{plan.parent}: there is no plan yet; `wm run FILE` makes it") from None
    except OSError as error:
        raise UserError(f"{plan} cannot be read: {error.strerror or error}") from error
    if not content:
        raise _damaged(plan, "it is empty")
    *lines, rest = content.split(b"\n")
    if rest:
        raise _damaged(plan, "its last line is not whole")
    for number, line in enumerate(lines, 1):
        try:
            run = json.loads(line)
            whole = all(isinstance(run[name], kind) for name, kind in _PLANNED.items())
            whole = whole and isinstance(run.get("reused_from") or "", str)
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole:
            raise _damaged(plan, f"line {number} is no planned run")
        yield run


def _damaged(plan: Path, why: str) -> UserError:
    return UserError(f"{plan} is damaged ({why}); `wm run FILE` writes it again")


def read_jsonl(path: Path, kinds: set[str] | None = None) -> Iterator[dict[str, Any]]:
    """Whole lines of a JSON lines file, of the given kinds; nothing if it does not exist."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            record = json.loads(line)
            if kinds is None or record.get("kind") in kinds:
                yield record


def _backwards(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSON lines file, the last whole line first; nothing if it does not exist."""
    if not path.exists():
        return
    with path.open("rb") as file:
        place = file.seek(0, os.SEEK_END)
        rest, whole = b"", False  # the line whose start was not read yet, and whether its end was
        while place:
            start = max(0, place - _BLOCK_BYTES)
            file.seek(start)
            first, *lines = (file.read(place - start) + rest).split(b"\n")
            if lines and not whole:
                whole = True
                lines.pop()  # what follows the last line end is still being written
            yield from (json.loads(line) for line in reversed(lines))
            rest, place = first, start
        if whole:
            yield json.loads(rest)


def write_atomically(path: Path, content: str | bytes, *, sync: bool = True) -> None:
    """Writes a file to the side and renames it: a reader sees the old content or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    side = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with side.open("wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        side.replace(path)
    except BaseException:
        side.unlink(missing_ok=True)
        raise
