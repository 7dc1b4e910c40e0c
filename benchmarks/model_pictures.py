"""Trains every corner of the design space on worlds whose dynamics are known, and draws what the models forecast.

    python -m benchmarks.model_pictures                # from the root of the repository; writes docs/figures/models-*

What was trained lies in `--work` and is not trained again, so that figures can be drawn anew.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.colours import REFERENCE, Look, looks
from analysis.style import PAGE, PNG_DPI, legend_below, print_style
from models.types import LossWeights
from tests.models.designs import CONTEXT, CORNERS, DESIGNS, Design
from tests.models.learning import build, errors, forecasts, held_out, train

FORMS = [
    Design("images", "latent", "stochastic", variant="window"),
    Design("images", "latent", "stochastic", reward_from="image"),
    Design("images", "latent", "deterministic", reward_from="image", reward_gradient="stopped"),
    Design("rewards", "pixel", "deterministic", variant="feedforward"),
    Design("rewards", "pixel", "deterministic", variant="actions"),
]
"""Trained beside the corners."""
UPDATES = {"sprite": 2000, "linear": 2000, "fork": 600}
COLUMNS = {"sprite": CONTEXT + 8, "linear": CONTEXT + 8, "fork": CONTEXT + 4}
HELD_OUT_CLIPS = 128
SAMPLES = 32
SHOWN = {"sprite": 5, "linear": 3}
"""The held-out clip of a figure."""
SETTINGS: dict[str, dict[str, Any]] = {
    "": {},
    "two futures scored": {"open_loop_futures": 2},
    "no open-loop term": {"weights": LossWeights(open_loop_weight=0.0, free_nats=1.0)},
}
"""What the stochastic latent designs are trained with on the fork."""
Arrays = dict[str, np.ndarray]


class Trial(NamedTuple):
    """A design on a world, as it is by default or with one of SETTINGS."""

    world: str
    design: Design
    setting: str = ""

    @property
    def name(self) -> str:
        """The corner, and on a second line what is not ordinary about it."""
        design = self.design
        form = [
            {"standard": "", "window": "window"}.get(design.variant, design.variant),
            "reward from image" if design.reward_from == "image" else "",
            "" if design.reward_gradient == "shared" else f"gradient {design.reward_gradient}",
            self.setting,
        ]
        return "\n".join(["-".join(design[:3]), ", ".join(filter(None, form))]).strip()


def trials() -> list[Trial]:
    """All that is trained."""
    designs = [*CORNERS, *(form for form in FORMS if form in DESIGNS)]
    known = [Trial(world, design) for world in ("sprite", "linear") for design in designs]
    latent = {d for d in CORNERS if d.space == "latent" and d.dynamics == "stochastic"}
    forks = [
        Trial("fork", design, setting)
        for design in CORNERS
        for setting in (SETTINGS if design in latent else [""])
    ]
    return [*known, *forks]


def outcome(trial: Trial, work: Path) -> Arrays:
    """Errors and forecasts of a trained model; trained if they are not in `work`."""
    updates, columns = UPDATES[trial.world], COLUMNS[trial.world]
    words = f"{trial.world} {updates} {trial.name}".replace(",", "")
    path = work / f"{'-'.join(words.split())}.npz"
    if not path.exists():
        model = build(trial.design, forecast=columns - CONTEXT, **SETTINGS[trial.setting])
        start = time.process_time()
        train(model, updates, world=trial.world, columns=columns)
        seconds = time.process_time() - start
        clips = held_out(trial.world, HELD_OUT_CLIPS, columns)
        arrays = {f"error.{name}": values for name, values in errors(model, clips).items()}
        few = type(clips)(*(field[:8] for field in clips))
        forecast = forecasts(model, few, SAMPLES if model.spec.stochastic else 1)
        arrays |= {"reward": forecast.reward.numpy()}
        if forecast.image is not None:
            arrays |= {"image": (255 * forecast.image).round().to(torch.uint8).numpy()}
        parameters = sum(p.numel() for p in model.parameters())
        arrays |= {"parameters": np.array(parameters), "seconds": np.array(seconds)}
        work.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **arrays)
        print(f"{path.stem}: {seconds:.0f} s", flush=True)
    with np.load(path) as stored:
        return dict(stored)


def picture(axes: Axes, image: np.ndarray) -> None:
    """Draws u8[3, h, w] without ticks or frame."""
    axes.imshow(image.transpose(1, 2, 0), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def row_label(axes: Axes, text: str) -> None:
    """A name left of a row's first picture."""
    axes.set_ylabel(text, rotation=0, ha="right", va="center", labelpad=4, fontsize=7)


