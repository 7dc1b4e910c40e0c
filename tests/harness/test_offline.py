import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from harness.config.sections import EnvConfig
from harness.datasets import Dataset, build
from harness.entry import execute
from harness.errors import UserError
from harness.offline import offline_complaint, planned_dataset
from harness.tasks import find_task
from tests.harness.runs import make_run, numbers, tiny_config
from tests.harness.toy_datasets import offline_config, random_episodes, toy_dataset


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("offline") / "datasets"
    toy_dataset(root)
    return root


@pytest.fixture(scope="module")
def dataset(datasets):
    return Dataset(datasets / "fixed" / "toy-point-mass")


@pytest.fixture(scope="module")
def undisturbed(datasets, dataset, tmp_path_factory):
    """A finished offline run that was never stopped."""
    run = make_run(tmp_path_factory.mktemp("undisturbed"), offline_config(dataset))
    assert execute(run, datasets=datasets) == "done", run.read_state().error
    return run


def test_an_offline_run_trains_and_measures_and_collects_nothing(undisturbed):
    records = numbers(undisturbed)
    kinds = [record["kind"] for record in records]
    assert "episode" not in kinds
    assert kinds.count("train") == 5  # there is no cold start to wait for
    assert {record["env_steps"] for record in records} == {0}
    assert [r["grad_steps"] for r in records if r["kind"] == "train"] == [3, 6, 9, 12, 15]
    assert not undisturbed.replay.exists()
    state = undisturbed.read_state()
    assert (state.state, state.iteration, state.env_steps, state.grad_steps) == ("done", 5, 0, 15)


def test_returns_and_errors_are_of_the_same_weights(undisturbed):
    """On schedule and at the end: one measurement is a block of lines with the same count of updates."""
    lines = [r for r in numbers(undisturbed) if r["kind"] in {"evaluation", "open_loop"}]
    blocks = [
        list(block) for _, block in itertools.groupby(lines, key=lambda r: (r["phase"], r["grad_steps"]))
    ]
    assert [block[0]["grad_steps"] for block in blocks] == [6, 12, 15]
    for block in blocks:
        assert [r.get("dataset", "") for r in block if r["kind"] == "open_loop"] == [
            "probe",
            "own",
            "heldout",
        ]
        assert block[0]["kind"] == "evaluation"
    assert (undisturbed.forecasts / "heldout.npz").exists()


def test_the_dataset_s_coverage_is_told_once(undisturbed):
    (line,) = (r for r in numbers(undisturbed) if r["kind"] == "coverage")
    assert (line["iteration"], line["states"], line["episodes"]) == (0, 4 * 13, 4)


def test_held_out_starts_are_the_same_for_every_design(undisturbed, datasets, dataset, tmp_path):
    other = make_run(tmp_path, offline_config(dataset, predict="rewards", space="pixel", seed=1))
    assert execute(other, datasets=datasets) == "done", other.read_state().error
    with np.load(undisturbed.forecasts / "heldout.npz") as a, np.load(other.forecasts / "heldout.npz") as b:
        np.testing.assert_array_equal(a["start"], b["start"])
        np.testing.assert_array_equal(a["truth"], b["truth"])


def test_a_pixel_design_of_images_runs(datasets, dataset, tmp_path):
    config = offline_config(dataset, space="pixel", train__episodes=1, train__updates_per_episode=1)
    run = make_run(tmp_path, config)
    assert execute(run, datasets=datasets) == "done", run.read_state().error
    assert [r["dataset"] for r in run.read_metrics({"open_loop"})] == ["probe", "own", "heldout"]


@pytest.mark.slow
def test_the_held_out_error_falls(datasets, tmp_path):
    env = EnvConfig(image_size=16, time_limit=30)
    dataset = toy_dataset(tmp_path / "datasets", train=30, heldout=4, env=env)
    config = offline_config(
        dataset,
        predict="rewards",
        env=env.model_dump(),
        train={"episodes": 8, "updates_per_episode": 60, "batch": 16, "forecast": 6},
        evaluation__every=1,
        evaluation__starts=32,
    )
    run = make_run(tmp_path, config)
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    errors = [
        np.mean(r["reward_error_mean"]) / np.mean(r["reward_error_baseline"])
        for r in run.read_metrics({"open_loop"})
        if r["dataset"] == "heldout"
    ]
    assert errors[-1] < 0.8 * errors[0]


@pytest.mark.parametrize("period", [5, 16])
def test_stopped_and_continued_gives_the_same_numbers(undisturbed, datasets, dataset, tmp_path, period):
    run = make_run(tmp_path, offline_config(dataset))
    endings = []
    for attempt in itertools.count():
        polls = itertools.count()
        ending = execute(run, stop=lambda p=polls, n=period + attempt: next(p) >= n, datasets=datasets)
        endings.append(ending)
        if ending != "preempted":
            break
    assert endings[-1] == "done", run.read_state().error
    assert len(endings) > 3
    assert numbers(run) == numbers(undisturbed)


