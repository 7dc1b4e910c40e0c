"""`wm evaluate` of a study: every finished run, saved beside it, and what the report then uses."""

from __future__ import annotations

import json
import shutil

import pytest

from analysis.load import load
from harness.entry import execute
from harness.rundir import RunDir
from studies.freeze import freeze
from studies.plan import read_plan
from studies.store import StudyDir
from tests.harness.toy_datasets import toy_dataset

TEXT = """\
name: small
base:
  size: tiny
  env: {image_size: 16, time_limit: 12}
  train: {episodes: 2, updates_per_episode: 2, batch: 2, forecast: 4}
  exploration: {cold_start: 1}
  planner: {horizon: 2, iterations: 1, proposals: 4}
  evaluation: {context: 3, horizon: 4, final_episodes: 2, starts: 4, samples: 2, probe_episodes: 2}
  runtime: {threads: 1, device: cpu}
grid: {design: [images-latent-stochastic, rewards-latent-stochastic], task: toy/point-mass, seed: range(2)}
include: [{agent: random, task: toy/point-mass, seed: 0}]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """RUNS with a study of which one run is left to do, and the dataset `pooled`."""
    root = tmp_path_factory.mktemp("evaluated") / "runs"
    file = root.parent / "small.yaml"
    file.write_text(TEXT)
    study = freeze(read_plan(str(file), root))
    toy_dataset(root / "datasets", "pooled")
    for run in study.planned[:3] + study.planned[4:]:
        directory = RunDir.create(run.path, _config(run))
        assert execute(directory, datasets=root / "datasets") == "done", directory.read_state().error
    return root


def _config(run):
    from harness.config import RunConfig

    return RunConfig.model_validate(run.config)


@pytest.fixture
def root(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs"


def saved(root):
    return sorted(root.glob("small/runs/*/eval/*.json"))


def test_a_study_is_evaluated_and_kept_and_not_measured_twice(wm, root):
    status, out, err = wm("evaluate", "small", "--dataset", "pooled", "--save")
    assert status == 0, err
    assert len(saved(root)) == 3
    assert out.count("latent-stochastic-point-mass") == 3
    assert "image error" in out
    assert "1 runs are not finished" in err
    before = {file: file.stat().st_mtime_ns for file in saved(root)}
    saved(root)[0].unlink()
    assert wm("evaluate", "small", "--dataset", "pooled", "--save")[0] == 0
    again = {file: file.stat().st_mtime_ns for file in saved(root)}
    assert sum(before[file] != again[file] for file in before) == 1


def test_one_that_fails_does_not_stop_the_others(wm, root):
    damaged = StudyDir(root / "small").planned[0]
    shutil.rmtree(damaged.path / "checkpoint")
    status, out, err = wm("evaluate", "small", "--dataset", "pooled", "--save", "--json")
    assert status == 1
    assert "1 of 3 failed, no weights to evaluate" in err
    assert damaged.id in err
    results = json.loads(out)
    assert len(results) == 3
    assert [one["run"] for one in results if "error" in one] == [damaged.id]
    assert len(saved(root)) == 2


def test_runs_are_selected_as_elsewhere(wm, root):
    status, out, _ = wm("evaluate", "small", "--only", "design=rewards-*", "--episodes", "1", "--json")
    assert status == 0
    results = json.loads(out)
    assert [one["n"] for one in results] == [1]
    assert results[0]["open_loop"]["dataset"] == "probe"
    one, two = (run.hex for run in StudyDir(root / "small").planned[:2])
    assert len(json.loads(wm("evaluate", one, two, "--json")[1])) == 2
    assert not saved(root)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("small", "--dataset", "poled"), "did you mean pooled"),
        (("smal",), "did you mean small"),
        (("small", "--video", "a.gif"), "--video shows one run"),
        (("small", "--save"), "--save needs --dataset"),
        (("small", "--only", "design=nothing"), "selects none"),
        (("small", "--dataset", "heldout"), "this one collected its own"),
    ],
)
def test_a_wrong_request_is_told_once(wm, root, arguments, words):
    status, _, err = wm("evaluate", *arguments)
    assert status == 2
    assert err.count(words) == 1
    assert "Traceback" not in err


def test_the_report_uses_pooled_once_every_run_has_it(wm, root):
    from analysis.content import correlation_table
    from analysis.prediction import common_data, run_errors

    study = root / "small"
    before = load([study])
    assert common_data(before).dataset == "probe"
    assert wm("evaluate", "small", "--dataset", "pooled", "--save")[0] == 0
    after = load([study])
    assert common_data(after).dataset == "pooled"
    errors = [run_errors(results).set_index("run")["reward_error"] for results in (before, after)]
    assert len(errors[1].dropna()) == 3
    assert (errors[0].dropna() != errors[1].dropna()).all()
    pooled = after.open_loop[after.open_loop["dataset"] == "pooled"]
    assert set(pooled["phase"]) == {"final"}
    assert pooled["run"].nunique() == 3
    saved(root)[0].unlink()
    results = load([study])
    partly = common_data(results)
    assert partly.dataset == "probe"
    assert "2 of 3" in partly.note
    assert "on the probe data (pooled is kept for 2 of 3 runs), both" in correlation_table(results).caption


def test_pooled_data_of_two_contents_is_not_common(wm, root):
    from analysis.prediction import common_data

    assert wm("evaluate", "small", "--dataset", "pooled", "--save")[0] == 0
    file = saved(root)[0]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"digest": "0" * 64}))
    found = common_data(load([root / "small"]))
    assert found.dataset == "probe"
    assert "several contents" in found.note


def test_coverage_of_every_iteration_is_read(root):
    results = load([root / "small"])
    assert results.coverage.groupby("run")["iteration"].apply(list).tolist() == [[0, 1]] * 3
    assert results.coverage["states"].tolist() == [13, 26] * 3
    last = results.coverage.groupby("run")["entropy"].last()
    runs = results.runs.set_index("run")["coverage"]
    assert runs.dropna().to_dict() == last.to_dict()


def test_a_damaged_file_is_a_note(wm, root):
    assert wm("evaluate", "small", "--dataset", "pooled", "--save")[0] == 0
    saved(root)[0].write_text("{")
    results = load([root / "small"])
    assert any("pooled.json cannot be read" in note for note in results.notes)
    assert results.open_loop["dataset"].value_counts()["pooled"] > 0
