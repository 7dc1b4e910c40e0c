import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from harness.config.sections import EnvConfig
from harness.datasets import build
from harness.entry import execute
from harness.errors import UserError
from harness.evaluate import evaluate_run
from harness.rundir import RunDir
from harness.tasks import find_task
from tests.harness.replays import make_episode
from tests.harness.runs import make_run, tiny_config
from tests.harness.toy_datasets import offline_config, toy_dataset


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "datasets"


@pytest.fixture(scope="module")
def finished(datasets):
    run = make_run(datasets.parent, tiny_config())
    assert execute(run, datasets=datasets) == "done"
    return run


def files(path):
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in path.rglob("*")}


def test_a_run_is_played_again_and_left_as_it_is(finished, datasets, tmp_path):
    before = files(finished.path)
    video = tmp_path / "episode.gif"
    said = []
    result = evaluate_run(finished, episodes=2, video=video, datasets=datasets, report=said.append)
    assert files(finished.path) == before
    assert len(result["returns"]) == result["n"] == 2
    assert result["mean"] == pytest.approx(sum(result["returns"]) / 2)
    assert result["std"] == pytest.approx(abs(result["returns"][0] - result["returns"][1]) / 2**0.5)
    assert result["lengths"] == [12, 12]
    assert (result["design"], result["state"]) == ("images-latent-stochastic", "done")
    json.dumps(result, allow_nan=False)
    with Image.open(video) as shown:
        assert shown.n_frames == 13
    assert any("2 episodes" in message for message in said)


def test_forecasts_on_the_probe_are_those_of_the_final_phase(finished, datasets):
    result = evaluate_run(finished, episodes=0, datasets=datasets)
    (recorded,) = [
        r for r in finished.read_metrics({"open_loop"}) if (r["phase"], r["dataset"]) == ("final", "probe")
    ]
    assert result["open_loop"]["image_error_mean"] == recorded["image_error_mean"]
    assert result["open_loop"]["reward_error"] == recorded["reward_error"]
    assert (result["n"], result["mean"], result["std"]) == (0, None, None)


def test_episodes_are_new_and_the_same_at_every_call(finished, datasets):
    one, two = (evaluate_run(finished, dataset=None, episodes=n, datasets=datasets) for n in (1, 3))
    assert one["returns"] == two["returns"][:1]
    assert one["std"] is None
    assert one["open_loop"] is None
    played = {record["return"] for record in finished.read_metrics({"evaluation"})}
    assert not played & set(two["returns"])


def test_forecasts_on_own_episodes_and_on_a_dataset(finished, datasets):
    own = evaluate_run(finished, dataset="own", episodes=2, datasets=datasets)["open_loop"]
    assert own["dataset"] == "own"
    spec = find_task("toy/point-mass", finished.read_config().env).spec
    episodes = [make_episode(12, seed, replace(spec, reward_range=None)) for seed in range(2)]
    episodes = [replace(episode, reward=abs(episode.reward).clip(0, 1)) for episode in episodes]
    build(datasets / "mine", episodes, {"kind": "test"})
    by_name = evaluate_run(finished, dataset="mine", episodes=0, datasets=datasets)["open_loop"]
    by_path = evaluate_run(finished, dataset=datasets / "mine", episodes=0, datasets=datasets)["open_loop"]
    assert by_name == by_path
    assert by_name["dataset"] == "mine"
    assert by_name["reward_error"] != own["reward_error"]


def test_a_dataset_of_another_size_is_refused(finished, datasets):
    spec = find_task("toy/point-mass", EnvConfig(image_size=8)).spec
    build(datasets / "small", [make_episode(12, 0, spec)], {"kind": "small"})
    with pytest.raises(UserError, match=r"does not fit toy/point-mass(?s:.)*image is \[3, 8, 8\]"):
        evaluate_run(finished, dataset="small", datasets=datasets)


def test_a_run_that_is_under_way_is_read_from_its_checkpoint(datasets, tmp_path):
    run = make_run(tmp_path, tiny_config())
    polls = iter(range(10**9))
    assert execute(run, datasets=datasets, stop=lambda: next(polls) > 40) == "preempted"
    before = files(run.path)
    assert evaluate_run(run, dataset=None, episodes=1, datasets=datasets)["state"] == "preempted"
    assert files(run.path) == before


def test_the_random_agent_has_returns_only(datasets, tmp_path):
    run = make_run(tmp_path, tiny_config(agent="random"))
    said = []
    result = evaluate_run(run, episodes=2, datasets=datasets, report=said.append)
    assert len(result["returns"]) == 2
    assert result["open_loop"] is None
    assert any("no model" in message for message in said)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"video": "video.mp4"}, r"\.mp4 videos cannot be written; use \.gif"),
        ({"video": "nowhere/video.gif"}, "there is no directory"),
        ({"video": "video.gif", "episodes": 0}, "at least one episode"),
        ({"dataset": "own", "episodes": 0}, "at least one episode"),
        ({"dataset": "prob"}, r"no dataset prob .*did you mean probe"),
        ({"dataset": "probe", "part": "train"}, "probe has no parts"),
        ({"dataset": "heldout"}, "this one collected its own"),
        ({"dataset": "probe", "save": True}, "are in the run's own metrics"),
        ({"dataset": None, "save": True}, "--save needs --dataset"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_played(
    finished, datasets, tmp_path, request_, message
):
    if "video" in request_:
        request_ = request_ | {"video": tmp_path / request_["video"]}
    with pytest.raises(UserError, match=message):
        evaluate_run(
            finished, datasets=datasets, report=pytest.fail if "video" in request_ else print, **request_
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("running", "has not written a checkpoint yet"),
        ("done", "storage.checkpoint was model"),
        ("diverged", "the run diverged"),
    ],
)
def test_without_weights_the_reason_is_said(finished, datasets, tmp_path, ending, message):
    run = RunDir(tmp_path / finished.id)
    shutil.copytree(finished.path, run.path)
    shutil.rmtree(run.checkpoint)
    run.write_state(replace(run.read_state(), state=ending))
    with pytest.raises(UserError, match=message):
        evaluate_run(run, datasets=datasets)


