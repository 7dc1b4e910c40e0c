"""The study that `wm init` writes."""

from __future__ import annotations

from pathlib import Path

import yaml

from harness.errors import UserError
from studies.language.names import check_study_name
from studies.language.scalars import resolve

_STARTER = """\
# A study: designs x tasks x seeds. `wm plan NAME.yaml` shows what it runs, `wm run NAME.yaml` runs it.
# Every key and every trap: docs/study-language.md; what there is to name: wm list models, designs, tasks.
name: NAME                     # its folder under the runs directory

base:                          # what every run shares; the names are those of `wm show`, nested or dotted
  size: tiny                   # tiny, small, paper, large
  env: {image_size: 32}
  train: {episodes: 50, updates_per_episode: 50}
  planner: {horizon: 8, iterations: 4, proposals: 100}
  evaluation: {every: 10, final_episodes: 10}

designs:                       # fragments with names of your own; those of `wm list designs` need not be written
  images: {predict: images, space: latent, dynamics: stochastic}
  images-deterministic: {predict: images, space: latent, dynamics: deterministic}
  rewards: {predict: rewards, space: latent, dynamics: stochastic}

grid:                          # the cross product of any fields
  design: "*"                  # names, or globs over the names written above; quote a star
  task: [dmc/cartpole-swingup]
  seed: range(3)               # 0, 1, 2
  # train.learning_rate: [1e-3, 3e-4]

# zip: [{planner.horizon: [6, 12], planner.proposals: [100, 200]}]     # these vary together, and cross the grid
# exclude: [{design: rewards, seed: 2}]                                # cells to leave out

include:                       # small grids of their own: here the baseline
  - {agent: random, task: [dmc/cartpole-swingup], seed: range(3)}

resources:                     # for a scheduler; rules are merged from the top
  default: {cpus: 2, memory_gb: 8, hours: 12}
  # rules: [{where: {predict: images}, hours: 24}]

report: {final_window: 0.1}    # the score is the mean over the last tenth of the evaluations
"""


def starter_text(name: str) -> str:
    """The text of a study to start from.

    Raises:
        UserError: the name cannot name a study.
    """
    try:
        check_study_name(name)
    except ValueError as error:
        raise UserError(str(error)) from None
    written = name if _is_text(name) else f'"{name}"'
    return _STARTER.replace("name: NAME ", f"name: {written} ").replace("NAME", name)


def _is_text(name: str) -> bool:
    """Whether a name is a text without quotes, here and for readers of YAML 1.1."""
    try:
        return bool(resolve(name) == name == yaml.safe_load(name))
    except (ValueError, yaml.YAMLError):
        return False


def write_starter(name: str, folder: Path) -> Path:
    """Writes ``NAME.yaml``, whether the name came with that suffix or not; an existing file is left alone.

    Raises:
        UserError: it exists, or the name cannot name a study.
    """
    name = Path(name).stem if name.endswith((".yaml", ".yml")) and "/" not in name else name
    text = starter_text(name)
    path = folder / f"{name}.yaml"
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} exists already; it was left as it is") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    return path
