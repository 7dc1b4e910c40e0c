import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from harness.checkpoint import CheckpointStore
from harness.entry import execute
from harness.replay import read_shards
from harness.rundir import RunDir
from harness.summary import summarised_ending
from tests.harness.runs import make_run, numbers, tiny_config


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A finished run that was never stopped."""
    root = tmp_path_factory.mktemp("undisturbed")
    run = make_run(root, tiny_config())
    assert execute(run, datasets=root / "datasets") == "done"
    return run


def test_a_run_leaves_what_the_analysis_needs(undisturbed):
    records = numbers(undisturbed)
    kinds = [record["kind"] for record in records]
    assert kinds.count("episode") == 5
    assert kinds.count("train") == 4  # from the iteration that completes the cold start
    assert [r["behaviour"] for r in records if r["kind"] == "episode"] == ["random"] * 2 + ["noise"] * 3
    final = [r for r in records if r["kind"] == "evaluation" and r["phase"] == "final"]
    assert [r["episode"] for r in final] == [0, 1, 2]
    assert {(r["dataset"], r["phase"]) for r in records if r["kind"] == "open_loop"} == {
        ("probe", "scheduled"),
        ("own", "scheduled"),
        ("probe", "final"),
        ("own", "final"),
    }
    (cost,) = (r for r in records if r["kind"] == "cost")
    assert 0 < cost["parameters"] < cost["training_parameters"]
    assert cost["flops_per_step"] > 0
    state = undisturbed.read_state()
    assert (state.state, state.iteration, state.iterations, state.progress) == ("done", 5, 5, 1.0)
    assert state.grad_steps == 12
    assert state.env_steps == 60
    assert [r["event"] for r in undisturbed.read_attempts()] == ["start", "end"]


def test_summary_holds_metrics_by_column(undisturbed):
    assert summarised_ending(undisturbed) == "done"
    returns = [r["return"] for r in undisturbed.read_metrics({"evaluation"})]
    errors = [r["image_error_mean"] for r in undisturbed.read_metrics({"open_loop"})]
    with np.load(undisturbed.summary) as arrays:
        np.testing.assert_array_equal(arrays["evaluation/return"], returns)
        np.testing.assert_array_equal(arrays["open_loop/image_error_mean"], errors)
        assert list(arrays["open_loop/dataset"][-2:]) == ["probe", "own"]
        assert arrays["train/grad_steps"].dtype == np.int64


def test_forecast_pictures_align_with_the_probe(undisturbed):
    with np.load(undisturbed.forecasts / "probe.npz") as arrays:
        assert arrays["context"].shape == (5, 3, 3, 16, 16)
        assert arrays["image"].shape == arrays["truth"].shape == arrays["sample"].shape == (5, 4, 3, 16, 16)
        assert arrays["reward"].shape == arrays["reward_forecast"].shape == (5, 4)
        assert (arrays["start"][:, 1] >= 2).all()


def test_retention_and_weights(undisturbed):
    episodes = list(read_shards(undisturbed.replay))
    assert len(episodes) == 5
    assert not episodes[0].has_frames  # the toy restores states, so its frames can be rendered again
    assert [path.name for path in undisturbed.checkpoint.iterdir()] == ["model.pt"]
    assert CheckpointStore(undisturbed.checkpoint).weights()
    assert len(list(undisturbed.path.rglob("*"))) < 20


def test_the_same_run_twice_gives_the_same_numbers(undisturbed, tmp_path):
    again = make_run(tmp_path, tiny_config())
    assert execute(again, datasets=tmp_path / "datasets") == "done"
    assert numbers(again) == numbers(undisturbed)


def test_a_finished_run_is_left_alone(undisturbed):
    before = undisturbed.metrics.read_bytes()
    assert execute(undisturbed, datasets=undisturbed.path.parent.parent / "datasets") == "done"
    assert undisturbed.metrics.read_bytes() == before
    assert len(undisturbed.read_attempts()) == 2


@pytest.mark.parametrize("period", [7, 23])
def test_stopped_and_continued_gives_the_same_numbers(undisturbed, tmp_path, period):
    """Asked to stop at every `period`-th poll, wherever that falls: collecting, training, evaluating, final."""
    run = make_run(tmp_path, tiny_config())
    endings = []
    for attempt in itertools.count():
        polls = itertools.count()
        ending = execute(
            run, stop=lambda p=polls, n=period + attempt: next(p) >= n, datasets=tmp_path / "datasets"
        )
        endings.append(ending)
        if ending != "preempted":
            break
    assert endings[-1] == "done"
    assert len(endings) > 4
    assert numbers(run) == numbers(undisturbed)


@pytest.mark.slow
def test_killed_at_random_moments_gives_the_same_numbers(undisturbed, tmp_path):
    run = make_run(tmp_path, tiny_config())
    code = (
        "import sys; from pathlib import Path; from harness.entry import execute; from harness.rundir import RunDir;"
        "print('ready', flush=True); import torch, harness.final;"
        f"execute(RunDir(sys.argv[1]), datasets=Path({str(tmp_path / 'datasets')!r}))"
    )
    delays = random.Random(0)
    kills = 0
    while run.read_state() is None or run.read_state().state != "done":
        child = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE)
        child.stdout.readline()
        began = time.time()
        while child.poll() is None and not _began(run, began):
            time.sleep(0.005)
        try:
            child.wait(delays.uniform(0, 0.25) if kills < 10 else 60)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
            child.wait()
        child.stdout.close()
        assert kills <= 10
    assert kills >= 3
    assert numbers(run) == numbers(undisturbed)


def _began(run: RunDir, since: float) -> bool:
    state = run.read_state()
    return state is not None and state.started >= since


def test_killed_while_tidying_up_goes_on(undisturbed, tmp_path, monkeypatch):
    import harness.final

    run = make_run(tmp_path, tiny_config())
    with monkeypatch.context() as patched:
        patched.setattr(harness.final, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            execute(run, datasets=tmp_path / "datasets")
    assert run.read_state().state == "running"
    assert execute(run, datasets=tmp_path / "datasets") == "done"
    assert numbers(run) == numbers(undisturbed)
    assert not (run.replay / "frames.u8").exists()


def test_a_run_that_is_no_longer_ours_writes_nothing_more(tmp_path):
    run = make_run(tmp_path, tiny_config())
    asked = itertools.count()
    execute(run, owns=lambda: next(asked) < 3, datasets=tmp_path / "datasets")
    assert run.read_state().state == "running"
    assert not run.summary.exists()


def test_divergence_is_a_result(tmp_path):
    run = make_run(tmp_path, tiny_config(train__learning_rate=1e30))
    assert execute(run, datasets=tmp_path / "datasets") == "diverged"
    assert run.read_state().state == "diverged"
    lost = [r for r in run.read_metrics({"train"}) if r.get("nonfinite")]
    assert lost
    assert lost[0]["loss"] is None
    assert execute(run, datasets=tmp_path / "datasets") == "diverged"


def test_the_random_agent_has_returns_only(tmp_path):
    run = make_run(tmp_path, tiny_config(agent="random"))
    assert execute(run, datasets=tmp_path / "datasets") == "done"
    assert [r["kind"] for r in numbers(run)] == ["evaluation"] * 3


def test_final_episodes_start_alike_for_every_design(undisturbed, tmp_path):
    """Common random numbers: the environment's seeds and the cold start do not depend on the design."""
    other = make_run(tmp_path, tiny_config(predict="rewards", dynamics="deterministic"))
    assert execute(other, datasets=tmp_path / "datasets") == "done"
    cold = [[r["return"] for r in run.read_metrics({"episode"})][:2] for run in (undisturbed, other)]
    assert cold[0] == cold[1]
    with np.load(undisturbed.evaluation / "final.npz") as a, np.load(other.evaluation / "final.npz") as b:
        np.testing.assert_array_equal(a["000000.image"][0], b["000000.image"][0])
        np.testing.assert_array_equal(a["000002.physics"][0], b["000002.physics"][0])