def test_weights_of_another_model_are_refused(finished, datasets, tmp_path):
    other = make_run(tmp_path, tiny_config(dynamics="deterministic"))
    shutil.copytree(finished.checkpoint, other.checkpoint)
    with pytest.raises(UserError, match="do not fit the model"):
        evaluate_run(other, datasets=datasets)


def test_a_run_of_other_component_versions_is_evaluated_with_a_warning(finished, datasets, tmp_path):
    run = RunDir(tmp_path / finished.id)
    shutil.copytree(finished.path, run.path)
    run.config_file.write_text(
        run.config_file.read_text().replace("versions:\n", "versions:\n  loop: 99\n", 1)
    )
    said = []
    evaluate_run(run, dataset=None, episodes=1, datasets=datasets, report=said.append)
    assert any("numbers may differ" in message for message in said)


class TestSaving:
    @pytest.fixture
    def run(self, finished, tmp_path):
        """A copy of a finished run."""
        run = RunDir(tmp_path / finished.id)
        shutil.copytree(finished.path, run.path)
        return run

    @pytest.fixture
    def pooled(self, datasets):
        return toy_dataset(datasets, "pooled", train=3, heldout=2)

    def save(self, run, datasets, **changes):
        request = {"dataset": "pooled", "episodes": 0, "save": True} | changes
        said = []
        return evaluate_run(run, datasets=datasets, report=said.append, **request), said

    def test_what_is_saved_says_what_it_is_of(self, run, datasets, pooled):
        before = files(run.path)
        result, _ = self.save(run, datasets)
        saved = run.evaluation / "pooled.json"
        assert {p for p in run.path.rglob("*") if p not in before} == {saved}
        assert result["saved"] == str(saved)
        content = json.loads(saved.read_text())
        assert content["open_loop"] == result["open_loop"]
        assert (content["dataset"], content["part"]) == ("pooled", "heldout")
        assert content["digest"] == pooled.part("heldout").digest
        assert content["open_loop"]["dataset"] == "pooled"

    def test_what_is_saved_is_not_measured_again_until_it_is_of_other_episodes(self, run, datasets, pooled):
        first, _ = self.save(run, datasets)
        again, said = self.save(run, datasets)
        assert again == first | {"kept": True}
        assert any("measured before on the same episodes" in line for line in said)
        assert not any("measuring" in line for line in said)
        file = run.evaluation / "pooled.json"
        for damage in ('{"schema"', "[]", file.read_text().replace('"digest": "', '"digest": "0')):
            file.write_text(damage)
            again, said = self.save(run, datasets)
            assert any("measuring" in line for line in said)
            assert again == first

    def test_parts_are_kept_apart(self, run, datasets, pooled):
        held, _ = self.save(run, datasets)
        train, _ = self.save(run, datasets, part="train")
        assert (run.evaluation / "pooled-train.json").exists()
        assert train["open_loop"]["dataset"] == "pooled-train"
        assert train["open_loop"]["reward_error"] != held["open_loop"]["reward_error"]
        with pytest.raises(UserError, match="no episode is in its part heldout"):
            toy_dataset(datasets, "all", heldout=0)
            self.save(run, datasets, dataset="all", part="heldout")

    def test_starts_and_episodes_are_those_of_every_other_run(self, run, datasets, pooled, tmp_path):
        other = make_run(tmp_path / "other", tiny_config(predict="rewards", seed=3, train__episodes=2))
        assert execute(other, datasets=datasets) == "done", other.read_state().error
        one, two = (self.save(which, datasets)[0]["open_loop"] for which in (run, other))
        assert one["reward_error_baseline"] == two["reward_error_baseline"]
        assert one["reward_error"] != two["reward_error"]

    def test_an_unfinished_run_saves_nothing(self, run, datasets, pooled):
        run.write_state(replace(run.read_state(), state="preempted"))
        with pytest.raises(UserError, match="only what is measured of a finished run"):
            self.save(run, datasets)


def test_held_out_episodes_are_those_of_the_run(datasets, tmp_path):
    dataset = toy_dataset(datasets, "trained-on")
    run = make_run(tmp_path, offline_config(dataset, train__episodes=1))
    assert execute(run, datasets=datasets) == "done", run.read_state().error
    found = evaluate_run(run, dataset="heldout", episodes=0, datasets=datasets)["open_loop"]
    (recorded,) = [r for r in run.read_metrics({"open_loop"}) if r["dataset"] == "heldout"]
    assert found["image_error_mean"] == recorded["image_error_mean"]


def test_the_oracle_has_returns_only(datasets, tmp_path):
    config = tiny_config(agent="random")
    oracle = config.model_copy(
        update={
            "agent": "oracle",
            "oracle": config.oracle.model_copy(update={"horizon": 2, "iterations": 1, "proposals": 4}),
        }
    )
    result = evaluate_run(make_run(tmp_path, oracle), episodes=1, datasets=datasets)
    assert len(result["returns"]) == 1
    assert result["open_loop"] is None
