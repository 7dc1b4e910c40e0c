"""Videos: small, looping, aligned in time, of the seeds that they name."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from analysis.figures import forecasts, videos
from analysis.figures.kept import kept, most_movement
from analysis.load import load
from analysis.material import Material
from analysis.style import print_style
from tests.analysis.synthetic import CONTEXT, FIVE, HORIZON, Options, write_study

TASK = "dmc/cartpole-swingup"


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    options = Options(episodes=8, designs=FIVE[:3], seeds=3)
    return Material(load([write_study(tmp_path_factory.mktemp("three"), options=options)]))


def frames(data):
    opened = Image.open(io.BytesIO(data))
    found = []
    for i in range(opened.n_frames):
        opened.seek(i)
        found.append((np.asarray(opened.convert("RGB")).astype(int), opened.info["duration"]))
    return found, opened.info.get("loop")


def test_a_video_shows_three_seeds_in_step(three):
    found = videos.videos(three, TASK)
    assert [video.design for video in found] == [design.name for design in FIVE[:2]]
    for video in found:
        assert len(video.data) <= videos.MOST_BYTES
        assert video.mime == "image/webp"
        assert [rank for rank, _ in video.ranks] == ["best", "median", "worst"]
        assert len({seed for _, seed in video.ranks}) == 3
        pictures, loop = frames(video.data)
        assert loop == 0
        assert len(pictures) == videos.CONTEXT_FRAMES + HORIZON == videos.CONTEXT_FRAMES + video.steps
        assert pictures[0][0].shape[:2] == video.size[::-1]
        half = video.size[1] // 2
        apart = [np.abs(picture[:half] - picture[half:]) for picture, _ in pictures]
        rows = slice(videos._BORDER, half - videos._BORDER)
        before, after = (apart[i][rows, 2:34].mean() for i in (0, -1))
        assert before < 5  # the context is the same above and below, but for what WebP loses
        assert after > 2 * before
    assert found[0].caption.startswith("images-latent-stochastic: best (seed ")


def test_seeds_are_ranked_by_their_error(three):
    found = kept(three, TASK)
    for seeds in found.seeds.values():
        errors = [forecast.error for forecast in seeds]
        assert errors == sorted(errors)
        assert np.isfinite(errors).all()
    design = FIVE[0].name
    assert found.ranked(design, "best").seed != found.ranked(design, "worst").seed


def test_videos_are_equal_for_equal_forecasts(three):
    again = Material(three.results)
    assert [video.data for video in videos.videos(again, TASK)] == [
        video.data for video in videos.videos(three, TASK)
    ]


def test_without_webp_there_are_gifs(three, monkeypatch):
    monkeypatch.setattr("PIL.features.check", lambda _: False)
    video = videos.videos(three, TASK)[0]
    assert video.mime == "image/gif"
    assert len(frames(video.data)[0]) == videos.CONTEXT_FRAMES + HORIZON


def test_of_one_seed_one_is_shown(results):
    one = replace(results, runs=results.runs[results.runs["seed"] == 0])
    (video, *_) = videos.videos(Material(one), TASK)
    assert [rank for rank, _ in video.ranks] == ["best"]
    with print_style():
        assert forecasts.draw_seeds(Material(one)) == []


def test_the_sheet_shows_the_same_start_of_every_design(results):
    with print_style():
        (drawn,) = forecasts.draw(Material(results))
    assert set(drawn.data["design"]) == set(results.designs)
    assert drawn.data.groupby(["episode", "column"]).ngroups == 1
    assert drawn.data.groupby("step")["reward"].nunique().eq(1).all()
    axis = drawn.figure.axes[0]
    assert len(axis.images) == 1 + 2 + 1  # truth, two means, one sample
    (borders,) = axis.collections
    assert len(borders.get_paths()) == 4 * HORIZON + min(CONTEXT, forecasts.CONTEXT_FRAMES)
    rewards = drawn.data.set_index("design").loc["rewards-latent-stochastic"]
    assert rewards["image_error"].isna().all()
    assert rewards["reward_forecast"].notna().all()


def test_frames_are_where_their_borders_are():
    frame = np.full((3, 8, 8), 255, np.uint8)
    picture = forecasts.mosaic([(0, frame), (2.45, frame)], 3.45)
    clear = picture[0, :, 3] == 0
    unit = 8 / (1 - forecasts._SPACE)
    assert not clear[:8].any()
    assert clear[8 : round(2.45 * unit)].all()
    assert not clear[round(2.45 * unit) : round(2.45 * unit) + 8].any()


def test_forecasts_from_other_starts_are_left_out_and_named(tmp_path):
    study = write_study(tmp_path, options=Options(episodes=8, seeds=1))
    file = next((study / "runs").glob("rewards-pixel-deterministic-*")) / "forecasts" / "probe.npz"
    arrays = dict(np.load(file))
    arrays["start"] = arrays["start"] + 1
    np.savez(file, **arrays)
    with print_style():
        (drawn,) = forecasts.draw(Material(load([study])))
    assert "rewards-pixel-deterministic" not in set(drawn.data["design"])
    assert "Left out, as forecast from other starts: rewards-pixel-deterministic" in drawn.caption


def test_the_start_with_the_most_movement_is_chosen():
    context = np.zeros((3, 2, 3, 4, 4), np.uint8)
    truth = np.zeros((3, 5, 3, 4, 4), np.uint8)
    truth[1] = 200
    assert most_movement(truth, context) == 1
