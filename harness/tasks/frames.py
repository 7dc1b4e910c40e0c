"""Pictures of any size made into the square frames that models see."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def square_frame(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A whole picture squeezed into a square, whatever its proportions.

    Each pixel of the frame is the mean of the area that it covers; a picture that is smaller than the frame is
    repeated in blocks.

    Args:
        picture: uint8 [h, w, 3].
        size: side of the frame.

    Returns:
        uint8 [3, size, size].
    """
    frame = np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX))
    return np.ascontiguousarray(frame.transpose(2, 0, 1))


def picture_complaint(picture: Any) -> str:
    """Why something that an environment drew is no picture, or the empty string."""
    if not isinstance(picture, np.ndarray):
        return f"its render() returned {type(picture).__name__}, not an array"
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        return f"its render() returned {picture.dtype} {list(picture.shape)}, not uint8 [h, w, 3]"
    return ""
