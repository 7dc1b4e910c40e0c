"""The report as a whole: files, determinism, honesty, what it says of partial data, no requests."""

import html.parser
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from analysis.completeness import mixed, notes, sentence, too_small
from analysis.figures.registry import FIGURES
from analysis.load import load
from analysis.manifest import changes, manifest
from analysis.report import build_report
from analysis.words import capital
from harness.errors import UserError
from tests.analysis.synthetic import FIVE, Options, kinds, write_study

TASK = "dmc/cartpole-swingup"
SMALL = Options(episodes=8, designs=FIVE[:2], seeds=1)


@pytest.fixture
def one_figure(monkeypatch):
    """Reports with a single figure: drawing is most of the time."""
    monkeypatch.setattr("analysis.report.FIGURES", {"scores": FIGURES["scores"]})


class Page(html.parser.HTMLParser):
    """Collects tags, what the page would fetch, and its words."""

    def __init__(self):
        super().__init__()
        self.fetched, self.tags, self.words, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in {"src", "srcset", "poster", "background"}]
        if tag not in {"meta", "img", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(index):
    page = Page()
    page.feed(index.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_the_report_holds_what_it_promises(report):
    folder = report.index.parent
    assert folder.name == "report"
    drawn = {path.stem for path in (folder / "figures").iterdir()}
    assert {"correlation", "learning_curves", "scores", "horizon_error", "forecasts", "claims"} <= drawn
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.{kind}" for name in drawn for kind in ("pdf", "png", "csv")
    }
    tables = {path.stem for path in (folder / "tables").iterdir()}
    assert {"claims", "scores", "correlations", "horizon_error", "confounds", "runs", "provenance"} <= tables
    assert {path.name for path in (folder / "tables").iterdir()} == {
        f"{name}.{kind}" for name in tables for kind in ("md", "csv", "tex")
    }
    others = {
        "index.html",
        "numbers.tex",
        "claims.json",
        "manifest.json",
        "results.parquet",
        "figures",
        "tables",
    }
    assert {path.name for path in folder.iterdir()} == others
    assert len(pd.read_parquet(folder / "results.parquet")) == 12
    assert all(path.exists() for path in report.figures)


def test_the_page_fetches_nothing(report):
    page = read(report.index)
    assert page.fetched
    assert all(
        source.startswith(("data:image/png;base64,", "data:image/webp;base64,")) for source in page.fetched
    )
    assert not {"iframe", "object", "video"} & set(page.tags)
    text = report.index.read_text()
    assert "@import" not in text
    assert "url(" not in text
    name = '"http://www.w3.org/2000/svg"'  # of a kind of picture, not an address to fetch
    assert "http" not in re.sub(r"data:image/\w+;base64,[^\"]*", "", text.replace(name, ""))


def test_the_first_screen_is_honest(report):
    words = " ".join(" ".join(read(report.index).words).split())
    first = words.index("12 of 12 runs done, 2 seeds per cell; 5 designs and the random agent on 1 task.")
    banner = words.index("This study is too small to conclude from: 2 seeds, 5 designs, 1 task.")
    verdicts, scores = words.index("Images help online"), words.index("Score by design and task")
    assert first < banner < verdicts < scores < words.index("Errors: mean over the horizon")
    assert "(H4) is not testable with fewer than 8" in words
    assert "Student's t" in words


def test_what_is_printed(report):
    assert report.score_table.startswith("| design")
    assert "images-latent-stochastic" in report.score_table
    assert "H1  supported     Images help online" in report.verdicts
    assert report.notes[0].startswith("12 of 12 runs done")
    assert report.notes[1].startswith("This study is too small")


def test_equal_studies_give_equal_reports_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.manifest.commit", lambda: "0" * 40)  # somebody may commit meanwhile
    files = []
    for place in ("a", "b"):
        index = build_report([write_study(tmp_path / place, options=SMALL)]).index
        files.append(
            {p.relative_to(index.parent): p.read_bytes() for p in index.parent.rglob("*") if p.is_file()}
        )
    assert files[0].keys() == files[1].keys()
    assert [str(name) for name in files[0] if files[0][name] != files[1][name]] == []


@pytest.mark.usefixtures("one_figure")
def test_the_previous_report_is_kept_and_changes_are_told(tmp_path):
    cell = (FIVE[0].name, TASK, 0)
    study = write_study(tmp_path / "first", options=Options(**{**vars(SMALL), "states": {cell: "running"}}))
    first = build_report([study], formats=("png",)).index
    finished = write_study(tmp_path / "second", options=SMALL)
    (study / "runs").rename(tmp_path / "old")
    (finished / "runs").rename(study / "runs")
    second = build_report([study], formats=("png",))
    assert second.index == first
    assert "Since the last report: 1 finished." in second.notes
    assert (study / "report.previous" / "index.html").exists()
    source = json.loads((study / "report" / "manifest.json").read_text())
    assert changes(source, source) == "No run changed since the last report."
    assert sorted(path.name for path in study.iterdir() if path.name.startswith((".", "report"))) == [
        "report",
        "report.previous",
    ]


@pytest.mark.usefixtures("one_figure")
def test_a_failure_leaves_the_old_report_alone(tmp_path, monkeypatch):
    study = write_study(tmp_path, options=SMALL)
    before = build_report([study], formats=("png",)).index.read_bytes()
    monkeypatch.setattr("analysis.numbers.tex", lambda found: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_report([study], formats=("png",))
    assert (study / "report" / "index.html").read_bytes() == before
    assert not list(study.glob(".report*"))


def test_one_figure_alone_and_then_the_report(tmp_path, monkeypatch):
    study = write_study(tmp_path, options=SMALL)
    result = build_report([study], figures=["scores"], formats=("pdf",))
    assert [path.name for path in result.figures] == ["scores.csv", "scores.pdf"]
    assert result.index.name == "scores.pdf"
    assert not (study / "report" / "index.html").exists()
    monkeypatch.setattr("analysis.report.FIGURES", {"scores": FIGURES["scores"]})
    assert build_report([study], formats=("png",)).index == study / "report" / "index.html"
    with pytest.raises(UserError, match=r"unknown figure score \(did you mean scores\?\)"):
        build_report([study], figures=["score"])
    with pytest.raises(UserError, match="unknown figure format gif"):
        build_report([study], formats=("gif",))


def test_a_folder_that_is_no_report_is_not_replaced(tmp_path):
    study = write_study(tmp_path / "runs", options=SMALL)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").write_text("all my work")
    with pytest.raises(UserError, match="is not a report"):
        build_report([study], other)
    assert (other / "chapter.tex").exists()


@pytest.mark.usefixtures("one_figure")
def test_several_studies_make_one_report(tmp_path):
    one = write_study(tmp_path, "one", SMALL)
    two = write_study(tmp_path, "two", Options(episodes=8, designs=FIVE[2:3], seeds=1))
    result = build_report([one, two], formats=("png",))
    assert result.index == one / "report+two" / "index.html"
    assert "one + two" in " ".join(read(result.index).words)
    source = json.loads((result.index.parent / "manifest.json").read_text())
    assert [study["name"] for study in source["studies"]] == ["one", "two"]
    assert len(source["runs"]) == 4


ALL_PENDING = {(name, TASK, 0): "pending" for name in [*(d.name for d in FIVE), "random"]}
ABLATIONS = {
    "nothing begun": Options(seeds=1, states=ALL_PENDING),
    "nothing finished": Options(
        episodes=8, designs=FIVE[:2], seeds=1, states={(d.name, TASK, 0): "running" for d in FIVE[:2]}
    ),
    "one run": Options(episodes=8, designs=FIVE[:1], seeds=1, random_agent=False),
    "random alone": Options(designs=(), seeds=2),
    "nan": Options(
        episodes=8, designs=FIVE[:2], nan_errors={(d.name, TASK, s) for d in FIVE[:2] for s in (0, 1)}
    ),
}


@pytest.mark.parametrize("case", ABLATIONS)
def test_everything_renders_with_less(tmp_path, case):
    result = build_report([write_study(tmp_path, options=ABLATIONS[case])], formats=("png",))
    words = " ".join(read(result.index).words)
    assert sentence(load([result.index.parent.parent])) in words
    assert "nan" not in re.sub(r"\bNaN\b", "", words).lower().split()
    expected = {
        "nothing begun": "0 of 6 runs done (6 pending), 0 seeds per cell, 6 of 6 cells empty",
        "nothing finished": "1 of 3 runs done (2 running)",
        "one run": "Scores are not normalised: the random agent and the oracle are missing",
        "random alone": "2 of 2 runs done",
        "nan": "without finite errors left out of the correlations",
    }
    assert expected[case] in words


def test_the_sentence_says_what_is_missing(tmp_path):
    name = FIVE[0].name
    states = {(name, TASK, 0): "failed", (name, TASK, 1): "diverged", (FIVE[1].name, TASK, 0): "running"}
    results = load([write_study(tmp_path, options=Options(episodes=8, states=states))])
    assert sentence(results) == (
        "9 of 12 runs done (1 running, 1 failed, 1 diverged), 0 to 2 seeds per cell, 1 of 6 cells empty; "
        "5 designs and the random agent on 1 task."
    )
    told = " ".join(notes(results))
    assert f"1 run diverged: a result, counted in the tables, without a score: {name} on {TASK} (1)" in told
    assert "1 run failed" in told


def test_a_large_study_has_no_banner(tmp_path):
    options = Options(episodes=8, designs=kinds(8), seeds=5, random_agent=False, forecasts=False)
    assert too_small(load([write_study(tmp_path, options=options)])) == ""


@pytest.mark.usefixtures("one_figure")
def test_mixed_code_is_stamped(tmp_path):
    options = Options(**{**vars(SMALL), "codes": {(FIVE[0].name, TASK, 0): "feed00000002"}})
    study = write_study(tmp_path, options=options)
    assert any(note.startswith("mixed code versions: ") for note in mixed(load([study])))
    page = read(build_report([study], formats=("png",)).index)
    assert any(word.startswith("Mixed: runs that are compared") for word in page.words)
    assert mixed(load([write_study(tmp_path / "pure", options=SMALL)])) == []


def test_the_manifest_names_every_run_with_its_digest(results, report):
    source = json.loads((report.index.parent / "manifest.json").read_text())
    of_the_report = {"commit", "files", "made"}
    assert {name: source[name] for name in source.keys() - of_the_report} == {
        name: value for name, value in manifest(results).items() if name not in of_the_report
    }
    assert {run["id"] for run in source["runs"]} == set(results.runs["run"])
    assert all(len(run["metrics_sha256"]) == 64 for run in source["runs"])
    assert set(source["studies"][0]["sha256"]) == {"study.yaml", "plan.jsonl"}
    pdf = (report.index.parent / "figures" / "scores.pdf").read_bytes()
    assert source["runs_sha256"].encode() in pdf
    assert changes(None, source) == ""


def test_csv_values_parse_back(report):
    scores = pd.read_csv(report.index.parent / "figures" / "scores.csv")
    table = pd.read_csv(report.index.parent / "tables" / "scores.csv").set_index("design")
    means = scores[scores["seed"] == -1].set_index("design")["score"]
    assert np.allclose(means, table["mean"][means.index], rtol=1e-6)


def test_analysis_is_light_to_import_and_never_loads_torch():
    code = (
        "import sys, analysis, analysis.report;"
        "assert not {'matplotlib', 'pandas', 'jinja2', 'torch', 'scipy'} & set(sys.modules), 'heavy import';"
        "import analysis.load, analysis.content, analysis.figures.forecasts, analysis.manifest;"
        "assert 'torch' not in sys.modules and 'mujoco' not in sys.modules, 'torch or simulator'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_figure_name_is_known():
    assert set(FIGURES) >= {"learning_curves", "correlation", "horizon_error", "forecasts", "scores"}


def test_notes_begin_with_a_capital_but_for_names_of_fields():
    assert capital("mixed code versions: a (1)") == "Mixed code versions: a (1)"
    assert capital("legacy.blind_inputs is on in 1 run") == "legacy.blind_inputs is on in 1 run"
    assert capital("image_fraction 0.5") == "image_fraction 0.5"
    assert capital("") == ""
