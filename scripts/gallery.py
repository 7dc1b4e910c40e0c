"""Makes docs/gallery.md and docs/gallery/*.png: every figure, of simulated studies. `make gallery` runs it."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from analysis.drawing import draw
from analysis.figures.registry import FIGURES, SECTIONS
from analysis.inference.estimate import generator
from analysis.load import load
from analysis.material import Material
from analysis.simulate.effects import Effects
from analysis.simulate.memory import results
from analysis.simulate.world import draw as draw_world
from analysis.simulate.writing import write_studies
from analysis.style import Drawn, print_style
from studies.simulating import planned

ROOT = Path(__file__).resolve().parent.parent
PAPER = ROOT / "studies" / "paper"
TASKS = "task=dmc/cartpole-swingup,dmc/cheetah-run,dmc/walker-walk"
EFFECTS = Effects(diverged=0.02, failed=0.02)
"""The defaults of `wm simulate`, and a few runs that diverge or fail."""
DPI, MOST_BYTES = 130, 150_000
ON_DISK = ("online",)
"""What needs learning curves and forecasts is drawn from files."""
SOURCES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("online", "offline", "cross_training", "dose_response", "planner", "capacity", "sharing"): ("claims",),
    ON_DISK: (
        *("completeness", "scores", "aggregates", "profiles", "factorial", "correlation", "correlation_map"),
        *("coverage", "learning_curves", "training_returns", "horizon_error", "forecasts", "forecast_seeds"),
        "cost",
    ),
    ("online", "offline"): ("online_offline", "ranks"),
    ("cross_training",): ("cross_training",),
    ("dose_response",): ("dose_response",),
    ("planner",): ("planner",),
    ("capacity",): ("capacity",),
    ("sharing",): ("sharing",),
}
"""Which studies each figure is of."""
_HEAD = """# Gallery

Every figure of `wm report`. **The data are simulated** (`wm simulate`, with its default effects): no model was trained,
and nothing here says anything about world models. Made by `make gallery` from the plans in
[studies/paper](../studies/paper) on three of their tasks, at the width of a page.

`wm report STUDY... --figure NAME` draws one alone, `--width column` for a column of a paper, `--format` as pdf, png,
svg or pgf. The points of each are in a CSV beside it.
"""


def main() -> None:
    """Draws everything into docs/; about two minutes of one core."""
    started = time.monotonic()
    folder = ROOT / "docs" / "gallery"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    found: dict[str, tuple[Drawn, tuple[str, ...]]] = {}
    with print_style(), tempfile.TemporaryDirectory() as root:
        for studies, names in SOURCES.items():
            print(f"{' + '.join(studies)}: {', '.join(names)}", file=sys.stderr)
            material = _material(studies, Path(root))
            for kind, drawn in draw(material, names):
                if kind.name not in found:  # of a figure a task the first
                    found[kind.name] = drawn, studies
                    _save(drawn, folder / f"{kind.name}.png")
    if missing := FIGURES.keys() - found.keys():
        raise SystemExit(f"nothing was drawn for {', '.join(sorted(missing))}")
    (ROOT / "docs" / "gallery.md").write_text(_page(found), encoding="utf-8")
    print(f"{len(found)} figures in {time.monotonic() - started:.0f} s", file=sys.stderr)


def _material(studies: tuple[str, ...], root: Path) -> Material:
    """Of the studies, simulated: in memory, or with everything that a run leaves under `root`."""
    simulated = planned([str(PAPER / f"{name}.yaml") for name in studies], root, None, [TASKS])
    world = simulated.world()
    drawn = draw_world(world, EFFECTS, generator("gallery"))
    if studies != ON_DISK:
        return Material(results(world, drawn, "gallery"), "page")
    write_studies(world, drawn, simulated.files, {"seed": "gallery"})
    return Material(load([study.path for study in simulated.studies]), "page")


def _save(drawn: Drawn, path: Path) -> None:
    """A PNG without metadata, of fewer colours where it would be large."""
    drawn.figure.savefig(path, dpi=DPI, metadata={"Software": None})
    if path.stat().st_size > MOST_BYTES:
        with Image.open(path) as opened:
            small = opened.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


def _page(found: dict[str, tuple[Drawn, tuple[str, ...]]]) -> str:
    lines = [_HEAD]
    for section, heading in SECTIONS.items():
        lines.append(f"## {heading}\n")
        for kind in FIGURES.values():
            if kind.section != section:
                continue
            drawn, studies = found[kind.name]
            claims = (
                f" ({', '.join(kind.claims)})" if 0 < len(kind.claims) < len(FIGURES["claims"].claims) else ""
            )
            lines += [
                f"### `{kind.name}`: {kind.title}\n",
                f"{kind.help[:1].upper()}{kind.help[1:]}{claims}. Of {', '.join(studies)}.\n",
                f"![{kind.title}](gallery/{kind.name}.png)\n",
                f"<sub>{drawn.caption}</sub>\n",
            ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
