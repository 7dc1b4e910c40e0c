"""Forecasts are read one start at a time, and a part of them stands for the whole."""

import numpy as np
import pytest

from analysis.pictures import Forecasts, Pictures, Stack, part_of
from harness.disk import save_arrays
from harness.errors import UserError


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"context": (7, 5, 3, 8, 8), "truth": (7, 4, 3, 8, 8), "image": (7, 4, 3, 8, 8)}
    found = {name: rng.integers(0, 256, shape).astype(np.uint8) for name, shape in shapes.items()}
    found |= {name: rng.normal(size=(7, 4)).astype(np.float32) for name in ("reward", "reward_forecast")}
    return found | {"start": rng.integers(0, 50, (7, 2))}


@pytest.fixture
def file(tmp_path, arrays):
    path = tmp_path / "run" / "forecasts" / "probe.npz"
    path.parent.mkdir(parents=True)
    save_arrays(path, arrays)
    return path


def test_a_start_is_a_row_of_the_array(file, arrays):
    found = Pictures(file)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert len(found[name]) == 7
        for start in (0, 3, 6, -1):
            np.testing.assert_array_equal(found[name][start], array[start])
            assert found[name][start].dtype == array.dtype
        np.testing.assert_array_equal(found[name][2, [0, 1]], array[2, [0, 1]])
        np.testing.assert_array_equal(found[name], array)
        np.testing.assert_array_equal(found[name][1:3], array[1:3])


def test_starts_that_there_are_not_are_errors(file):
    with pytest.raises(IndexError):
        Pictures(file)["image"][7]
    with pytest.raises(KeyError):
        Pictures(file)["sample"]


def test_what_was_looked_at_stands_for_the_whole(file, arrays, tmp_path):
    found = Pictures(file)
    np.asarray(found["start"])
    _ = found["image"][3], found["truth"][5]
    save_arrays(tmp_path / "part.npz", part_of(found))
    part = Pictures(tmp_path / "part.npz")
    assert set(part) == set(arrays)
    assert part["image"].shape == arrays["image"].shape
    np.testing.assert_array_equal(part["image"][3], arrays["image"][3])
    np.testing.assert_array_equal(part["truth"][5, 1:], arrays["truth"][5, 1:])
    np.testing.assert_array_equal(part["start"], arrays["start"])
    np.testing.assert_array_equal(part["start"][2], arrays["start"][2])
    with pytest.raises(UserError, match="holds a part"):
        part["image"][4]
    with pytest.raises(UserError, match="holds a part"):
        np.asarray(part["truth"])
    assert (tmp_path / "part.npz").stat().st_size < file.stat().st_size / 2


def test_runs_without_forecasts_have_none(file, arrays, tmp_path):
    forecasts = Forecasts({"run": str(file.parent.parent), "gone": str(tmp_path / "gone")})
    assert isinstance(forecasts("run", "probe")["image"], Stack)
    assert forecasts("run", "own") is None
    assert forecasts("gone", "probe") is None
    assert forecasts("unknown", "probe") is None
    assert set(forecasts.opened) == {
        ("run", "probe"),
        ("run", "own"),
        ("gone", "probe"),
        ("unknown", "probe"),
    }
    save_arrays(file, {name: array for name, array in arrays.items() if name != "reward"})
    assert Forecasts({"run": str(file.parent.parent)})("run", "probe") is None
    save_arrays(file, {name: array[:0] for name, array in arrays.items()})
    assert Forecasts({"run": str(file.parent.parent)})("run", "probe") is None


def test_a_truncated_file_is_none_and_a_damaged_one_says_so(file):
    forecasts = Forecasts({"run": str(file.parent.parent)})
    content = file.read_bytes()
    found = forecasts("run", "probe")
    middle = content.index(b"image.npy") + 60
    file.write_bytes(content[:middle] + bytes(400) + content[middle + 400 :])
    with pytest.raises(UserError, match=r"probe\.npz is damaged \(image\); remove it"):
        np.asarray(found["image"])
    file.write_bytes(content[: len(content) // 2])
    assert Forecasts({"run": str(file.parent.parent)})("run", "probe") is None
