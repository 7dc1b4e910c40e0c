import importlib.util
import io
import shutil

import pytest
from PIL import Image

from harness.entry import execute
from harness.errors import RunError
from harness.rundir import RunDir
from harness.tensorboard import TensorBoard, rebuild
from tests.harness.runs import make_run, tiny_config

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="the extra `tensorboard` is not installed",
)
ALL = {"scalars": 0, "images": 0}
CONFIG = {"storage__tensorboard": True, "train__episodes": 6}
PICTURES = {"evaluation/episode"} | {
    f"open_loop/{dataset}/{name}" for dataset in ("probe", "own") for name in ("forecast", "reward")
}


def read(run):
    """Scalars {tag: [(step, value)]} and pictures {tag: [(step, GIF)]} as TensorBoard sees them."""
    events = accumulators.EventAccumulator(str(run.tensorboard), size_guidance=ALL)
    events.Reload()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    pictures = {
        tag: [(e.step, e.encoded_image_string) for e in events.Images(tag)] for tag in events.Tags()["images"]
    }
    return scalars, pictures


def without_durations(scalars):
    return {tag: points for tag, points in scalars.items() if not tag.endswith(("seconds", "memory_mb"))}


def lines(run, kind, **values):
    return [r for r in run.read_metrics({kind}) if all(r.get(k) == v for k, v in values.items())]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("tensorboard")
    run = make_run(root, tiny_config(**CONFIG))
    assert execute(run, datasets=root / "datasets") == "done"
    return run


def copied(run, path):
    shutil.copytree(run.path, path)
    return RunDir(path)


def test_curves_are_those_of_the_metrics(finished):
    scalars, _ = read(finished)
    for kind, name in (("train", "loss"), ("train", "kl"), ("episode", "return")):
        expected = [(record["env_steps"], pytest.approx(record[name])) for record in lines(finished, kind)]
        assert scalars[f"{kind}/{name}"] == expected
    assert scalars["cost/parameters"] == [(72, lines(finished, "cost")[0]["parameters"])]


def test_an_evaluation_is_the_mean_of_its_episodes(finished):
    scalars, _ = read(finished)
    final = [record["return"] for record in lines(finished, "evaluation", phase="final")]
    assert len(final) == 3
    assert scalars["final/evaluation/return"] == [(72, pytest.approx(sum(final) / 3))]
    assert [step for step, _ in scalars["evaluation/return"]] == [24, 48]


def test_a_list_over_the_horizon_is_its_mean_and_its_ends(finished):
    scalars, _ = read(finished)
    (record,) = lines(finished, "open_loop", phase="final", dataset="probe")
    errors = record["image_error_mean"]
    for name, value in (("mean", sum(errors) / 4), ("first", errors[0]), ("last", errors[3])):
        assert scalars[f"final/open_loop/probe/image_error_mean/{name}"] == [(72, pytest.approx(value))]


def test_positions_are_no_curves(finished):
    names = {tag.rsplit("/")[-1] for tag in read(finished)[0]}
    assert not names & {
        "iteration",
        "env_steps",
        "grad_steps",
        "wall_seconds",
        "starts",
        "samples",
        "dataset",
    }


def test_videos_decode_with_all_their_frames(finished):
    _, pictures = read(finished)
    assert pictures.keys() == PICTURES | {f"final/{tag}" for tag in PICTURES}
    frames = {"episode": 13, "forecast": 3 + 4, "reward": 1}  # columns, context + horizon, a still
    for tag, shown in pictures.items():
        assert [step for step, _ in shown] == ([72] if tag.startswith("final/") else [24, 48])
        for _, content in shown:
            with Image.open(io.BytesIO(content)) as video:
                assert video.format == "GIF"
                assert video.n_frames == frames[tag.rsplit("/")[-1]]


def test_events_are_rebuilt_from_the_run(finished, tmp_path):
    run = copied(finished, tmp_path / "run")
    scalars, pictures = read(run)
    shutil.rmtree(run.tensorboard)
    rebuild(run)
    found, shown = read(run)
    assert found == scalars
    assert shown == {tag: what for tag, what in pictures.items() if tag.startswith("final/")}


def test_a_rebuild_keeps_pictures_that_only_the_events_hold(finished, tmp_path):
    run = copied(finished, tmp_path / "run")
    before = read(run)
    first = next(run.tensorboard.iterdir())
    assert rebuild(run) != first
    assert not first.exists()
    assert read(run) == before


def test_a_damaged_events_file_costs_only_what_it_alone_held(finished, tmp_path):
    run = copied(finished, tmp_path / "run")
    before = read(run)
    (events,) = run.tensorboard.iterdir()
    events.write_bytes(events.read_bytes()[:-1000])
    rebuild(run)
    scalars, pictures = read(run)
    assert scalars == before[0]
    assert sum(map(len, pictures.values())) >= sum(map(len, before[1].values())) - 1


