"""A TensorBoard events file: records of a protocol buffer each, framed by their length and checksums.

Written directly, since `SummaryWriter` draws videos through an encoder that is not there, and keeps a thread.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Moment:
    """Where an event stands: environment steps, and unix seconds."""

    step: int
    time: float


def opening(time: float) -> list[bytes]:
    """How a file begins: its version, and that what TensorBoard has read of this run so far is void."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    start = SessionLog(status=SessionLog.START)
    events = [
        Event(wall_time=time, file_version="brain.Event:2"),
        Event(wall_time=time, step=0, session_log=start),
    ]
    return [event.SerializeToString() for event in events]


def scalar_event(moment: Moment, values: Mapping[str, float]) -> bytes:
    """Numbers by tag."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return _event(moment, [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])


def picture_event(moment: Moment, tag: str, encoded: bytes, height: int, width: int) -> bytes:
    """An encoded picture; TensorBoard hands GIF and PNG to the browser as they are."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
    return _event(moment, [Summary.Value(tag=tag, image=picture)])


def picture_key(data: bytes) -> tuple[str, int] | None:
    """Tag and step of a picture's event; None of any other event."""
    from tensorboard.compat.proto.event_pb2 import Event

    event = Event.FromString(data)
    return next(((value.tag, event.step) for value in event.summary.value if value.HasField("image")), None)


def framed(data: bytes) -> bytes:
    """An event as it stands in a file: length, checksum of the length, data, checksum of the data."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def framed_in(path: Path) -> Iterator[bytes]:
    """The events of a file, up to the first that is damaged or cut off."""
    with path.open("rb") as file:
        while len(header := file.read(12)) == 12 and _checksum(header[:8]) == header[8:]:
            data = file.read(*struct.unpack("<Q", header[:8]))
            if file.read(4) != _checksum(data):
                return
            yield data


def _event(moment: Moment, values: Sequence[Any]) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    event = Event(wall_time=moment.time, step=moment.step, summary=Summary(value=values))
    data: bytes = event.SerializeToString()
    return data


def _checksum(data: bytes) -> bytes:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    return struct.pack("<I", masked_crc32c(data))
