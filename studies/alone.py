"""A run outside of any study, in a directory that the user chose: what `wm train` writes, and `wm retry` takes."""

from __future__ import annotations

from pathlib import Path

import yaml

from harness.config import RunConfig, run_hex
from harness.errors import UserError
from harness.rundir import RunDir
from studies.store import StoredRun


def is_run(path: Path) -> bool:
    """Whether a directory holds a run."""
    return RunDir(path).config_file.is_file()


def run_at(path: Path) -> StoredRun:
    """The run that a directory holds.

    Raises:
        UserError: its run.yaml cannot be read.
    """
    run = RunDir(path)
    try:
        config = run.read_config()
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{run.config_file} is damaged, or of another version of wm: {error}") from error
    return _stored(run.path, config)


def run_for(path: Path, config: RunConfig) -> StoredRun:
    """The run of a configuration in a directory that is new, empty, or holds this very run. Writes nothing.

    Raises:
        UserError: the directory is something else.
    """
    path = path.absolute()
    try:
        if not is_run(path):
            _check_free(path)
        elif run_at(path).hex != run_hex(config):
            raise UserError(f"{path} holds a run of another configuration; `wm show {path}` shows it")
    except OSError as error:
        raise UserError(f"--output-dir {path}: {error.strerror or error}") from error
    return _stored(path, config)


def _check_free(path: Path) -> None:
    above = next(folder for folder in (path, *path.parents) if folder.exists())
    if not above.is_dir():
        raise UserError(f"--output-dir {path}: {above} is no directory")
    begun = ".run.yaml."  # what a run that died in its first moment leaves
    if above == path and any(not file.name.startswith(begun) for file in path.iterdir()):
        raise UserError(f"--output-dir {path}: holds other files and no run; name a new directory")


def make(run: StoredRun) -> None:
    """Makes a run's directory and its run.yaml, unless they are there.

    Raises:
        UserError: it cannot be written.
    """
    try:
        RunDir.create(run.path, RunConfig.model_validate(run.config))
    except OSError as error:
        raise UserError(f"{run.path} cannot be written: {error.strerror or error}") from error


def in_study(path: Path) -> bool:
    """Whether a run's directory is one of a study's."""
    return path.parent.name == "runs" and (path.parent.parent / "plan.jsonl").exists()


def _stored(path: Path, config: RunConfig) -> StoredRun:
    data = config.model_dump(mode="json")
    return StoredRun(path.name, run_hex(config), config.label, config.task, config.seed, data, path)
