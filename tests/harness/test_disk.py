import errno

import numpy as np
import pytest

from harness.disk import ArrayReader, as_disk_error, disk_errors, full_disk_remedy, save_arrays
from harness.errors import RunError


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(4, 3, 2),
        np.asfortranarray(np.arange(12.0).reshape(4, 3)),
        np.arange(5),
        np.zeros((3, 0), np.float32),
    ],
)
def test_the_first_row_alone_is_read(tmp_path, array):
    save_arrays(tmp_path / "a.npz", {"x": array})
    with ArrayReader(tmp_path / "a.npz", "") as reader:
        row = reader.read_row("x")
    assert row.dtype == array.dtype
    assert np.array_equal(row, array[0])


def test_a_row_that_is_not_there_is_damage(tmp_path):
    save_arrays(tmp_path / "a.npz", {"x": np.zeros((0, 3))})
    with ArrayReader(tmp_path / "a.npz", "Do this.") as reader:
        for name in ("x", "y"):
            with pytest.raises(RunError, match=r"damaged or truncated.*Do this") as raised:
                reader.read_row(name)
            assert raised.value.kind == "corrupt"


def test_another_remedy_for_a_full_disk_alone(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    assert "wm retry" in as_disk_error(full, tmp_path).remedy
    with pytest.raises(RunError) as raised, full_disk_remedy("Do that."), disk_errors(tmp_path):
        raise full
    assert (raised.value.kind, raised.value.remedy) == ("disk", "Do that.")
    assert str(raised.value) == f"{tmp_path}: cannot write: No space left on device. Do that."
    with pytest.raises(RunError, match="permissions"), full_disk_remedy("Do that."), disk_errors(tmp_path):
        raise OSError(errno.EROFS, "Read-only file system")
