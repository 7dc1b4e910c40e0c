"""`verify`: every way in which a report can differ from one made now, told under its cause."""

import json
import shutil

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from analysis.figures.registry import FIGURES
from analysis.manifest import digest, seal
from analysis.report import build_report, report_again
from analysis.verify import compared, verify
from harness.errors import UserError
from tests.analysis.synthetic import FIVE, Options, write_study

RUNS = [
    {
        "id": f"a-s{seed}",
        "study": "mine",
        "state": "done",
        "metrics_sha256": "0" * 64,
        "code": "c",
        "environment": "e",
    }
    for seed in range(5)
]
SOURCE = {
    "schema": 1,
    "studies": [{"name": "mine", "sha256": {"study.yaml": "1", "plan.jsonl": "2"}}],
    "runs": RUNS,
    "runs_sha256": digest(RUNS),
    "commit": "abc",
    "versions": {"python": "3.11", "numpy": "2.1"},
}
CLAIM = {"id": "H1", "verdict": "supported", "primary": [{"name": "difference", "estimate": {"value": 0.2}}]}


def fill(folder, source=SOURCE):
    """A small report."""
    for name in ("figures", "tables"):
        (folder / name).mkdir(parents=True)
    (folder / "claims.json").write_text(json.dumps({"schema": 1, "claims": [CLAIM]}))
    (folder / "numbers.tex").write_text("head\n\\wm@set{H1.estimate}{0.2}\n\\wm@set{runs.done}{5}\n")
    (folder / "tables" / "scores.csv").write_text("design,mean\na,1\nb,2\n")
    (folder / "tables" / "scores.md").write_text("| a | 1 |\n| b | 2 |\n")
    (folder / "figures" / "f.csv").write_text("x,y\n0,1\n1,2\n")
    (folder / "figures" / "f.pdf").write_bytes(b"%PDF /Keywords (one)\n rest")
    matplotlib.image.imsave(folder / "figures" / "f.png", np.zeros((4, 4)))
    pd.DataFrame({"run": ["a"], "score": [1.0]}).to_parquet(folder / "results.parquet")
    (folder / "index.html").write_text("<p>one</p>\n<img src='data:image/png;base64,AAA'>\n")
    seal(folder, source)
    return folder


@pytest.fixture
def both(tmp_path):
    """Two equal reports: the one on disk, and the one made now."""
    return fill(tmp_path / "old"), fill(tmp_path / "new")


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def sealed_again(folder, **source):
    seal(folder, SOURCE | source)


def test_equal_reports_are_the_same(both):
    found = compared(*both)
    assert found.same
    assert found.groups == []
    assert found.checked == {"claims": 1, "numbers": 2, "tables": 1, "figures": 1, "runs": 5}
    assert found.notes == []


def test_results_that_come_out_differently_are_told_value_by_value(both):
    old, new = both
    change(new / "claims.json", "supported", "inconclusive")
    change(new / "claims.json", "0.2", "0.1")
    change(new / "numbers.tex", "{0.2}", "{0.1}")
    change(new / "tables" / "scores.csv", "b,2", "b,3")
    change(new / "tables" / "scores.md", "| b | 2 |", "| b | 3 |")
    change(new / "figures" / "f.csv", "1,2", "1,3")
    change(new / "index.html", "one", "two")
    pd.DataFrame({"run": ["a"], "score": [2.0]}).to_parquet(new / "results.parquet")
    sealed_again(new)
    found = compared(old, new)
    assert [heading for heading, _ in found.groups] == ["differs, with equal data and code"]
    assert sorted(found.results) == sorted(
        [
            "claims.json: H1.verdict supported -> inconclusive",
            "claims.json: H1.primary.difference.estimate.value 0.2 -> 0.1",
            "numbers.tex: H1.estimate 0.2 -> 0.1",
            "tables/scores.csv: 1 of 4 cells: row 2 mean 2 -> 3",
            "figures/f.csv: 1 of 4 cells: row 2 y 2 -> 3",
            "index.html: 1 lines differ, the first: <p>two</p>",
            "results.parquet: other values in score",
        ]
    )


def test_data_that_changed_are_told_by_what_happened_to_the_runs(both):
    old, new = both
    runs = [dict(run) for run in RUNS[1:]]
    runs[0]["state"] = "failed"
    runs[1]["metrics_sha256"] = "1" * 64
    runs[2]["code"] = "d"
    runs.append(RUNS[0] | {"id": "b-s0"})
    studies = [
        {"name": "mine", "sha256": {"study.yaml": "9", "plan.jsonl": "2"}},
        {"name": "other", "sha256": {}},
    ]
    sealed_again(new, runs=runs, studies=studies, runs_sha256=digest(runs))
    found = compared(old, new)
    assert found.groups == [
        (
            "data changed",
            [
                "mine: study.yaml changed",
                "the study other is new in the report",
                "1 of 5 runs new in the plan: b-s0",
                "1 of 5 runs no longer in the plan: a-s0",
                "1 of 5 runs now failed, then done: a-s1",
                "1 of 5 runs with other records: a-s2",
                "1 of 5 runs with other notes on their code or environment: a-s3",
            ],
        )
    ]