def film(world: str, results: dict[Trial, Arrays]) -> Figure:
    """A held-out clip above, each design's forecast of it below; one sample of a stochastic design."""
    rows = [trial for trial in results if trial.world == world and "image" in results[trial]]
    columns, shown = COLUMNS[world], SHOWN[world]
    clips = held_out(world, 8, columns)
    figure = Figure(figsize=(PAGE, 0.47 * (len(rows) + 1) + 0.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.012, h_pad=0.012, wspace=0, hspace=0)  # type: ignore[union-attr]
    grid = figure.subplots(len(rows) + 1, columns, squeeze=False)
    for t in range(columns):
        picture(grid[0, t], clips.image[shown, t].numpy())
        seen = "seen" if t < CONTEXT else f"+{t - CONTEXT + 1}"
        grid[0, t].set_title(seen, fontsize=7, pad=3)
    row_label(grid[0, 0], "truth")
    for row, trial in enumerate(rows, start=1):
        row_label(grid[row, 0], trial.name)
        for t in range(columns):
            if t < CONTEXT:
                picture(grid[row, t], np.full_like(clips.image[shown, t].numpy(), 255))
            else:
                picture(grid[row, t], results[trial]["image"][shown, 0, t - CONTEXT])
    return figure


def horizon(results: dict[Trial, Arrays]) -> Figure:
    """Errors of the mean forecast over the horizon, image above, reward below, beside repeat-last."""
    corners = {design.name: looks([design.name])[design.name] for design in CORNERS}
    figure = Figure(figsize=(PAGE, 4.3), layout="constrained")
    grid = figure.subplots(2, 2, squeeze=False, sharex=True)
    for row, (error, unit) in enumerate(
        (("image", "image error (0–255)"), ("reward", "reward error (per step)"))
    ):
        for column, world in enumerate(("sprite", "linear")):
            axes = grid[row, column]
            for trial, arrays in results.items():
                key = f"error.{error}_error_mean"
                if trial.world == world and trial.design in CORNERS and key in arrays:
                    look = corners[trial.name]
                    steps = np.arange(1, len(arrays[key]) + 1)
                    axes.plot(steps, arrays[key], look.line, marker=look.marker, color=look.colour, ms=3.5)
                    baseline = arrays[f"error.{error}_error_baseline"]
            axes.plot(steps, baseline, "--", color=REFERENCE.colour, lw=1)
            axes.set_ylim(bottom=0)
            if row == 0:
                axes.set_title(f"{world}")
            if column == 0:
                axes.set_ylabel(unit)
            if row == 1:
                axes.set_xlabel("steps ahead")
    legend_below(figure, corners, reference="repeat the last")
    return figure


def fork_frames(results: dict[Trial, Arrays]) -> Figure:
    """The two futures over time, and the last frame as each design forecasts it, in up to eight samples."""
    trials = [trial for trial in results if trial.world == "fork" and "image" in results[trial]]
    columns, across = COLUMNS["fork"], 8
    clips = held_out("fork", 8, columns)
    rows: list[tuple[str, np.ndarray]] = [
        ("it turns left", clips.image[1].numpy()),
        ("it turns right", clips.image[0].numpy()),
        *((trial.name, results[trial]["image"][0, :across, -1]) for trial in trials),
    ]
    figure = Figure(figsize=(PAGE, 0.58 * len(rows) + 0.35), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.012, h_pad=0.012, wspace=0, hspace=0)  # type: ignore[union-attr]
    grid = figure.subplots(len(rows), across, squeeze=False)
    for row, (label, pictures) in enumerate(rows):
        row_label(grid[row, 0], label)
        for axes in grid[row, len(pictures) :]:
            axes.set_axis_off()
        for axes, image in zip(grid[row], pictures, strict=False):
            picture(axes, image)
    for number, axes in enumerate(grid[0, :columns]):
        axes.set_title("seen" if number < CONTEXT else f"+{number - CONTEXT + 1}", fontsize=7, pad=3)
    for number, axes in enumerate(grid[2]):
        axes.set_title(f"sample {number + 1}", fontsize=7, pad=3)
    return figure


def fork_rewards(results: dict[Trial, Arrays]) -> Figure:
    """The reward that each sample forecasts for the last step; the truth is -1 or +1."""
    rows = [trial for trial in results if trial.world == "fork"][::-1]
    chosen = looks([design.name for design in CORNERS])
    figure = Figure(figsize=(PAGE, 0.32 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots()
    for height, trial in enumerate(rows):
        rewards = results[trial]["reward"][..., -1].flatten()
        look: Look = chosen[trial.design.name]
        spread = np.random.default_rng(0).uniform(-0.28, 0.28, len(rewards)) if len(rewards) > 8 else 0
        axes.plot(
            rewards, height + np.zeros(len(rewards)) + spread, look.marker, color=look.colour, ms=3, alpha=0.6
        )
    for truth in (-1, 1):
        axes.axvline(truth, color=REFERENCE.colour, ls="--", lw=1)
    axes.set_yticks(range(len(rows)), [trial.name for trial in rows])
    axes.set_xlabel("reward forecast for the last step")
    axes.grid(visible=False, axis="y")
    handle = Line2D([], [], color=REFERENCE.colour, ls="--", lw=1, label="the two futures")
    figure.legend(handles=[handle], loc="outside lower right")
    return figure


def table(results: dict[Trial, Arrays]) -> str:
    """Errors over those of repeat-last, means over the horizon, as Markdown."""
    lines = [
        "| design | parameters | sprite: image | moving pixels | reward | linear: image | moving pixels | reward |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    names = dict.fromkeys(trial.name for trial in results if trial.world == "sprite")
    for name in names:
        cells: list[str] = [name.replace("\n", ", ")]
        for trial, arrays in results.items():
            if trial.name == name and trial.world in {"sprite", "linear"}:
                if len(cells) == 1:
                    cells.append(f"{int(arrays['parameters']):,}")
                cells += (
                    ratio(arrays, error)
                    for error in ("image_error_mean", "image_error_moving", "reward_error_mean")
                )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratio(arrays: Arrays, error: str) -> str:
    """The mean of an error over the horizon, over that of repeat-last; a dash where there is none."""
    baseline = error.replace("_mean", "") + "_baseline"
    if f"error.{error}" not in arrays:
        return "–"
    return f"{arrays[f'error.{error}'].mean() / arrays[f'error.{baseline}'].mean():.2f}"


def draw(results: dict[Trial, Arrays], folder: Path) -> None:
    """Writes the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {
        "films-sprite": film("sprite", results),
        "films-linear": film("linear", results),
    }
    figures |= {
        "horizon": horizon(results),
        "fork": fork_frames(results),
        "fork-rewards": fork_rewards(results),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"models-{name}.png", dpi=PNG_DPI, metadata={"Software": None})


def main(arguments: Iterable[str] | None = None) -> None:
    """Trains what is missing, draws, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    parser.add_argument("--work", type=Path, default=Path("runs/model-pictures"))
    options = parser.parse_args(None if arguments is None else list(arguments))
    torch.set_num_threads(1)
    results = {trial: outcome(trial, options.work) for trial in trials()}
    with print_style():
        draw(results, options.out)
    print(table(results))


if __name__ == "__main__":
    main()
