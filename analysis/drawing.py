"""Figures by name, drawn and saved: what `wm report --figure` and the page take them from."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.figures.registry import FIGURES, FigureKind, chosen
from harness.errors import UserError
from harness.registry import suggest

if TYPE_CHECKING:
    from analysis.material import Material
    from analysis.style import Drawn

FORMATS = ("pdf", "png", "svg", "pgf")
"""What a figure can be written as."""
DEFAULT_FORMATS = ("pdf", "png")
_TEX = ("xelatex", "lualatex", "pdflatex")


@dataclass(frozen=True)
class Saved:
    """A figure, what it is one of, and the files that it was written to (the CSV first)."""

    kind: FigureKind
    drawn: Drawn
    files: Sequence[Path]

    @property
    def light(self) -> Saved:
        """Without artists and points, which are in the files: a figure of the same size."""
        from matplotlib.figure import Figure

        blank = Figure(figsize=tuple(self.drawn.figure.get_size_inches()))
        return replace(self, drawn=replace(self.drawn, figure=blank, data=self.drawn.data.iloc[:0]))


def check_formats(formats: Iterable[str]) -> list[str]:
    """The formats, each once.

    Raises:
        UserError: one is not known, or cannot be written here (`pgf` measures its text with LaTeX).
    """
    wanted = list(dict.fromkeys(formats))
    for name in wanted:
        if name not in FORMATS:
            known = f"{', '.join(FORMATS[:-1])} and {FORMATS[-1]}"
            raise UserError(f"unknown figure format {name}{suggest(name, FORMATS)}; there are {known}")
    if "pgf" in wanted and tex_system() is None:
        others = " and ".join([name for name in wanted if name != "pgf"] or ["pdf", "svg"])
        raise UserError(
            f"pgf needs a LaTeX on the PATH to measure text, and there is no {' or '.join(_TEX)}; nothing was drawn. "
            f"Install TeX Live (texlive-xetex, texlive-latex-recommended, texlive-pictures), or leave pgf out: "
            f"{others} alone can be made without"
        )
    return wanted


def tex_system() -> str | None:
    """The LaTeX that pgf figures are measured with; None where there is none."""
    return next((name for name in _TEX if shutil.which(name)), None)


def draw(material: Material, names: Iterable[str] = tuple(FIGURES)) -> list[tuple[FigureKind, Drawn]]:
    """The figures of those names; those without data are left out. Call it within `style.print_style`.

    Raises:
        UserError: a name is not known.
    """
    return [(kind, drawn) for kind in chosen(names) for drawn in _drawn(kind, material)]


def _drawn(kind: FigureKind, material: Material) -> list[Drawn]:
    """The figures of a kind; those of simulated data say so, wherever the picture goes."""
    found = kind.draw(material)
    if not material.results.simulated:
        return found
    for drawn in found:
        look: dict[str, Any] = {"ha": "right", "va": "top", "size": 7, "color": "#b3261e"}
        if drawn.figure.get_layout_engine() is not None:  # which gives a title room of its own
            drawn.figure.suptitle("simulated", x=0.998, **look)
        else:
            drawn.figure.text(0.998, 0.998, "simulated", **look)
    return [replace(drawn, caption=f"Simulated data. {drawn.caption}") for drawn in found]


def draw_figures(
    material: Material,
    names: Iterable[str],
    formats: Iterable[str],
    folder: Path,
    provenance: str | None = None,
) -> list[Saved]:
    """Draws figures and writes NAME.csv and NAME.<format> of each into a folder.

    Args:
        material: what they are drawn from, and how wide.
        names: of `registry.FIGURES`; a figure may become several files (one a task), or none without data.
        formats: of `FORMATS`.
        folder: made where it is not there; files of other figures stay.
        provenance: for the files' metadata; by default the manifest of the results in one line.

    Raises:
        UserError: a name or a format is not known, or pgf is asked for without LaTeX.
    """
    kinds, written = chosen(names), check_formats(formats)
    from analysis.style import print_style, save

    if provenance is None:
        from analysis.manifest import manifest
        from analysis.manifest import provenance as in_one_line

        provenance = in_one_line(manifest(material.results))
    with print_style(tex_system() if "pgf" in written else None):
        return [
            Saved(kind, drawn, save(drawn, folder, written, provenance))
            for kind in kinds
            for drawn in _drawn(kind, material)
        ]
