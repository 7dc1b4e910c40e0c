"""The same study made by two versions of the code: told apart, never mixed, compared."""

import json
import re
import shutil

import numpy as np
import pytest

from analysis.compared import compared_versions, version_table, version_verdicts
from analysis.evidence import evidence
from analysis.load import load
from analysis.manifest import manifest
from analysis.matching import matched
from analysis.material import Material
from analysis.scales import scales
from analysis.scores import run_scores
from analysis.tabled import make_tables
from tests.analysis.synthetic import FIVE, Options, write_study

TASK = "dmc/cartpole-swingup"
ORACLE = ({"horizon": 12},)


def two(tmp_path, code=("c0de00000001", "c0de00000002"), change=0.0, **options):
    """The same study in two roots; the second one's returns are higher by `change`."""
    chosen = {
        "episodes": 8,
        "seeds": 3,
        "designs": FIVE[:3],
        "forecasts": False,
        "summaries": False,
    } | options
    made = []
    for name, digest in zip(("old", "new"), code, strict=True):
        study = write_study(tmp_path / name, "online", Options(**chosen))
        for run in (study / "runs").iterdir():
            attempts = run / "attempts.jsonl"
            attempts.write_text(attempts.read_text().replace("c0de00000001", digest))
        made.append(study)
    for run in (made[1] / "runs").iterdir() if change else ():
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for line in lines:
            if line["kind"] == "evaluation":
                line["return"] += change
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return made


def test_versions_are_told_apart_by_their_code(tmp_path):
    studies = two(tmp_path)
    results = load(studies)
    assert results.versions == ("old/online", "new/online")  # the digests begin alike
    assert len(results.runs) == 2 * len(load(studies[:1]).runs)
    assert not results.runs["run"].duplicated().any()
    assert not results.runs.duplicated(["design", "task", "seed"]).any()
    assert [study.name for study in results.studies] == ["old/online", "new/online"]
    assert any("claims are tested on" in note for note in results.notes)


def test_short_digests_that_differ_name_them(tmp_path):
    results = load(two(tmp_path, ("aaaaaaaaaaaa", "bbbbbbbbbbbb")))
    assert results.versions == ("aaaaaaaa", "bbbbbbbb")
    assert f"{FIVE[0].name} [aaaaaaaa]" in results.designs
    assert set(results.runs["version"]) == {"aaaaaaaa", "bbbbbbbb"}


def test_equal_numbers_are_said_to_be_equal(tmp_path):
    results = load(two(tmp_path))
    found = compared_versions(results)
    assert (found["equal"] == found["n"]).all()
    assert (found["difference"] == 0).all()
    assert set(found["n"]) == {3}
    assert "All 12 runs that both have are equal, bit for bit" in version_table(results).caption


def test_a_difference_is_paired_on_common_seeds(tmp_path):
    results = load(two(tmp_path, change=7.0, states={(FIVE[0].name, TASK, 0): "failed"}))
    found = compared_versions(results).set_index("design")
    assert np.allclose(found["difference"], 7.0)
    assert (found["equal"] == 0).all()
    assert found.loc[FIVE[0].name, "n"] == 2
    assert found.loc[FIVE[1].name, "n"] == 3
    assert np.allclose(found["mean_second"] - found["mean_first"], 7.0)


def test_times_that_differ_are_no_difference(tmp_path):
    studies = two(tmp_path)
    for metrics in studies[1].glob("runs/*/metrics.jsonl"):
        before = metrics.read_text()
        metrics.write_text(re.sub(r'"wall_seconds": ?', r"\g<0>1", before))
        assert metrics.read_text() != before
    found = compared_versions(load(studies))
    assert (found["equal"] == found["n"]).all()


def test_claims_are_tested_on_the_first_version_alone(tmp_path):
    studies = two(tmp_path, ("aaaaaaaaaaaa", "bbbbbbbbbbbb"), change=50.0, oracle=ORACLE)
    both, alone = Material(load(studies)), Material(load(studies[:1]))
    assert both.evidence.runs["value"].tolist() == alone.evidence.runs["value"].tolist()
    assert not both.evidence.runs.duplicated(["name", "task", "seed"]).any()
    pairs = [matched(each.evidence.runs, "predict", "images", "rewards") for each in (both, alone)]
    assert len(pairs[0]) == len(pairs[1]) > 0
    reverse = Material(load(studies[::-1])).evidence.runs
    assert set(reverse["design"]).isdisjoint(
        both.evidence.runs.loc[both.evidence.runs["agent"] == "model", "design"]
    )


