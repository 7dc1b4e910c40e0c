import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageSequence

from harness.errors import RunError, UserError
from harness.pictures import encode, episode_video, forecast_video, reward_trace, save_video

BLUE, INK = (0, 114, 178), (40, 40, 40)


def moving(steps, side=16, seed=0):
    """Frames no two of which are equal."""
    return np.random.default_rng(seed).integers(0, 256, (steps, 3, side, side), dtype=np.uint8)


def decoded(content):
    with Image.open(io.BytesIO(content)) as video:
        return [
            np.asarray(frame.convert("RGB")).transpose(2, 0, 1) for frame in ImageSequence.Iterator(video)
        ]


@pytest.mark.parametrize("form", ["gif", "webp", "png"])
def test_encoded_frames_come_back(form):
    # Few colours in large areas, so that a GIF's palette is exact and WebP loses little.
    frames = np.zeros((7, 3, 32, 32), np.uint8)
    for t in range(7):
        frames[t, t % 3, 4 * t : 4 * t + 8] = 200
    found = decoded(encode(frames, form))
    assert len(found) == 7
    error = np.abs(np.stack(found).astype(int) - frames)
    assert error.max() == 0 if form != "webp" else error.mean() < 4


@pytest.mark.parametrize(
    ("form", "fps", "milliseconds"), [("gif", 20, 50), ("png", 4, 250), ("gif", 500, 20)]
)
def test_a_frame_lasts_as_the_rate_says(form, fps, milliseconds):
    with Image.open(io.BytesIO(encode(moving(3), form, fps))) as video:
        video.seek(1)
        assert video.info["duration"] == milliseconds
        assert video.info["loop"] == 0  # for ever


def test_a_still_stretch_keeps_its_time():
    frames = moving(2)[[0, 0, 0, 1]]
    with Image.open(io.BytesIO(encode(frames, "gif", 10))) as video:
        assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(video)) == 400


def test_a_suffix_chooses_the_format(tmp_path):
    for suffix, form in ((".gif", "GIF"), (".webp", "WEBP"), (".png", "PNG"), (".APNG", "PNG")):
        save_video(tmp_path / f"video{suffix}", moving(3))
        with Image.open(tmp_path / f"video{suffix}") as video:
            assert (video.format, video.n_frames) == (form, 3)


@pytest.mark.parametrize("name", ["video.mp4", "video"])
def test_other_formats_are_refused_with_those_that_there_are(tmp_path, name):
    with pytest.raises(UserError, match=r"use \.gif, \.webp or \.png"):
        save_video(tmp_path / name, moving(3))
    assert not list(tmp_path.iterdir())


def test_a_missing_directory_is_a_clear_error(tmp_path):
    with pytest.raises(RunError, match="No such file"):
        save_video(tmp_path / "nowhere" / "video.gif", moving(3))


def test_an_episode_shows_its_frames_magnified():
    frames = moving(5)
    video = episode_video(frames, np.ones(5, np.float32))
    assert video.shape[:2] == (5, 3)
    large = frames.repeat(7, 2).repeat(7, 3)  # 16 pixels become 112
    np.testing.assert_array_equal(video[:, :, :112], large)
    assert (video[:, :, 112:].min((1, 2, 3)) < 100).all()  # text


def test_a_long_episode_is_thinned_evenly():
    frames = moving(11)
    video = episode_video(frames, np.zeros(11), most=4)
    assert len(video) == 4
    np.testing.assert_array_equal(video[:, :, 0, 0], frames[::3, :, 0, 0])


def test_a_forecast_stands_below_the_truth():
    context, truth, forecast = (
        moving(6, seed=1).reshape(2, 3, 3, 16, 16),
        *(moving(8, seed=seed).reshape(2, 4, 3, 16, 16) for seed in (2, 3)),
    )
    video = forecast_video(context, truth, forecast, starts=1)
    assert len(video) == 3 + 4
    rows = [slice(3 + 118 * row, 115 + 118 * row) for row in range(3)]
    frame = (slice(None, None, 7), slice(71, 183, 7))  # beside the names, the first of each 7 equal pixels

    def shown(t, row):
        return video[t][:, rows[row]][(slice(None), *frame)]

    for t in range(3):
        np.testing.assert_array_equal(shown(t, 0), context[0, t])
        np.testing.assert_array_equal(shown(t, 1), context[0, t])
        assert (shown(t, 2) == 255).all()
    for t in range(4):
        np.testing.assert_array_equal(shown(3 + t, 0), truth[0, t])
        np.testing.assert_array_equal(shown(3 + t, 1), forecast[0, t])
        difference = np.abs(truth[0, t].astype(int) - forecast[0, t])
        np.testing.assert_array_equal(shown(3 + t, 2), 255 - difference)


def test_a_forecast_is_framed_in_blue_once_it_is_one():
    context, truth = moving(4).reshape(2, 2, 3, 16, 16), moving(6).reshape(2, 3, 3, 16, 16)
    video = forecast_video(context, truth, truth, difference=False)
    blue = [(frame == np.reshape(BLUE, (3, 1, 1))).all(0).sum() > 100 for frame in video]
    assert blue == [False, False, True, True, True]


def test_starts_stand_side_by_side():
    context, truth = moving(10).reshape(5, 2, 3, 16, 16), moving(10).reshape(5, 2, 3, 16, 16)
    widths = [forecast_video(context, truth, truth, starts=n).shape[-1] for n in (1, 2, 5, 9)]
    assert widths[1] - widths[0] == 118
    assert widths[2] == widths[3] == widths[0] + 4 * 118


def rows_of(picture, colour, columns):
    """Mean row of a colour's pixels inside some columns of the first panel."""
    hit = (np.abs(picture[:, 24:124, columns].astype(int) - np.reshape(colour, (3, 1, 1))) < 8).all(0)
    return np.nonzero(hit)[0].mean()


def test_a_trace_draws_forecast_and_truth_to_one_scale():
    truth, forecast = np.tile(np.linspace(0, 1, 6), (2, 1)), np.ones((2, 6))
    picture = reward_trace(truth, forecast, starts=1)
    left, right = slice(54, 70), slice(184, 200)
    assert rows_of(picture, BLUE, left) == pytest.approx(rows_of(picture, BLUE, right), abs=1.5)
    assert rows_of(picture, INK, left) > rows_of(picture, BLUE, left) + 70  # the truth starts far below
    assert reward_trace(truth, forecast, starts=2).shape[2] > picture.shape[2] + 100


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e6])
def test_a_trace_of_any_forecast_is_drawn(value):
    assert reward_trace(np.zeros((1, 1)), np.full((1, 1), value)).shape[0] == 3
    assert reward_trace(np.full((2, 3), np.nan), np.full((2, 3), value)).dtype == np.uint8


def test_nothing_heavy_is_imported():
    code = (
        "import sys, harness.pictures, harness.tensorboard, harness.evaluate\n"
        "print(sorted({'torch', 'PIL', 'tensorboard', 'matplotlib', 'mujoco'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
