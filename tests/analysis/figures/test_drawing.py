"""Figures by name: what is drawn, where it is written to, and what is said of a name that is wrong."""

import re
import subprocess
import sys

import pytest

from analysis import drawing
from analysis.drawing import check_formats, draw_figures
from analysis.figures.registry import FIGURES, SECTIONS, chosen
from analysis.material import Material
from harness.errors import UserError


def test_figures_are_written_as_asked(results, tmp_path):
    saved = draw_figures(
        Material(results, "column"), ["scores", "horizon_error"], ["pdf", "svg"], tmp_path, "{}"
    )
    assert [each.kind.name for each in saved] == ["scores", "horizon_error"]
    assert [[path.name for path in each.files] for each in saved] == [
        [f"{name}.{kind}" for kind in ("csv", "pdf", "svg")] for name in ("scores", "horizon_error")
    ]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for each in saved for path in each.files}
    again = draw_figures(Material(results, "column"), ["scores"], ["pdf", "svg"], tmp_path / "b", "{}")
    for path in again[0].files:
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_pdfs_are_vectors_with_embedded_fonts_and_provenance(results, tmp_path):
    (saved,) = draw_figures(Material(results), ["horizon_error"], ["pdf"], tmp_path, '{"runs":["abc"]}')
    pdf = saved.files[1].read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b'{"runs":["abc"]}' in pdf
    assert b"CreationDate" not in pdf
    assert not re.search(rb"/Subtype /Image", pdf)


def test_every_figure_is_described():
    assert {kind.section for kind in FIGURES.values()} <= SECTIONS.keys()
    assert all(name == kind.name and kind.title and kind.help for name, kind in FIGURES.items())
    order = [list(SECTIONS).index(kind.section) for kind in FIGURES.values()]
    assert order == sorted(order)
    assert set(FIGURES["claims"].claims) == {f"H{i}" for i in range(1, 12)}


def test_a_wrong_name_or_format_suggests_the_right_one():
    with pytest.raises(UserError, match=r"unknown figure learning_curve.*learning_curves"):
        chosen(["learning_curve"])
    with pytest.raises(UserError, match=r"unknown figure format pnf.*there are pdf, png, svg and pgf"):
        check_formats(["pdf", "pnf"])
    assert check_formats(["png", "pdf", "png"]) == ["png", "pdf"]


def test_pgf_without_latex_says_what_to_install(monkeypatch):
    monkeypatch.setattr(drawing, "tex_system", lambda: None)
    with pytest.raises(
        UserError, match=r"pgf needs a LaTeX.*texlive-xetex.*pdf and svg alone can be made without"
    ):
        check_formats(["pgf"])
    monkeypatch.setattr(drawing, "tex_system", lambda: "pdflatex")
    assert check_formats(["pgf"]) == ["pgf"]


def test_names_are_known_without_matplotlib():
    code = "import sys, analysis.drawing; assert not {'matplotlib', 'pandas'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
