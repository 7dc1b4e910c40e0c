import numpy as np
import pytest

from harness.config.sections import EnvConfig
from harness.datasets.holdout import episode_key
from harness.datasets.sources import Origin, Renderer, kept_episodes, read_episodes, unrenderable
from harness.disk import save_arrays
from harness.episodes import to_arrays
from harness.errors import RunError, UserError
from harness.tasks import find_task
from tests.harness.finished import finished_run
from tests.harness.replays import same

QUIET = lambda: None


def origin_of(run):
    return Origin(run, "study", run.read_config().label)


def task_of(run):
    config = run.read_config()
    return find_task(config.task, config.env)


@pytest.mark.parametrize(
    ("retention", "kept", "framed"),
    [
        ("all", [0, 1, 2, 3], True),
        ("states", [0, 1, 2, 3], False),
        ("last:2", [2, 3], True),
        ("none", [], False),
    ],
)
def test_what_retention_kept_is_found_without_its_frames(tmp_path, retention, kept, framed):
    run, played, _ = finished_run(tmp_path, retention=retention)
    found = kept_episodes(origin_of(run), "replay")
    assert [one.index for one in found] == kept
    assert [one.total_return for one in found] == [played[i].total_return for i in kept]
    assert [one.columns for one in found] == [played[i].columns for i in kept]
    assert all((one.framed, one.has_state) == (framed, True) for one in found)
    assert all((one.stored_bytes > 0) == framed for one in found)
    assert len({one.key for one in found}) == len({one.place for one in found}) == len(found)


@pytest.mark.parametrize("retention", ["all", "states"])
def test_episodes_come_back_as_the_agent_saw_them(tmp_path, retention):
    run, played, final = finished_run(tmp_path, retention=retention)
    origin = origin_of(run)
    found = kept_episodes(origin, "replay")[::2] + kept_episodes(origin, "evaluation")
    with Renderer(task_of(run), QUIET) as renderer:
        read = list(read_episodes(found, renderer))
        assert renderer.difference(origin) == 0
    assert all(same(a, b) for a, b in zip(read, played[::2] + final, strict=True))


def test_a_key_needs_neither_frames_nor_the_run(tmp_path):
    """An episode is the same in another design, under another retention and at another size of frames."""
    task = find_task("toy/point-mass", EnvConfig(time_limit=12))
    keys = []
    for index, (retention, size) in enumerate([("all", 16), ("states", 16), ("states", 20), ("last:2", 16)]):
        run, played, _ = finished_run(tmp_path, index, retention=retention, env__image_size=size, stream=7)
        keys.append({one.index: one.key for one in kept_episodes(origin_of(run), "replay")})
    first = {i: e.state[0] for i, e in enumerate(played)}
    expected = {i: episode_key(task.spec.name, 1, e.action, e.reward, first[i]) for i, e in enumerate(played)}
    assert keys == [expected, expected, expected, {i: expected[i] for i in (2, 3)}]


@pytest.mark.render
def test_frames_of_the_suite_are_rendered_again_to_the_last_bit(tmp_path):
    run, played, _ = finished_run(
        tmp_path, task="dmc/reacher-easy", env__image_size=64, env__time_limit=40, training=2, final=1
    )
    found = kept_episodes(origin_of(run), "replay")
    assert not any(one.framed for one in found)
    with Renderer(task_of(run), QUIET) as renderer:
        assert all(same(a, b) for a, b in zip(read_episodes(found, renderer), played, strict=True))
        assert renderer.difference(origin_of(run)) == 0


def test_another_renderer_is_noticed(tmp_path):
    run, _, final = finished_run(tmp_path)
    arrays = {f"{i:06d}.{n}": a for i, e in enumerate(final) for n, a in to_arrays(e).items()}
    arrays["000000.image"] = arrays["000000.image"].copy()
    arrays["000000.image"][0, 0, 0, 0] ^= 4
    save_arrays(run.evaluation / "final.npz", arrays)
    with Renderer(task_of(run), QUIET) as renderer:
        assert renderer.difference(origin_of(run)) == 4


def test_without_frames_to_compare_nothing_is_said(tmp_path):
    run, _, _ = finished_run(tmp_path, final=0)
    with Renderer(task_of(run), QUIET) as renderer:
        assert renderer.difference(origin_of(run)) is None


def test_the_source_is_described(tmp_path):
    run, played, _ = finished_run(tmp_path, seed=3)
    found = kept_episodes(Origin(run, "mini", "mine"), "replay")[1]
    assert found.describe() == {
        "study": "mini",
        "run": run.id,
        "design": "mine",
        "agent": "model",
        "seed": 3,
        "kind": "replay",
        "index": 1,
        "key": found.key,
        "return": played[1].total_return,
    }


def test_frames_that_cannot_be_drawn_again_name_the_runs(tmp_path):
    run, _, _ = finished_run(tmp_path)
    found = kept_episodes(origin_of(run), "replay")
    task = task_of(run)
    assert not unrenderable(found, task)
    quadruped = find_task("dmc/quadruped-escape", EnvConfig())
    assert not quadruped.spec.restores_state
    text = unrenderable(found, quadruped)
    assert "cannot restore a simulator state" in text
    assert "storage.training_frames: all" in text
    assert f"study/{run.id}" in text
    assert not unrenderable(kept_episodes(origin_of(run), "evaluation"), quadruped)


def test_frames_of_another_version_of_the_task_are_not_drawn_again(tmp_path):
    run, _, _ = finished_run(tmp_path)
    run.config_file.write_text(run.config_file.read_text().replace("task: 1\n", "task: 0\n"))
    found = kept_episodes(origin_of(run), "replay")
    assert "version 1 of the task, they had another" in unrenderable(found, task_of(run))


def test_damage_is_found(tmp_path):
    run, _, _ = finished_run(tmp_path)
    shard = next(run.replay.glob("shard-*.npz"))
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(RunError, match="damaged or truncated"):
        kept_episodes(origin_of(run), "replay")
    save_arrays(run.evaluation / "final.npz", {"odd.reward": np.zeros(3, np.float32)})
    with pytest.raises(UserError, match=r"odd\.reward is no array of an episode"):
        kept_episodes(origin_of(run), "evaluation")
