"""Names in lines of a width."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.families import abbreviate, key_of, names_fitted
from analysis.style import inches, wrap


def test_long_names_are_wrapped_to_a_width():
    assert wrap("short", 2.0) == "short"
    assert wrap("images-latent-stochastic (window, from image)", 1.5).splitlines() == [
        "images-latent-stochastic",
        "(window, from image)",
    ]
    assert wrap("images-latent-stochastic", 0.8).splitlines() == ["images-latent-", "stochastic"]
    lines = wrap("images-latent-stochastic (planner.horizon=12, window)", 1.2)
    assert lines.replace("\n", "").replace(" ", "") == "images-latent-stochastic(planner.horizon=12,window)"
    assert inches(lines) <= 1.2


def test_a_word_wider_than_a_line_is_the_last_line():
    assert wrap("mine (planner.name=mypl.shape:HillClimber)", 1.9).splitlines() == [
        "mine",
        "(planner.name=mypl.shape:HillClimber)",
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.text("aW.:=_-() ", max_size=60).filter(lambda text: text == " ".join(text.split())),
    st.sampled_from([0.3, 0.8, 1.9]),
)
def test_wrapping_keeps_every_letter_in_lines_that_can_be_measured(text, width):
    lines = wrap(text, width).split("\n")
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(lines) or not text
    for line in lines:
        assert inches(line) <= width or not re.search(r"[ -].", line)


def test_names_are_short_together_or_not_at_all():
    names = ["images-latent-stochastic-window", *(f"mine-{i}" for i in range(7))]
    assert names_fitted(names, 3.0) == names
    assert names_fitted(names, 1.5) == ["img-lat-stoch-window", *names[1:]]
    assert names_fitted(names[:2], 1.5) == ["images-latent-stochastic-\nwindow", "mine-0"]
    assert key_of(names, names) == ""
    assert key_of(["img-lat-stoch-window"], names).startswith("img = images, ")


def test_fields_in_brackets_are_short_and_told():
    name = "rewards-pixel-deterministic (planner.horizon=3, cem, proposals=32)"
    assert abbreviate(name) == "rew-pix-det (h=3, cem, n=32)"
    assert abbreviate("mine (on from-images-latent-stochastic)") == "mine (on from-img-lat-stoch)"
    assert key_of(["rew-pix-det\n(h=3, cem, n=32)"], [name]).endswith("h = horizon, n = proposals.")
