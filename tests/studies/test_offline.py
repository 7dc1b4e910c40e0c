"""Offline runs in a plan: the digest of their dataset is in their id, and what is missing is told or refused."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from harness.datasets import build
from harness.errors import UserError
from harness.rundir import RunDir
from studies.freeze import freeze
from studies.offline import check_datasets, fill
from studies.plan import read_plan
from studies.store import StudyDir
from tests.harness.runs import tiny_config
from tests.harness.toy_datasets import offline_config, random_episodes, toy_dataset

TEXT = """\
name: offline
base:
  env: {image_size: 16, time_limit: 12}
  train: {episodes: 2, updates_per_episode: 2, batch: 2, forecast: 4}
  evaluation: {context: 3, horizon: 4, final_episodes: 2}
  data: {mode: offline, dataset: fixed}
grid: {design: [images-latent-stochastic, rewards-latent-stochastic], task: toy/point-mass, seed: range(2)}
include: [{agent: random, task: toy/point-mass, seed: 0}]
"""


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "offline.yaml"
    path.write_text(TEXT)
    return path


def models(plan):
    return [run for run in plan.runs if run.config["agent"] == "model"]


def test_the_digest_is_filled_in_and_makes_the_id(file, root):
    dataset = toy_dataset(root / "datasets")
    plan = read_plan(str(file), root)
    assert {run.config["data"]["digest"] for run in models(plan)} == {dataset.digest}
    assert not [note for note in plan.notes if "dataset" in note]
    before = {run.hex for run in models(plan)}
    shutil.rmtree(root / "datasets")
    toy_dataset(root / "datasets", seed=1)
    assert not before & {run.hex for run in models(read_plan(str(file), root))}


def test_a_dataset_by_path_is_the_same_run_as_by_name(file, root, tmp_path, monkeypatch):
    toy_dataset(root / "datasets")
    by_name = read_plan(str(file), root)
    shutil.copytree(root / "datasets" / "fixed", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    for path, stored in [
        ("elsewhere", str(tmp_path / "elsewhere")),
        ("elsewhere/toy-point-mass", str(tmp_path / "elsewhere" / "toy-point-mass")),
        ("runs/datasets/fixed", "fixed"),
        (str(root / "datasets" / "fixed"), "fixed"),
    ]:
        plan = read_plan(str(file), root, [f"data.dataset={path}"])
        assert [run.hex for run in plan.runs] == [run.hex for run in by_name.runs]
        assert models(plan)[0].config["data"]["dataset"] == stored


def test_a_plan_without_its_dataset_says_what_makes_it(file, root):
    plan = read_plan(str(file), root)
    assert len(plan.runs) == 5
    (note,) = [note for note in plan.notes if "dataset" in note]
    assert "wm dataset build fixed" in note
    assert "4 runs wait for it (toy/point-mass); ids will change" in note
    with pytest.raises(UserError, match="wm dataset build fixed"):
        check_datasets(root, plan.runs)
    check_datasets(root, [run for run in plan.runs if run.config["agent"] == "random"])


def test_the_note_counts_runs_and_names_every_task_that_waits(file, root):
    content = yaml.safe_load(TEXT)
    content["grid"] |= {
        "task": ["toy/point-mass", "toy/catch"],
        "storage.training_frames": ["states", "none"],
    }
    content["grid"]["planner.name"] = "shooting"
    file.write_text(yaml.safe_dump(content))
    plan = read_plan(str(file), root)
    (note,) = [note for note in plan.notes if "dataset" in note]
    assert "`wm dataset build fixed STUDY... --task toy/point-mass --task toy/catch`" in note
    assert f"{len(models(plan))} runs wait for it" in note
    assert len(models(plan)) == 8


def test_the_name_of_the_probe_makes_no_plan(file, root):
    toy_dataset(root / "datasets", "probe")
    with pytest.raises(UserError, match="cannot be called probe"):
        read_plan(str(file), root, ["data.dataset=probe"])


def test_without_held_out_episodes_those_to_train_on_must_be_long_enough(file, root):
    toy_dataset(root / "datasets", heldout=0)
    with pytest.raises(UserError, match=r"its longest episode has 12 steps; evaluation\.context"):
        read_plan(str(file), root, ["evaluation.context=12", "env.time_limit=30"])


def test_a_digest_of_ones_own_must_be_right(file, root):
    dataset = toy_dataset(root / "datasets")
    assert read_plan(str(file), root, [f"data.digest={dataset.digest}"]).runs
    with pytest.raises(UserError, match=r"data\.digest is abc here"):
        read_plan(str(file), root, ["data.digest=abc"])


def test_without_the_dataset_a_digest_of_ones_own_keeps_the_ids(file, root):
    dataset = toy_dataset(root / "datasets")
    known = [run.hex for run in read_plan(str(file), root).runs]
    shutil.rmtree(root / "datasets")
    plan = read_plan(str(file), root, [f"data.digest={dataset.digest}"])
    assert [run.hex for run in plan.runs] == known
    assert not any("ids will change" in note for note in plan.notes)


def test_a_frozen_plan_stays_as_it_is(file, root):
    toy_dataset(root / "datasets")
    freeze(read_plan(str(file), root))
    known = [run.hex for run in StudyDir(root / "offline").planned]
    check_datasets(root, read_plan("offline", root).runs)
    shutil.rmtree(root / "datasets")
    toy_dataset(root / "datasets", seed=1)
    frozen = read_plan("offline", root)
    assert [run.hex for run in frozen.runs] == known
    with pytest.raises(UserError, match="another content"):
        check_datasets(root, frozen.runs)


def test_without_held_out_episodes_a_note_says_so(file, root):
    toy_dataset(root / "datasets", heldout=0)
    assert any("no held-out episodes" in note for note in read_plan(str(file), root).notes)


def test_data_that_does_not_fit_makes_no_plan(file, root):
    toy_dataset(root / "datasets")
    with pytest.raises(
        UserError, match=r"image is \[3, 16, 16\] per column, toy/point-mass has \[3, 24, 24\]"
    ):
        read_plan(str(file), root, ["env.image_size=24"])
    with pytest.raises(UserError, match="longest held-out episode has 12 steps"):
        read_plan(str(file), root, ["evaluation.context=12", "env.time_limit=30"])


def test_a_damaged_dataset_makes_no_plan(file, root):
    dataset = toy_dataset(root / "datasets")
    (dataset.directory / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: missing or damaged"):
        read_plan(str(file), root)


def test_a_dataset_of_another_task_makes_no_plan(file, root):
    episodes = random_episodes(tiny_config().env, 1)
    build(root / "datasets" / "fixed", episodes, {"kind": "test", "task": "toy/catch"})
    with pytest.raises(UserError, match="holds episodes of toy/catch"):
        read_plan(str(file), root)


def test_a_grid_over_datasets_is_cross_training(file, root):
    toy_dataset(root / "datasets", "a", seed=1)
    toy_dataset(root / "datasets", "b", seed=2)
    content = yaml.safe_load(TEXT)
    content["grid"]["data.dataset"] = ["a", "b"]
    file.write_text(yaml.safe_dump(content))
    plan = read_plan(str(file), root)
    assert len(models(plan)) == len({run.hex for run in models(plan)}) == 8


def test_the_disk_of_offline_runs_has_no_replay(file, root):
    from studies.cost import estimate

    toy_dataset(root / "datasets")
    small, large = (read_plan(str(file), root, [f"train.episodes={n}"]) for n in (2, 5000))
    disk = [estimate(plan.runs, plan.states())["disk_gb"] for plan in (small, large)]
    assert disk[0] == disk[1]


class TestCommandLine:
    def test_plan_works_and_run_refuses_without_the_dataset(self, wm, file):
        status, out, err = wm("plan", file)
        assert status == 0
        assert "5 runs" in out
        assert err.count("wm dataset build fixed") == 1
        status, _, err = wm("run", file)
        assert status == 2
        assert "wm dataset build fixed" in err
        assert "Traceback" not in err

    def test_train_refuses_and_then_fills_in(self, wm, root, tmp_path):
        config = tmp_path / "one.yaml"
        fields = offline_config("fixed").model_dump(mode="json", exclude_defaults=True)
        config.write_text(yaml.safe_dump(fields))
        assert wm("train", config, "--output-dir", tmp_path / "out")[0] == 2
        assert not (tmp_path / "out").exists()
        dataset = toy_dataset(root / "datasets")
        assert wm("train", config, "--output-dir", tmp_path / "out")[0] == 0
        assert RunDir(tmp_path / "out").read_config().data.digest == dataset.digest

    def test_the_plan_shows_datasets_and_no_digests(self, wm, file, root):
        toy_dataset(root / "datasets", "a", seed=1)
        toy_dataset(root / "datasets", "b", seed=2)
        content = yaml.safe_load(TEXT)
        content["grid"]["data.dataset"] = ["a", "b"]
        file.write_text(yaml.safe_dump(content))
        status, out, _ = wm("plan", file)
        assert status == 0
        assert "within a row vary data.dataset (a, b)" in out
        planned = json.loads(wm("plan", file, "--json")[1])
        assert all(run["config"]["data"]["digest"] for run in planned["runs"] if run["design"] != "random")


def test_a_run_without_a_study_is_filled_in(root):
    dataset = toy_dataset(root / "datasets")
    assert fill(offline_config("fixed"), root / "datasets").data.digest == dataset.digest
    with pytest.raises(UserError, match="did you mean fixed"):
        fill(offline_config("fixt"), root / "datasets")
