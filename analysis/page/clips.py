"""The page's videos of forecasts."""

from __future__ import annotations

import base64
from typing import Any

from analysis.figures.videos import videos
from analysis.material import Material
from analysis.words import short_task

MOST_BYTES = 12_000_000
"""Of all videos of a page; further tasks are named instead."""
_CAPTION = (
    "What happened above, the mean forecast below it, side by side in time, from the same start; of each design that "
    "predicts images the best, the median and the worst seed by image error. Grey frames: context, seen by the model; "
    "coloured ones: forecast."
)


def clips(material: Material) -> dict[str, Any] | None:
    """A caption, and the videos by task; None where no forecasts were kept."""
    found: dict[str, list[dict[str, str]]] = {}
    left_out = []
    total = 0
    for task in material.results.tasks:
        if total > MOST_BYTES:
            left_out.append(short_task(task))
            continue
        for video in videos(material, task):
            total += len(video.data)
            title = f"{video.design} on {short_task(task)}"
            found.setdefault(short_task(task), []).append(
                {
                    "task": task,
                    "design": video.design,
                    "title": title,
                    "mime": video.mime,
                    "data": base64.b64encode(video.data).decode(),
                    "alt": f"Looping video: true and predicted frames of {title}",
                    "caption": video.caption,
                }
            )
    if not found:
        return None
    rest = f" Left out to keep the page small: {', '.join(left_out)}." if left_out else ""
    return {"caption": _CAPTION + rest, "tasks": found}
