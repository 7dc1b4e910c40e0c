import json
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config.sections import EnvConfig
from harness.datasets import Dataset, build, import_npz, open_loop_starts, probe_dataset, probe_directory
from harness.datasets.parts import remedy
from harness.episodes import save_npz
from harness.errors import RunError, UserError
from tests.harness.replays import DISCRETE, SPEC, make_episode, same

RECIPE = {"kind": "test", "numbers": [1, 2]}


class FakeEnv(gymnasium.Env):
    """Draws what was played into its frames; the reset's frame shows the seed."""

    def __init__(self, spec):
        self.spec_ = spec
        self.seeds = []
        self.closed = False

    def _observe(self, value):
        info = {"state": np.full(self.spec_.state_dim, value)} if self.spec_.state_dim else {}
        return np.full(self.spec_.image_shape, int(abs(value) * 255) % 256, np.uint8), info

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.steps = 0
        return self._observe(seed / 2**31)

    def step(self, action):
        self.steps += 1
        value = float(np.sum(action)) / 10
        image, info = self._observe(value)
        return image, value, False, self.steps == self.spec_.max_steps, info

    def close(self):
        self.closed = True


class FakeTask:
    version = 1

    def __init__(self, spec=SPEC):
        self.spec = spec
        self.made = []

    def make(self):
        self.made.append(FakeEnv(self.spec))
        return self.made[-1]


def three():
    return [make_episode(4, 0), make_episode(6, 1), make_episode(5, 2)]


def test_a_dataset_holds_what_it_was_built_from(tmp_path):
    dataset = build(tmp_path / "a" / "d", three(), RECIPE)
    again = Dataset(tmp_path / "a" / "d")
    assert len(dataset) == 3
    assert all(same(a, b) for a, b in zip(again, three(), strict=True))
    assert same(again[1], make_episode(6, 1))
    assert again.columns == [4, 6, 5]
    assert again.recipe == RECIPE
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["d"]


def test_the_digest_is_of_the_content(tmp_path):
    digests = {build(tmp_path / str(i), three(), RECIPE).digest for i in range(2)}
    assert len(digests) == 1
    other = [make_episode(4, 0), make_episode(6, 1), make_episode(5, 3)]
    assert build(tmp_path / "other", other, RECIPE).digest not in digests


def test_what_is_there_is_not_built_again(tmp_path):
    build(tmp_path / "d", three(), RECIPE)

    def never():
        raise AssertionError
        yield

    assert len(build(tmp_path / "d", never(), RECIPE)) == 3
    with pytest.raises(UserError, match="made by another recipe"):
        build(tmp_path / "d", never(), {"kind": "else"})


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def failing():
        yield make_episode(4)
        raise RuntimeError("no OpenGL")

    with pytest.raises(RuntimeError, match="no OpenGL"):
        build(tmp_path / "d", failing(), RECIPE)
    with pytest.raises(UserError, match="at least one episode"):
        build(tmp_path / "d", [], RECIPE)
    with pytest.raises(UserError, match="episode 0 was kept without frames"):
        build(tmp_path / "d", [make_episode(4, image=np.zeros((4, 3, 0, 0), np.uint8))], RECIPE)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_found_and_named(tmp_path):
    directory = tmp_path / "d"
    build(directory, three(), RECIPE)
    path = directory / "episode-00001.npz"
    whole, manifest = path.read_bytes(), (directory / "manifest.json").read_text()

    def expect(message):
        with pytest.raises(RunError, match=message) as raised:
            Dataset(directory)
        assert raised.value.kind == "corrupt"
        assert raised.value.remedy.startswith(f"Restore that file from a copy of {directory}.")

    assert "Remove the directory" in remedy(tmp_path / "probe" / "0123")
    path.write_bytes(whole[:-10])
    expect(rf"episode-00001\.npz: {len(whole) - 10} bytes with sha256")
    path.unlink()
    expect(r"episode-00001\.npz: No such file")
    other = directory / "episode-00002.npz"
    spare = other.read_bytes()
    other.write_bytes(b"")
    expect(r"episode-00001\.npz: No such file.*\n.*episode-00002\.npz: 0 bytes")
    other.write_bytes(spare)
    path.write_bytes(whole)
    content = json.loads(manifest)
    content["episodes"].pop()
    (directory / "manifest.json").write_text(json.dumps(content))
    expect("digests contradict one another")
    for text in (manifest[:50], "{}", "[]", '{"schema": 1, "episodes": []}'):
        (directory / "manifest.json").write_text(text)
        expect(r"manifest\.json: (missing or damaged|incomplete)")
    (directory / "manifest.json").write_text(json.dumps(json.loads(manifest) | {"schema": 2}))
    expect("schema 2, this version reads 1")
    (directory / "manifest.json").unlink()
    expect(r"manifest\.json: missing or damaged")


