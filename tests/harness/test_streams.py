import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.streams import Streams, stream_key


def test_a_stream_is_its_key():
    a, b = Streams(1, "t", "x"), Streams(1, "t", "x")
    assert a.numpy("batch", 3).random() == b.numpy("batch", 3).random()
    assert torch.equal(
        a.noise({"n": ((2, 3), "normal")}, "loss_noise", 5)["n"],
        b.noise({"n": ((2, 3), "normal")}, "loss_noise", 5)["n"],
    )


@pytest.mark.parametrize("other", [Streams(2, "t", "x"), Streams(1, "u", "x")])
def test_seed_and_task_enter_every_stream(other):
    assert Streams(1, "t", "x").key("batch", 0) != other.key("batch", 0)


def test_the_design_enters_model_streams_only():
    a, b = Streams(1, "t", "x"), Streams(1, "t", "y")
    for purpose in ("batch", "episode", "exploration", "planner_noise", "open_loop_starts"):
        assert a.key(purpose, 1) == b.key(purpose, 1)
    for purpose in ("model_init", "loss_noise", "observe_noise", "predict_noise"):
        assert a.key(purpose, 1) != b.key(purpose, 1)


def test_a_row_draws_the_same_whatever_its_neighbours():
    streams = Streams(0, "t", "x")
    draws = {"n": ((1, 4), "normal"), "u": ((1, 2), "uniform")}
    rows = [("collect", 3, 0), ("final", 1, 7)]
    both = streams.row_noise(draws, "observe_noise", rows)
    alone = streams.row_noise(draws, "observe_noise", rows[1:])
    assert both["n"].shape == (2, 4)
    assert torch.equal(both["n"][1:], alone["n"])
    assert torch.equal(both["u"][1:], alone["u"])
    assert 0 <= both["u"].min() <= both["u"].max() < 1


def test_keys_are_frozen():
    """A changed key would orphan every run; this number is for ever."""
    assert stream_key(0, "toy/point-mass", "batch", 0) == 979593368390549769


@given(st.lists(st.one_of(st.integers(0, 2**31), st.text(max_size=5)), min_size=1, max_size=4))
def test_keys_are_positive_63_bit_numbers(parts):
    assert 0 <= stream_key(*parts) < 2**63


@given(st.lists(st.integers(0, 50), min_size=2, max_size=2, unique=True))
def test_different_indices_have_different_keys(indices):
    a, b = indices
    assert stream_key(0, "t", "p", a) != stream_key(0, "t", "p", b)
    assert stream_key(0, "t", "p", a, b) != stream_key(0, "t", "p", b, a)