def test_evaluating_more_often_does_not_change_training(undisturbed, tmp_path):
    run = make_run(tmp_path, tiny_config(evaluation__every=1))
    assert execute(run, datasets=tmp_path / "datasets") == "done"
    training = [[r for r in numbers(x) if r["kind"] in {"train", "episode"}] for x in (undisturbed, run)]
    assert training[0] == training[1]


@pytest.mark.parametrize("kind", ["predict", "space"])
def test_other_designs_run(tmp_path, kind):
    changes = {"predict": {"predict": "rewards"}, "space": {"predict": "rewards", "space": "pixel"}}[kind]
    run = make_run(tmp_path, tiny_config(dynamics="deterministic", train__precision="bfloat16", **changes))
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    records = [r for r in numbers(run) if r["kind"] == "open_loop"]
    assert all("image_error" not in r and len(r["reward_error"]) == 4 for r in records)
    assert all(r["reward_error"] == pytest.approx(r["reward_error_mean"]) for r in records)


class TestTrouble:
    def _stop_after(self, tmp_path, polls):
        run = make_run(tmp_path, tiny_config())
        count = itertools.count()
        assert execute(run, stop=lambda: next(count) >= polls, datasets=tmp_path / "datasets") == "preempted"
        return run

    def test_a_damaged_checkpoint_falls_back_to_the_one_before(self, undisturbed, tmp_path):
        run = self._stop_after(tmp_path, 60)
        newest = max(run.checkpoint.glob("*.pt"))
        newest.write_bytes(newest.read_bytes()[:-100])
        assert execute(run, datasets=tmp_path / "datasets") == "done"
        assert numbers(run) == numbers(undisturbed)

    def test_two_damaged_checkpoints_are_an_error_with_a_remedy(self, tmp_path):
        run = self._stop_after(tmp_path, 60)
        for path in run.checkpoint.glob("*.pt"):
            path.write_bytes(b"")
        assert execute(run, datasets=tmp_path / "datasets") == "failed"
        error = run.read_state().error
        assert error.kind == "corrupt"
        assert "wm retry --fresh" in error.message

    def test_a_truncated_replay_is_an_error_with_a_remedy(self, tmp_path):
        run = self._stop_after(tmp_path, 60)
        frames = run.replay / "frames.u8"
        frames.write_bytes(frames.read_bytes()[:1000])
        assert execute(run, datasets=tmp_path / "datasets") == "failed"
        error = run.read_state().error
        assert error.kind == "corrupt"
        assert "frames.u8" in error.message

    def test_other_component_versions_do_not_continue_a_run(self, tmp_path, monkeypatch):
        run = self._stop_after(tmp_path, 30)
        monkeypatch.setattr("harness.registry.TASK_VERSIONS", {"dmc": 1, "toy": 2})
        assert execute(run, datasets=tmp_path / "datasets") == "failed"
        assert "component versions" in run.read_state().error.message
        run.state_file.unlink()  # as `wm retry` puts it aside
        assert execute(run, datasets=tmp_path / "datasets") == "failed"
        ends = [record["attempt"] for record in run.read_attempts() if record["event"] == "end"]
        assert ends == [1, 2, 3]  # though the last two failed before they began

    def test_a_full_disk_loses_nothing(self, undisturbed, tmp_path, monkeypatch):
        from harness.errors import RunError

        def full(self, content):
            raise RunError("disk", "no space left", "Free space.")

        run = self._stop_after(tmp_path, 30)
        with monkeypatch.context() as patched:
            patched.setattr(CheckpointStore, "save", full)
            assert execute(run, datasets=tmp_path / "datasets") == "failed"
        assert run.read_state().error.kind == "disk"
        assert execute(run, datasets=tmp_path / "datasets") == "done"
        assert numbers(run) == numbers(undisturbed)


def test_a_full_disk_is_told_from_the_reserve(tmp_path, monkeypatch):
    """The disk has no room left but what the run set aside: its ending is recorded all the same."""
    import errno

    import harness.metrics

    run = make_run(tmp_path, tiny_config())

    def full(*_):
        assert (run.path / ".reserve").stat().st_size == 65536
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(harness.metrics.MetricsLog, "write", full)
    assert execute(run, datasets=tmp_path / "datasets") == "failed"
    assert not (run.path / ".reserve").exists()
    error = run.read_state().error
    assert error.kind == "disk"
    assert "wm retry" in error.message


def test_records_are_strict_json(undisturbed):
    for line in undisturbed.metrics.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_global_generators_are_not_used(tmp_path):
    """A run draws everything from keyed streams: seeding torch and numpy otherwise changes nothing."""
    outcomes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        run = make_run(tmp_path / str(seed), tiny_config(train__episodes=3))
        assert execute(run, datasets=tmp_path / str(seed) / "datasets") == "done"
        outcomes.append(numbers(run))
    assert outcomes[0] == outcomes[1]