@pytest.mark.slow
def test_killed_at_random_moments_gives_the_same_numbers(undisturbed, tmp_path):
    """Also while the mapped copy of the dataset is made: nothing is there before the first attempt."""
    fresh = tmp_path / "datasets"
    run = make_run(tmp_path, offline_config(toy_dataset(fresh)))
    code = (
        "import sys; from pathlib import Path; from harness.entry import execute; from harness.rundir import RunDir;"
        "import torch, harness.final; print('ready', flush=True);"
        f"execute(RunDir(sys.argv[1]), datasets=Path({str(fresh)!r}))"
    )
    delays = random.Random(0)
    kills = 0
    while run.read_state() is None or run.read_state().state != "done":
        child = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE)
        child.stdout.readline()
        try:
            child.wait(delays.uniform(0, 0.4) if kills < 10 else 60)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
            child.wait()
        child.stdout.close()
        assert kills <= 10
    assert kills >= 3
    assert numbers(run) == numbers(undisturbed)


def test_the_same_episodes_under_another_name_are_the_same_run(undisturbed, tmp_path):
    other = offline_config(toy_dataset(tmp_path / "datasets", "renamed"))
    assert make_run(tmp_path, other).id == undisturbed.id


def test_without_held_out_episodes_that_line_is_absent(tmp_path):
    dataset = toy_dataset(tmp_path / "datasets", heldout=0)
    run = make_run(tmp_path, offline_config(dataset, train__episodes=1))
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    assert [r["dataset"] for r in run.read_metrics({"open_loop"})] == ["probe", "own"]


def test_episodes_without_states_train_as_well(tmp_path):
    bare = [replace(episode, state=None) for episode in random_episodes(tiny_config().env, 2)]
    dataset = build(tmp_path / "datasets" / "bare" / "toy-point-mass", bare, {"kind": "test"})
    run = make_run(tmp_path, offline_config(dataset, train__episodes=1))
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    assert not list(run.read_metrics({"coverage"}))


class TestTrouble:
    def fails(self, run, datasets, kind, words):
        assert execute(run, datasets=datasets) == "failed"
        error = run.read_state().error
        assert error.kind == kind
        assert words in error.message, error.message

    def test_other_content_than_planned(self, datasets, dataset, tmp_path):
        run = make_run(tmp_path, offline_config("fixed", "0" * 64))
        self.fails(run, datasets, "code", "plan the study again")

    def test_content_that_changed_between_two_attempts(self, dataset, tmp_path):
        place = tmp_path / "datasets"
        run = make_run(tmp_path, offline_config(toy_dataset(place)))
        polls = itertools.count()
        assert execute(run, stop=lambda: next(polls) >= 12, datasets=place) == "preempted"
        shutil.rmtree(place / "fixed")
        toy_dataset(place, seed=5)
        self.fails(run, place, "code", "Put the old one back")
        shutil.rmtree(place / "fixed")
        toy_dataset(place)
        run.write_state(type(run.read_state())(run.id, "preempted"))
        assert execute(run, datasets=place) == "done"

    def test_no_such_dataset(self, datasets, tmp_path):
        run = make_run(tmp_path, offline_config("fixd", "0" * 64))
        self.fails(run, datasets, "code", "did you mean fixed")

    def test_a_damaged_episode(self, tmp_path):
        dataset = toy_dataset(tmp_path / "datasets")
        file = dataset.directory / dataset.entries[1]["file"]
        file.write_bytes(file.read_bytes()[:-40])
        run = make_run(tmp_path, offline_config(dataset))
        self.fails(run, tmp_path / "datasets", "corrupt", file.name)

    def test_a_run_that_nobody_planned(self, datasets):
        with pytest.raises(UserError, match=r"data\.digest is missing"):
            planned_dataset(offline_config("fixed"), datasets)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"env": {"image_size": 32, "time_limit": 12}}, "image is [3, 16, 16] per column"),
        ({"evaluation__horizon": 11}, "longest held-out episode has 12 steps"),
        ({}, ""),
    ],
)
def test_what_does_not_fit_is_told_beforehand(dataset, changes, words):
    config = offline_config(dataset, **changes)
    complaint = offline_complaint(config, dataset, find_task(config.task, config.env).spec)
    assert words in complaint
    assert bool(words) == bool(complaint)


def test_another_action_repeat_is_told_beforehand(tmp_path):
    episodes = random_episodes(tiny_config().env, 1)
    dataset = build(tmp_path / "d" / "toy-point-mass", episodes, {"kind": "test", "action_repeat": 1})
    config = offline_config(dataset, env__action_repeat=2)
    complaint = offline_complaint(config, dataset, find_task(config.task, config.env).spec)
    assert "set env.action_repeat: 1" in complaint


def test_tensorboard_has_gradient_steps_along_x(datasets, dataset, tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    config = offline_config(dataset, storage={"checkpoint_minutes": 0, "tensorboard": True})
    run = make_run(tmp_path, config)
    assert execute(run, datasets=datasets) == "done", run.read_state().error
    events = accumulators.EventAccumulator(str(run.tensorboard))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [3, 6, 9, 12, 15]