@pytest.mark.parametrize("moment", [30, 70, 110])
def test_a_resumed_run_shows_what_an_undisturbed_one_shows(finished, tmp_path, moment):
    run = make_run(tmp_path, finished.read_config())
    polls = iter(range(10**9))
    datasets = finished.path.parent.parent / "datasets"
    assert execute(run, datasets=datasets, stop=lambda: next(polls) > moment) == "preempted"
    # What a killed attempt left after its checkpoint is not in the events of the next one.
    with run.metrics.open("ab") as file:
        file.write(
            b'{"kind":"train","iteration":9,"env_steps":999,"grad_steps":9,"wall_seconds":1,"loss":7}\n'
        )
    assert execute(run, datasets=datasets) == "done"
    scalars, pictures = read(run)
    assert without_durations(scalars) == without_durations(read(finished)[0])
    assert pictures == read(finished)[1]


def test_what_a_killed_attempt_showed_after_its_checkpoint_is_dropped(finished, tmp_path):
    run = make_run(tmp_path, tiny_config(**CONFIG, storage__checkpoint_minutes=1000))
    polls = iter(range(10**9))

    def kill():
        if next(polls) > 110:
            raise MemoryError
        return False

    datasets = finished.path.parent.parent / "datasets"
    assert execute(run, datasets=datasets, stop=kill) == "failed"
    assert not run.checkpoint.exists()
    assert [step for step, _ in read(run)[1]["evaluation/episode"]] == [24]
    run.metrics.write_bytes(b"")
    rebuild(run)
    assert read(run) == ({}, {})
    assert execute(run, datasets=datasets) == "done"
    assert read(run)[1] == read(finished)[1]


def test_curves_are_there_while_the_run_is_under_way(finished, tmp_path):
    run = copied(finished, tmp_path / "run")
    whole = run.metrics.read_bytes()
    shutil.rmtree(run.tensorboard)
    run.metrics.write_bytes(b"")
    board = TensorBoard(run, run.read_config())
    for line in whole.splitlines(keepends=True):
        with run.metrics.open("ab") as file:
            file.write(line[:9])
            file.flush()
            board.follow()  # half a line is left for later
            file.write(line[9:])
        board.follow()
    scalars = read(run)[0]
    assert scalars["train/loss"] == read(finished)[0]["train/loss"]


def test_a_process_that_was_replaced_writes_no_more(finished, tmp_path):
    run = copied(finished, tmp_path / "run")
    board = TensorBoard(run, run.read_config())
    newest = rebuild(run)
    with run.metrics.open("ab") as file:
        file.write(
            b'{"kind":"train","iteration":9,"env_steps":999,"grad_steps":9,"wall_seconds":1,"loss":7}\n'
        )
    board.follow()
    assert list(run.tensorboard.iterdir()) == [newest]


def test_at_most_ten_measurements_are_shown_as_pictures(finished, tmp_path):
    run = copied(finished, tmp_path / "run")
    config = tiny_config(**CONFIG | {"train__episodes": 200})  # 100 evaluations
    board = TensorBoard(run, config)
    shown = []
    board._append = shown.extend
    for done in range(2, 201, 2):
        board._last = {
            "kind": "evaluation",
            "phase": "scheduled",
            "iteration": done - 1,
            "env_steps": done,
            "wall_seconds": 0.0,
        }
        board.measured([], {"probe": {"reward": [[0.0]], "reward_forecast": [[1.0]]}})
    assert len(shown) == 10


def test_the_random_agent_has_returns_and_a_video(tmp_path):
    run = make_run(tmp_path, tiny_config(agent="random", storage__tensorboard=True))
    assert execute(run, datasets=tmp_path / "datasets") == "done"
    scalars, pictures = read(run)
    assert scalars.keys() == {"final/evaluation/return", "final/evaluation/length"}
    assert pictures.keys() == {"final/evaluation/episode"}


def test_a_design_without_images_shows_reward_traces(tmp_path):
    config = tiny_config(
        predict="rewards", dynamics="deterministic", train__episodes=2, storage__tensorboard=True
    )
    run = make_run(tmp_path, config)
    assert execute(run, datasets=tmp_path / "datasets") == "done"
    names = {tag.rsplit("/")[-1] for tag in read(run)[1]}
    assert names == {"episode", "reward"}


def test_without_the_extra_the_remedy_is_named_before_anything_is_done(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboard" else found(name, *rest)
    )
    run = make_run(tmp_path, tiny_config(storage__tensorboard=True))
    assert execute(run, datasets=tmp_path / "datasets") == "failed"
    message = run.read_state().error.message
    assert "pip install 'world-models-study[tensorboard]'" in message
    assert not run.metrics.exists()
    with pytest.raises(RunError, match="not installed"):
        rebuild(run)
