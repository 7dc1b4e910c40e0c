import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.events import Moment, framed, framed_in, opening, picture_event, picture_key, scalar_event

pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")


@given(st.lists(st.binary(max_size=40), max_size=5), st.data())
def test_a_cut_file_gives_the_events_before_the_cut(tmp_path_factory, events, data):
    path = tmp_path_factory.mktemp("events") / "file"
    content = b"".join(map(framed, events))
    ends = list(itertools.accumulate(len(framed(event)) for event in events))
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    assert list(framed_in(path)) == events[: sum(end <= cut for end in ends)]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.data())
def test_a_flipped_bit_is_never_taken_for_an_event(tmp_path_factory, events, data):
    path = tmp_path_factory.mktemp("events") / "file"
    content = bytearray(b"".join(map(framed, events)))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    found = list(framed_in(path))
    assert len(found) < len(events)
    assert found == events[: len(found)]


def test_pictures_are_told_from_other_events():
    moment = Moment(7, 1.0)
    assert picture_key(picture_event(moment, "a/b", b"GIF89a", 2, 3)) == ("a/b", 7)
    assert [picture_key(event) for event in (*opening(0.0), scalar_event(moment, {"x": 1.0}))] == [None] * 3
