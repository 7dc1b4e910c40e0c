"""`wm report` as a user calls it: figures by name, verification, bundles, and what is said of a changed file."""

import json

import pytest

from analysis.figures.registry import FIGURES
from tests.analysis.synthetic import FIVE, Options, write_study


@pytest.fixture
def home(tmp_path, monkeypatch):
    """RUNS/demo with four finished runs; a report draws one figure."""
    monkeypatch.setattr("analysis.report.FIGURES", {"scores": FIGURES["scores"]})
    monkeypatch.setattr("analysis.manifest.commit", lambda: "abc")
    return write_study(
        tmp_path / "runs", options=Options(episodes=8, designs=FIVE[:1], seeds=2, forecasts=False)
    )


def test_figures_by_name_in_a_format_and_a_width(wm, home):
    status, out, told = wm(
        "report", "demo", "--figure", "scores,learning_curves", "--format", "svg", "--width", "column"
    )
    assert status == 0, told
    folder = home / "report" / "figures"
    assert sorted(path.name for path in folder.iterdir()) == [
        "learning_curves.csv", "learning_curves.svg", "scores.csv", "scores.svg",
    ]  # fmt: skip
    assert out.splitlines() == [f"figure: {folder / name}" for name in
                                ("scores.csv", "scores.svg", "learning_curves.csv", "learning_curves.svg")]  # fmt: skip
    assert "4 of 4 runs done" in told


def test_the_help_names_every_figure_and_what_it_shows(wm):
    status, out, _ = wm("report", "--figure", "help")
    assert status == 0
    assert all(kind.name in out and kind.help in out for kind in FIGURES.values())
    _, out, _ = wm("report", "--help")
    assert all(name in out for name in FIGURES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("demo", "--figure", "score"), "unknown figure score (did you mean scores?); there are claims, "),
        (("demo", "--format", "gif"), "unknown figure format gif"),
        (("demo", "--verify", "--figure", "scores"), "--verify makes the report again as it was made"),
        (("demo", "--verify", "--width", "page"), "--verify makes the report again as it was made"),
        (("demo", "--verify", "--export", "x.zip"), "are two requests"),
        (("demo", "--export", "x.tar"), "--export x.tar: name a file in .zip, such as x.tar.zip"),
        (("demo", "--export", "x.zip", "--figure", "scores"), "leave --figure out"),
        (("demo", "--export", "nope/x.zip"), "nope; make it first"),
        (("demo", "--verify"), "holds no report to verify; make it with wm report, without --verify"),
        (("missing.zip",), "no bundle missing.zip; `wm report STUDY --export missing.zip` makes it"),
        (("dem",), "no study dem under"),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_wrong_request_is_one_line(wm, arguments, words):
    status, _, told = wm("report", *arguments)
    assert status == 2
    assert words in told
    assert told.count("\n") == 1, told


def test_a_report_is_verified_until_somebody_edits_it(wm, home):
    assert wm("report", "demo", "--format", "png")[0] == 0
    status, out, told = wm("report", "demo", "--verify")
    assert (status, told) == (0, "")
    assert out.startswith("the same: 11 claims, ")
    table = home / "report" / "tables" / "scores.csv"
    table.write_text(table.read_text().replace("demo", "x").replace("done", "x").replace("1", "2"))
    status, out, told = wm("report", "demo", "--verify")
    assert status == 1
    assert out.startswith(
        "files changed after the report was made; how they differ from the one made now:\n  tables/"
    )
    assert "make it anew with: wm report demo" in told


def test_a_bundle_stands_for_its_study(wm, home, tmp_path):
    status, out, told = wm("report", "demo", "--format", "png", "--export", "demo.zip")
    assert status == 0, told
    assert out.endswith("bundle: demo.zip\n")
    (home / "runs").rename(tmp_path / "elsewhere")
    status, out, told = wm("report", "demo.zip", "--verify")
    assert (status, out.partition(":")[0]) == (0, "the same"), out
    status, out, _ = wm("report", "demo.zip")
    assert status == 0
    folder = tmp_path / "demo-report"
    assert out.rstrip().endswith(f"report: {folder / 'index.html'}")
    for name in ("claims.json", "numbers.tex", "tables/scores.csv"):
        assert (folder / name).read_bytes() == (home / "report" / name).read_bytes()


def test_a_file_whose_section_report_is_not_the_dispatched_one_is_told(wm, home, tmp_path):
    file = tmp_path / "demo.yaml"
    file.write_text((home / "study.yaml").read_text().replace("final_window: 0.1", "final_window: 0.2"))
    status, _, told = wm("report", file, "--figure", "scores")
    assert status == 0
    assert f"note: `report` of {file} differs from what was dispatched: final_window 0.1 -> 0.2. " in told
    assert f"`wm run {file}` takes the file over" in told
    _, _, told = wm("report", "demo", "--figure", "scores")
    assert "differs from what was dispatched" not in told


def test_a_threshold_that_was_changed_after_the_data_is_in_the_claims(wm, home):
    history = home / "history"
    history.mkdir()
    line = {"time": 1.6e9, "source": "demo.yaml", "report": {"final_window": 0.5}}
    (history / "versions.jsonl").write_text(json.dumps(line) + "\n")
    status, _, err = wm("report", "demo", "--format", "png", "--out", "v1")
    assert status == 0
    report = home.parent.parent / "v1"
    claims = json.loads((report / "claims.json").read_text())["claims"]
    told = (
        "final_window 0.5 -> 0.1 (edited by hand in study.yaml after the dispatch of 2020-09-13; the first data are of "
        "2023-11-14)"
    )
    assert all(claim["changed"] == [told] for claim in claims)
    assert err.count(f"thresholds and plan: {told}") == 1
    page = (report / "index.html").read_text().replace("&gt;", ">")
    assert page.count(told.partition(" (")[0]) == 3  # the banner, the notes and the table's caption
    (report / "claims.json").write_text("{}")
    _, _, err = wm("report", "demo", "--verify", "--out", "v1")
    assert err.endswith("make it anew with: wm report demo --out v1\n")
