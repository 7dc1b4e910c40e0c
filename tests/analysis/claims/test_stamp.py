"""What changes in `report` after the first data is told, by claim, from the study's directory alone."""

import json
import os
import shutil
from datetime import UTC, datetime

import pytest
import yaml

from analysis.claims.spec import CLAIMS, ReportSpec
from analysis.claims.stamp import changes, differences, disagreements, first_data, stamped
from analysis.study import read_study

DAY = 86400.0
FIRST = datetime(2026, 11, 20, 9, 30, tzinfo=UTC).timestamp()
RUN = "a-point-mass-s0-0123456789ab"
BEFORE, SAME_DAY, AFTER = FIRST - DAY, FIRST + 3600, FIRST + 2 * DAY


@pytest.fixture
def home(tmp_path):
    """RUNS/mine with one planned run, that nothing is known of."""
    path = tmp_path / "mine"
    (path / "runs").mkdir(parents=True)
    (path / "history").mkdir()
    write(path, {})
    lines(
        path / "plan.jsonl",
        {"id": RUN, "hex": RUN[-12:], "design": "a", "task": "t", "seed": 0, "config": {}},
    )
    return path


def lines(file, *records):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(record) + "\n" for record in records))


def write(path, section, name="study.yaml"):
    (path / name).write_text(yaml.safe_dump({"name": "mine", "report": section}))


def versions(path, *records):
    """Writes history/versions.jsonl from (time, section) pairs; study.yaml is of the last one."""
    dumped = [
        {
            "time": time,
            "report": ReportSpec.model_validate(section).model_dump(mode="json"),
        }
        for time, section in records
    ]
    lines(path / "history" / "versions.jsonl", *dumped)
    write(path, records[-1][1])


def begin(path, time=FIRST, run=f"runs/{RUN}"):
    """The run begins."""
    lines(path / run / "attempts.jsonl", {"event": "start", "attempt": 1, "time": time})


def h2(margin):
    return {"claims": {"H2": {"margin": margin}}}


def test_nothing_changed_or_there_are_no_data_yet(home):
    versions(home, (BEFORE, h2(0.05)), (AFTER, h2(0.1)))
    assert first_data(read_study(home)) is None
    assert changes(read_study(home)) == {}
    begin(home, AFTER + 1)
    assert changes(read_study(home)) == {}


def test_a_threshold_that_changed_after_the_data_is_told_with_both_days(home):
    versions(home, (BEFORE, h2(0.05)), (AFTER, h2(0.1)))
    begin(home)
    assert changes(read_study(home)) == {
        "H2": ["H2.margin 0.05 -> 0.1 (dispatched on 2026-11-22, after the first data of 2026-11-20)"]
    }
    versions(home, (BEFORE, h2(0.05)), (SAME_DAY, h2(0.1)), (AFTER, h2(0.1)))
    assert changes(read_study(home)) == {
        "H2": [
            "H2.margin 0.05 -> 0.1 (dispatched on 2026-11-20 10:30 UTC, after the first data of 2026-11-20)"
        ]
    }


def test_what_was_changed_back_is_not_told_and_what_was_changed_twice_has_the_last_day(home):
    versions(home, (BEFORE, h2(0.05)), (SAME_DAY, h2(0.1)), (AFTER, h2(0.05)))
    begin(home)
    assert changes(read_study(home)) == {}
    versions(home, (BEFORE, h2(0.05)), (SAME_DAY, h2(0.2)), (AFTER, h2(0.1)))
    assert changes(read_study(home))["H2"][0].startswith("H2.margin 0.05 -> 0.1 (dispatched on 2026-11-22,")


def test_a_claim_that_is_declared_afterwards_or_dropped(home):
    versions(home, (BEFORE, {"claims": {"H1": {}}}), (AFTER, {"claims": {"H10": {"margin": 0.2}}}))
    begin(home)
    after = "(dispatched on 2026-11-22, after the first data of 2026-11-20)"
    assert changes(read_study(home)) == {
        "H1": [f"H1 no longer declared {after}"],
        "H10": [f"H10 declared, level 0.95, margin 0.2 {after}"],
    }


def test_the_window_and_the_rule_for_diverged_runs_touch_all_claims(home):
    versions(home, (BEFORE, {}), (AFTER, {"final_window": 0.5, "diverged": "exclude"}))
    begin(home)
    told = changes(read_study(home))
    assert list(told) == [""]
    assert [text.partition(" (")[0] for text in told[""]] == [
        "final_window 0.1 -> 0.5", "diverged random -> exclude",
    ]  # fmt: skip


def test_a_file_that_was_edited_by_hand_is_told_whenever_that_was(home):
    versions(home, (BEFORE, h2(0.05)), (AFTER, h2(0.1)))
    begin(home)
    write(home, h2(0.3))
    os.utime(home / "study.yaml", (BEFORE, BEFORE))
    how = "edited by hand in study.yaml after the dispatch of 2026-11-22; the first data are of 2026-11-20"
    assert changes(read_study(home)) == {"H2": [f"H2.margin 0.05 -> 0.3 ({how})"]}


def test_versions_from_before_the_section_was_recorded_are_read_from_the_files_that_were_kept(home):
    lines(home / "history" / "versions.jsonl", {"time": BEFORE}, {"time": AFTER})
    write(home / "history", h2(0.05), "0001-study.yaml")
    write(home, h2(0.1))
    begin(home)
    assert changes(read_study(home)) == {
        "H2": ["H2.margin 0.05 -> 0.1 (dispatched on 2026-11-22, after the first data of 2026-11-20)"]
    }