@pytest.mark.parametrize("spec", [SPEC, DISCRETE])
def test_the_probe_is_the_same_every_time(tmp_path, spec):
    first, second = FakeTask(spec), FakeTask(spec)
    a = probe_dataset(tmp_path / "a", first, EnvConfig(), 4)
    b = probe_dataset(tmp_path / "b", second, EnvConfig(), 4)
    assert a.digest == b.digest
    assert a.directory == probe_directory(tmp_path / "a", first, EnvConfig(), 4)
    assert a.directory.parent == tmp_path / "a" / "probe"
    assert len(a.directory.name) == 12
    assert all(env.closed for env in first.made + second.made)
    assert len(set(first.made[0].seeds)) == 4
    assert all(0 <= seed < 2**31 for seed in first.made[0].seeds)
    assert probe_dataset(tmp_path / "a", third := FakeTask(spec), EnvConfig(), 4).digest == a.digest
    assert third.made == []  # nothing is played when it is there


def test_an_episode_of_the_probe_does_not_depend_on_how_many_there_are(tmp_path):
    small = probe_dataset(tmp_path, FakeTask(), EnvConfig(), 2)
    large = probe_dataset(tmp_path, FakeTask(), EnvConfig(), 5)
    assert small.directory != large.directory
    assert all(same(a, b) for a, b in zip(small, list(large)[:2], strict=True))


def test_the_probe_of_another_task_or_view_is_another_dataset(tmp_path):
    places = {
        probe_directory(tmp_path, FakeTask(), EnvConfig(), 4),
        probe_directory(tmp_path, FakeTask(replace(SPEC, name="toy/else")), EnvConfig(), 4),
        probe_directory(tmp_path, FakeTask(), EnvConfig(camera=1), 4),
        probe_directory(tmp_path, FakeTask(), EnvConfig(), 6),
    }
    assert len(places) == 4
    a = probe_dataset(tmp_path, FakeTask(), EnvConfig(), 2)
    b = probe_dataset(tmp_path, FakeTask(replace(SPEC, name="toy/else")), EnvConfig(), 2)
    assert not np.array_equal(a[0].action, b[0].action)


def test_half_the_probe_is_random_and_half_smooth(tmp_path):
    task = FakeTask(replace(SPEC, time_limit=2000))
    episodes = list(probe_dataset(tmp_path, task, EnvConfig(), 6))

    def correlation(actions):
        centred = actions[1:] - actions[1:].mean(0)
        return (centred[1:] * centred[:-1]).mean(0) / centred.var(0)

    for index, episode in enumerate(episodes):
        assert np.abs(episode.action).max() <= 1
        if index % 2:
            assert (correlation(episode.action) > 0.4).all()
        else:
            assert (np.abs(correlation(episode.action)) < 0.1).all()
            assert np.abs(episode.action[1:].std(0) - 3**-0.5).max() < 0.05  # uniform on [-1, 1]


def all_starts(lengths, context, horizon):
    return [(e, t) for e, n in enumerate(lengths) for t in range(context - 1, n - horizon)]


@settings(deadline=None, max_examples=100)
@given(
    lengths=st.lists(st.integers(2, 15), min_size=1, max_size=5),
    context=st.integers(1, 5),
    horizon=st.integers(1, 6),
    starts=st.integers(1, 40),
)
def test_starts_are_valid_and_distinct(lengths, context, horizon, starts):
    episodes = [make_episode(n) for n in lengths]
    known = all_starts(lengths, context, horizon)
    if not known:
        with pytest.raises(UserError, match=r"no open-loop start.*a context of"):
            open_loop_starts(episodes, starts, context, horizon, np.random.default_rng(0))
        return
    found = open_loop_starts(episodes, starts, context, horizon, np.random.default_rng(0))
    pairs = [tuple(pair) for pair in found.tolist()]
    assert found.dtype == np.int64
    assert len(pairs) == len(set(pairs)) == min(starts, len(known))
    assert pairs == sorted(pairs)
    assert set(pairs) <= set(known)