def test_verdicts_of_each_version_stand_beside_each_other(tmp_path):
    studies = two(tmp_path, ("aaaaaaaaaaaa", "bbbbbbbbbbbb"), change=50.0, oracle=ORACLE)
    material = Material(load(studies))
    table = version_verdicts(material)
    assert table.header == ["claim", "aaaaaaaa", "bbbbbbbb"]
    for column, study in enumerate(studies, 1):
        alone = [each.verdict for each in Material(load([study])).findings]
        assert [row[column] for row in table.rows] == alone
    assert version_verdicts(Material(load(studies[:1]))) is None
    made = [table.name for _, table in make_tables(material, manifest(material.results))]
    assert {"versions", "version_verdicts"} <= set(made)


def test_versions_share_the_scale_of_the_first(tmp_path):
    studies = two(tmp_path, ("aaaaaaaaaaaa", "bbbbbbbbbbbb"), change=50.0, oracle=ORACLE)
    both, alone = load(studies), load(studies[:1])
    assert [scale.zero for scale in scales(both).values()] == [scale.zero for scale in scales(alone).values()]
    scores = run_scores(both)
    zero, one = (
        scores.loc[scores["design"] == f"{agent} [bbbbbbbb]", "normalised"] for agent in ("random", "oracle")
    )
    assert (zero > 0).any()
    assert len(one) == 3


def test_one_design_in_one_version_alone_is_no_version(tmp_path):
    one = write_study(tmp_path, "one", Options(episodes=8, seeds=2, designs=FIVE[:2]))
    two_ = write_study(tmp_path, "two", Options(episodes=8, seeds=2, designs=FIVE[2:4]))
    results = load([one, two_])
    assert results.versions == ()
    assert version_table(results) is None
    assert not results.runs.duplicated(["design", "task", "seed"]).any()


def test_runs_made_twice_by_the_same_code_count_once(tmp_path):
    one = write_study(tmp_path, "one", Options(episodes=8, seeds=2, designs=FIVE[:2]))
    two_ = write_study(tmp_path, "two", Options(episodes=8, seeds=3, designs=FIVE[:3]))
    done = next((one / "runs").glob(f"{FIVE[0].name}*s1*"))
    shutil.rmtree(done)
    results = load([one, two_])
    assert results.versions == ()
    assert len(results.runs) == 4 * 3
    assert set(results.runs["state"]) == {"done"}
    assert any("6 runs made in several studies by the same code" in note for note in results.notes)


def test_a_study_given_twice_by_a_link_is_one(tmp_path):
    study = write_study(tmp_path / "runs", "one", Options(episodes=8, seeds=2, designs=FIVE[:2]))
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    results = load([study, tmp_path / "link" / "one"])
    assert results.versions == ()
    assert len(results.runs) == len(load([study]).runs)


def test_baselines_read_in_place_are_shared_by_versions(tmp_path):
    studies = two(tmp_path, ("aaaaaaaaaaaa", "bbbbbbbbbbbb"), oracle=ORACLE)
    for run in [*(studies[1] / "runs").glob("random*"), *(studies[1] / "runs").glob("oracle*")]:
        shutil.rmtree(run)
        run.symlink_to(studies[0] / "runs" / run.name)
    results = load(studies)
    assert results.agents("random") == ["random"]
    second = results.of_version("bbbbbbbb")
    assert set(second.runs["agent"]) == {"model", "random", "oracle"}
    assert scales(second)
    assert set(second.episodes["run"]) <= set(second.runs["run"])


def test_evidence_of_either_version_is_that_of_its_study(tmp_path):
    studies = two(tmp_path, ("aaaaaaaaaaaa", "bbbbbbbbbbbb"), change=5.0, oracle=ORACLE)
    results = load(studies)
    for version, study in zip(results.versions, studies, strict=True):
        found, alone = evidence(results.of_version(version)).runs, evidence(load([study])).runs
        assert found["value"].tolist() == pytest.approx(alone["value"].tolist())