def test_a_spec_that_is_younger_than_the_data_is_told(home):
    versions(home, (AFTER, h2(0.05)))
    begin(home)
    assert changes(read_study(home)) == {
        "": ["`report` is on record since 2026-11-22, after the first data of 2026-11-20"]
    }
    versions(home, (FIRST + 60, h2(0.05)))  # clocks of two machines
    assert changes(read_study(home)) == {}


def test_a_missing_record_and_a_damaged_one_are_told(home):
    assert changes(read_study(home)) == {}
    begin(home)
    assert changes(read_study(home)) == {"": ["no record of what was fixed before the data"]}
    (home / "history" / "versions.jsonl").write_text("{no json\n")
    assert "cannot be read" in changes(read_study(home))[""][0]
    lines(home / "history" / "versions.jsonl", {"time": BEFORE, "report": {"claims": {"H99": {}}}})
    assert "cannot be read" in changes(read_study(home))[""][0]


def test_data_that_were_put_aside_count(home):
    versions(home, (BEFORE, h2(0.05)), (AFTER, h2(0.1)))
    begin(home, AFTER + 1)
    assert changes(read_study(home)) == {}
    begin(home, FIRST, f"history/{RUN}.20261120-101010")
    assert first_data(read_study(home)) == FIRST
    assert list(changes(read_study(home))) == ["H2"]


def test_reused_runs_count_by_when_they_began_but_not_those_of_agents_that_learn_nothing(home):
    versions(home, (AFTER, h2(0.4)))
    begin(home.parent / "first")
    line = json.loads((home / "plan.jsonl").read_text()) | {"reused_from": "first"}
    lines(home / "plan.jsonl", line)
    assert changes(read_study(home)) == {
        "": [
            "`report` is on record since 2026-11-22, after the first data of 2026-11-20, which are reused from first"
        ]
    }
    lines(home / "plan.jsonl", line | {"config": {"agent": "random"}})
    assert changes(read_study(home)) == {}


def plan(file, designs=1, seeds=3, first=0):
    cells = [(design, seed) for design in range(first, designs) for seed in range(seeds)]
    runs = [(f"d{d}-t-s{s}-{d:06x}{s:06x}", f"d{d}", s) for d, s in cells]
    lines(
        file,
        *({"id": i, "hex": i[-12:], "design": d, "task": "t", "seed": s, "config": {}} for i, d, s in runs),
    )
    return runs[0][0]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"seeds": 10}, "grew from 6 to 20 runs (seeds 3 to 10)"),
        ({"designs": 4}, "grew from 6 to 12 runs (designs 2 to 4)"),
        ({"designs": 1}, "lost 3 of its 6 runs"),
        ({"designs": 4, "first": 1}, "grew from 6 to 9 runs (designs 2 to 3), and lost 3 of them,"),
        ({}, ""),
    ],
)
def test_a_plan_that_grew_after_the_data_is_told(home, now, told):
    versions(home, (BEFORE, {}), (AFTER, {}))
    plan(home / "history" / "0001-plan.jsonl", designs=2)
    one = plan(home / "plan.jsonl", **({"designs": 2} | now))
    begin(home, run=f"runs/{one}")
    expected = {"": [f"the plan {told} after the first data of 2026-11-20"]} if told else {}
    assert changes(read_study(home)) == expected


def test_a_plan_that_grew_before_the_data_is_not_told_nor_one_whose_record_has_gaps(home):
    versions(home, (BEFORE - DAY, {}), (BEFORE, {}))
    plan(home / "history" / "0001-plan.jsonl")
    one = plan(home / "plan.jsonl", seeds=5)
    begin(home, run=f"runs/{one}")
    assert changes(read_study(home)) == {}
    versions(home, (BEFORE, {}), (AFTER, {}), (AFTER, {}))
    assert changes(read_study(home)) == {}


def test_studies_that_fix_different_things_are_told_with_the_one_that_counts(home):
    write(home, h2(0.02))
    other = home.parent / "other"
    shutil.copytree(home, other)
    write(other, h2(0.4) | {"final_window": 0.3})
    one, two = read_study(home), read_study(other)
    assert disagreements([one, two]) == {
        "H2": ["mine declares margin 0.02, other 0.4: that of mine is used"],
        "": [
            "final_window differs between studies, mine 0.1, other 0.3: each holds for the runs of its study"
        ],
    }
    assert disagreements([two, one])["H2"] == ["other declares margin 0.4, mine 0.02: that of other is used"]
    assert disagreements([one, one]) == disagreements([one]) == {}


def test_a_run_without_its_attempts_began_with_its_first_file(home):
    run = home / "runs" / RUN
    run.mkdir()
    (run / "run.yaml").write_text("{}")
    os.utime(run / "run.yaml", (FIRST, FIRST))
    assert first_data(read_study(home)) is None
    (run / "metrics.jsonl").write_text("")
    assert first_data(read_study(home)) == FIRST


def test_several_studies_are_named(home):
    versions(home, (BEFORE, h2(0.05)), (AFTER, h2(0.1)))
    begin(home)
    study = read_study(home)
    assert stamped([study]) == changes(study)
    assert all(text.startswith("mine, mine: H2.margin") for text in stamped([study, study])["H2"])
    assert stamped([]) == {}


def test_every_option_of_every_claim_is_compared():
    for claim in CLAIMS:
        for name, value in ReportSpec().options(claim).model_dump().items():
            old, new = (
                ReportSpec.model_validate({"claims": {claim: {name: number}}})
                for number in (value, value * 0.9)
            )
            assert differences(old, new) == [f"{claim}.{name} {value} -> {value * 0.9}"]
            assert differences(old, old) == []