def test_starts_are_uniform_over_all_valid_pairs():
    episodes = [make_episode(8), make_episode(3), make_episode(6)]
    known = all_starts([8, 3, 6], 2, 2)
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(known, 0)
    draws = 3000
    for _ in range(draws):
        for pair in open_loop_starts(episodes, 3, 2, 2, rng).tolist():
            counts[tuple(pair)] += 1
    expected = 3 * draws / len(known)
    assert len(known) == 8
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 24.3  # 0.1 % quantile, 7 degrees


def test_starts_on_a_dataset_load_no_episode(tmp_path, monkeypatch):
    dataset = build(tmp_path / "d", three(), RECIPE)
    monkeypatch.setattr(Dataset, "__getitem__", None)
    found = open_loop_starts(dataset, 3, 2, 2, np.random.default_rng(5))
    monkeypatch.undo()
    assert np.array_equal(found, open_loop_starts(three(), 3, 2, 2, np.random.default_rng(5)))


def test_no_start_says_what_is_needed():
    with pytest.raises(
        UserError, match=r"2 episodes of at most 4 steps, but .* need 16 steps; lower evaluation"
    ):
        open_loop_starts([make_episode(4), make_episode(5)], 3, 5, 12, np.random.default_rng(0))
    with pytest.raises(UserError, match="0 episodes"):
        open_loop_starts([], 3, 5, 12, np.random.default_rng(0))


def test_import_makes_a_dataset(tmp_path):
    paths = [tmp_path / f"{i}.npz" for i in range(3)]
    for path, episode in zip(paths, three(), strict=True):
        save_npz(episode, path)
    dataset = import_npz(paths, tmp_path / "imported", FakeTask())
    assert all(same(a, b) for a, b in zip(dataset, three(), strict=True))
    assert [s["name"] for s in dataset.recipe["sources"]] == ["0.npz", "1.npz", "2.npz"]
    assert dataset.recipe["task"] == SPEC.name
    assert import_npz(paths, tmp_path / "imported", FakeTask()).digest == dataset.digest
    with pytest.raises(UserError, match="exists and was made of other files"):
        import_npz(paths[:2], tmp_path / "imported", FakeTask())
    with pytest.raises(UserError, match="exists and was made with another heldout, heldout_seed"):
        import_npz(paths, tmp_path / "imported", FakeTask(), heldout=0.5, heldout_seed=1)
    assert len(Dataset(tmp_path / "imported")) == 3


def test_import_lists_every_problem_of_every_file(tmp_path):
    paths = [tmp_path / name for name in ("good.npz", "cut.npz", "other.npz", "loud.npz", "nowhere.npz")]
    save_npz(make_episode(4), paths[0])
    paths[1].write_bytes(paths[0].read_bytes()[:100])
    save_npz(make_episode(4, spec=replace(SPEC, action_dim=5)), paths[2])
    save_npz(make_episode(4, action=np.float32([[0, 0], [9, 0], [0, 0], [0, 0]])), paths[3])
    with pytest.raises(UserError) as raised:
        import_npz(paths, tmp_path / "d", FakeTask(replace(SPEC, time_limit=2)))
    lines = str(raised.value).splitlines()
    assert [line.strip().split(": ")[0] for line in lines[1:]] == [str(paths[i]) for i in (0, 1, 2, 3, 3, 4)]
    assert "3 steps, but toy/test ends after 2" in lines[1]
    assert "damaged or truncated, 100 bytes" in lines[2]
    assert "action is float32 [4, 5]" in lines[3]
    assert "action[1] = [9.0, 0.0] is outside" in lines[4]
    assert "missing" in lines[6]
    assert not (tmp_path / "d").exists()
    with pytest.raises(UserError, match=r"is a folder; name its files: .*\*\.npz"):
        import_npz([tmp_path], tmp_path / "d", FakeTask())
    with pytest.raises(UserError, match="no files were given"):
        import_npz([], tmp_path / "d", FakeTask())
