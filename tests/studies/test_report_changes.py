"""The section `report`: what was dispatched is on record, and a change of it is told before, at and after the fact."""

import json
import time

import pytest

from analysis.claims.stamp import changes
from analysis.study import read_study
from studies.freeze import freeze, report_changes
from studies.plan import read_plan

TEXT = """\
name: mine
grid: {design: images-latent-stochastic, task: toy/point-mass}
report: {claims: {H2: {margin: 0.05}}}
"""


@pytest.fixture
def study(tmp_path):
    """Writes the study's file with another margin, and plans it."""

    def planned(margin=0.05, text=TEXT):
        (tmp_path / "mine.yaml").write_text(text.replace("0.05", str(margin)))
        return read_plan(str(tmp_path / "mine.yaml"), tmp_path / "runs")

    return planned


def begin(plan):
    """The first run of a plan has begun."""
    path = plan.runs[0].path
    path.mkdir(parents=True)
    (path / "attempts.jsonl").write_text(json.dumps({"event": "start", "time": time.time()}) + "\n")


def recorded(plan):
    return [
        json.loads(line)["report"] for line in (plan.home.history / "versions.jsonl").read_text().splitlines()
    ]


def test_each_version_records_the_section_with_its_defaults(study):
    plan = study()
    freeze(plan)
    freeze(study(0.1))
    assert recorded(plan) == [
        {"final_window": 0.1, "diverged": "random", "claims": {"H2": {"level": 0.95, "margin": margin}}}
        for margin in (0.05, 0.1)
    ]


def test_a_change_is_told_before_it_is_dispatched_and_stamped_afterwards(study):
    assert report_changes(study()) == ""
    freeze(study())
    assert report_changes(study()) == ""
    assert report_changes(study(0.1)) == "`report` changes: H2.margin 0.05 -> 0.1"
    begin(study())
    told = report_changes(study(0.1))
    assert told.startswith("`report` changes: H2.margin 0.05 -> 0.1, after the first data of ")
    freeze(study(0.1))
    home = study(0.1).home.path
    assert changes(read_study(home))["H2"][0].startswith("H2.margin 0.05 -> 0.1 (dispatched on ")
    assert report_changes(read_plan("mine", home.parent)) == ""


def test_an_edit_by_hand_is_told_and_dispatching_the_same_text_puts_it_on_record(study):
    plan = study()
    freeze(plan)
    begin(plan)
    file = plan.home.study_file
    file.write_text(file.read_text().replace("0.05", "0.1"))
    assert (
        "(edited by hand in study.yaml after the dispatch of " in changes(read_study(plan.home.path))["H2"][0]
    )
    changed = study(0.1)
    assert report_changes(changed).startswith("`report` changes: H2.margin 0.05 -> 0.1")
    freeze(changed)
    assert [each["claims"]["H2"]["margin"] for each in recorded(plan)] == [0.05, 0.1]
    assert "(dispatched on " in changes(read_study(plan.home.path))["H2"][0]
    freeze(changed)
    assert len(recorded(plan)) == 2
    freeze(study())  # back again: nothing differs from what was fixed
    assert changes(read_study(plan.home.path)) == {}


def test_a_study_from_before_sections_were_recorded_goes_on(study):
    plan = study()
    freeze(plan)
    versions = plan.home.history / "versions.jsonl"
    versions.write_text(json.dumps({"time": time.time(), "source": plan.study.source}) + "\n")
    begin(plan)
    freeze(study())
    assert len(versions.read_text().splitlines()) == 1
    freeze(study(0.1))
    assert changes(read_study(plan.home.path))["H2"][0].startswith("H2.margin 0.05 -> 0.1 (dispatched on ")


def test_plan_and_run_say_it(wm, study, tmp_path, monkeypatch):
    study()
    assert wm("run", "mine.yaml", "-j1")[0] == 0
    study(0.1)
    _, _, told = wm("plan", "mine.yaml")
    assert "note: `report` changes: H2.margin 0.05 -> 0.1" in told
    _, _, told = wm("run", "mine.yaml", "-j1")
    assert "`report` changes: H2.margin 0.05 -> 0.1" in told