def test_code_that_changed_is_told_apart_from_pictures_that_say_so(both):
    old, new = both
    (new / "figures" / "f.pdf").write_bytes(b"%PDF /Keywords (two)\n rest")
    matplotlib.image.imsave(new / "figures" / "f.png", np.zeros((4, 4)), metadata={"Description": "two"})
    sealed_again(new, commit="def", versions={"python": "3.11", "numpy": "2.2"})
    assert compared(old, new).groups == [
        ("code changed", ["commit abc -> def", "numpy 2.1 -> 2.2"]),
        ("only bytes of pictures", ["2 with other bytes, equal content: figures/f.pdf, figures/f.png"]),
    ]


def test_pictures_of_equal_points_that_look_different_are_told(both):
    old, new = both
    (new / "figures" / "f.pdf").write_bytes(b"%PDF other")
    image = np.zeros((4, 4))
    image[0, 0] = 1
    matplotlib.image.imsave(new / "figures" / "f.png", image)
    sealed_again(new)
    assert compared(old, new).pictures == ["figures/f.pdf: other bytes", "figures/f.png: 1 of 16 pixels"]


def test_files_that_were_edited_by_hand_are_told_with_what_they_say(both):
    old, new = both
    change(old / "tables" / "scores.csv", "b,2", "b,9")
    change(old / "numbers.tex", "{5}", "{6}")
    (old / "figures" / "f.png").unlink()
    (old / "figures" / "mine.pdf").write_text("")
    found = compared(old, new)
    ((heading, lines),) = found.groups
    assert heading.startswith("files changed after the report was made")
    assert lines == [
        "figures/f.png: missing",
        "numbers.tex: runs.done 6 -> 5",
        "tables/scores.csv: 1 of 4 cells: row 2 mean 9 -> 2",
    ]
    assert found.notes == ["not of this report: figures/mine.pdf"]


def test_a_manifest_that_is_wrong_of_itself_is_told(both):
    old, new = both
    content = json.loads((old / "manifest.json").read_text())
    content["runs"][0]["state"] = "failed"
    content["files"]["tables/scores.csv"] = "0"
    (old / "manifest.json").write_text(json.dumps(content))
    found = compared(old, new)
    assert found.edited == [
        "manifest.json: its runs do not have the digest that it gives them",
        "tables/scores.csv: not as the manifest says, but as it is made now",
    ]
    assert found.data == ["1 of 5 runs now done, then failed: a-s0"]


def test_a_manifest_of_an_earlier_version_verifies_what_it_can(both):
    old, new = both
    content = json.loads((old / "manifest.json").read_text())
    del content["files"]
    (old / "manifest.json").write_text(json.dumps(content))
    assert compared(old, new).same
    assert "cannot be told apart" in compared(old, new).notes[0]
    change(old / "numbers.tex", "{5}", "{6}")
    assert compared(old, new).results == ["numbers.tex: runs.done 6 -> 5"]


def test_tables_of_another_shape_and_files_that_come_and_go(both):
    old, new = both
    change(new / "tables" / "scores.csv", "b,2\n", "")
    change(new / "figures" / "f.csv", "x,y", "x,z")
    (new / "tables" / "further.csv").write_text("a\n")
    (new / "index.html").unlink()
    sealed_again(new)
    assert set(compared(old, new).results) == {
        "tables/scores.csv: 2 rows -> 1",
        "figures/f.csv: other columns",
        "tables/further.csv: new",
        "index.html: not made any more",
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": 3}'])
def test_a_damaged_manifest_is_a_wrong_request(both, text):
    (both[0] / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json is damaged, so nothing can be verified"):
        compared(*both)


def test_a_folder_without_a_report_is_a_wrong_request(tmp_path):
    study = write_study(tmp_path, options=Options(episodes=8, designs=FIVE[:1], seeds=1, forecasts=False))
    with pytest.raises(UserError, match="holds no report to verify"):
        verify([study])


def test_a_report_made_again_is_the_same_until_its_data_or_files_change(tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.report.FIGURES", {"scores": FIGURES["scores"]})
    monkeypatch.setattr("analysis.manifest.commit", lambda: "abc")
    study = write_study(tmp_path, options=Options(episodes=8, designs=FIVE[:2], seeds=2, forecasts=False))
    folder = build_report([study], formats=("pdf", "svg")).index.parent
    build_report([study], formats=("pdf", "svg"))  # tells since when
    steps = []
    found = verify([study], progress=lambda what, done, total: steps.append((what, done <= total)))
    assert found.groups == []
    assert found.checked["runs"] == 6
    assert [what for what, _ in steps][-1] == "figure scores"
    assert all(right for _, right in steps)
    metrics = next((study / "runs").glob("*/metrics.jsonl"))
    metrics.write_text(metrics.read_text().rpartition('{"kind":')[0])
    change(folder / "numbers.tex", "{runs.done}{6}", "{runs.done}{7}")
    found = verify([study])
    assert [line.partition(":")[0] for line in found.data] == ["1 of 6 runs with other records"]
    assert "numbers.tex: runs.done 7 -> 6" in found.edited
    shutil.rmtree(folder)
    report_again([study], tmp_path / "other", {})
    assert not compared(tmp_path / "other", tmp_path / "other").groups
