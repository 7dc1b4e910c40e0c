"""Figures on whole, partial and odd data: nothing overlaps, every point is in the CSV, counts are stated."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from analysis.colours import looks
from analysis.correlations import correlations
from analysis.figures import correlation, forecasts, learning_curves
from analysis.load import load
from analysis.report import draw
from analysis.style import inches, print_style, save, wrap
from tests.analysis.synthetic import CONTEXT, FIVE, HORIZON, Design, Options, named, variants, write_study

TASK = "dmc/cartpole-swingup"
TASKS = (TASK, "dmc/ball_in_cup-catch", "dmc/reacher-easy")
NAMES = ["correlation", "learning_curves", "training_returns", "scores", "horizon_error", "forecasts"]
PARTIAL = {
    ("images-latent-stochastic", TASK, 0): "running",
    ("images-latent-deterministic", TASK, 1): "diverged",
    ("rewards-latent-stochastic", TASK, 0): "failed",
    ("rewards-latent-deterministic", TASK, 0): "pending",
    ("rewards-latent-deterministic", TASK, 1): "pending",
}
CASES = {
    "whole": Options(episodes=20),
    "partial": Options(episodes=20, states=PARTIAL),
    "one run": Options(episodes=20, designs=FIVE[:1], seeds=1, random_agent=False, forecasts=False),
    "no random, nan": Options(
        episodes=20, seeds=3, random_agent=False, nan_errors={(design.name, TASK, 0) for design in FIVE}
    ),
    "rewards only": Options(episodes=20, designs=FIVE[2:]),
    "many": Options(episodes=20, every=5, designs=FIVE[:3] + variants(5), tasks=TASKS, seeds=2),
}


LONG = Design("a-design-of-many-words-in-one-name", 0.5, named("images-latent-stochastic").axes)
FORMS = [
    ("images-latent-stochastic", {"reward_from": source, "model": {"variant": variant}})
    for source in ("state", "image")
    for variant in ("standard", "window")
]
GRID = tuple(
    replace(named(name, i / 4), axes=named(name).axes | fields) for i, (name, fields) in enumerate(FORMS)
)
CASES["grid without names"] = Options(episodes=20, designs=(*GRID, LONG))
CASES["grid on tasks"] = Options(episodes=20, designs=GRID, tasks=TASKS, seeds=1)


def boxes(figure):
    """Text and box, in pixels, of all words that are drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        texts += axes.texts
        if axes.axison:
            texts += [axes.title, axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label]
            ticks = [tick for axis in (axes.xaxis, axes.yaxis) for tick in axis._update_ticks()]
            texts += [label for tick in ticks for label in (tick.label1, tick.label2)]
    drawn = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in drawn]


def overlap(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1.0 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1.0


@pytest.mark.parametrize("case", CASES)
def test_words_neither_overlap_nor_leave_the_figure(tmp_path, case):
    results = load([write_study(tmp_path, options=CASES[case])])
    with print_style():
        drawn = draw(results)
        assert drawn
        for each in drawn:
            words = boxes(each.figure)
            width, height = each.figure.canvas.get_width_height()
            outside = [
                w
                for w, box in words
                if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
            ]
            assert not outside, (each.name, outside)
            pairs = [(a, b) for (a, p), (b, q) in itertools.combinations(words, 2) if overlap(p, q)]
            assert not pairs, (each.name, pairs)
            sizes = {text.get_fontsize() for text in each.figure.findobj(Text) if text.get_text().strip()}
            assert min(sizes) >= 7
            assert each.figure.get_figwidth() <= 6.9
            assert len(each.data)
            assert "seed" in each.caption


def test_files_are_vector_with_embedded_fonts_and_provenance(tmp_path, results):
    with print_style():
        (scatter,) = correlation.draw(results, looks(results.designs))
        paths = save(scatter, tmp_path, ("pdf", "png"), '{"runs":["abc"]}')
    assert [path.name for path in paths] == ["correlation.csv", "correlation.pdf", "correlation.png"]
    pdf = paths[1].read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b'{"runs":["abc"]}' in pdf
    assert b"CreationDate" not in pdf
    assert not re.search(rb"/Subtype /Image", pdf)


def test_correlation_points_are_the_runs_and_their_means(results):
    with print_style():
        (drawn,) = correlation.draw(results, looks(results.designs))
    data = drawn.data
    assert (data[data["error"] == "image"]["seed"] >= 0).sum() == 4
    assert (data[data["error"] == "reward"]["seed"] >= 0).sum() == 10
    for _, cell in data.groupby(["error", "design"]):
        seeds, mean = cell[cell["seed"] >= 0], cell[cell["seed"] == -1]
        assert mean["x"].item() == pytest.approx(seeds["x"].mean())
        assert mean["score"].item() == pytest.approx(seeds["score"].mean())
    left, right = drawn.figure.axes[:2]
    assert left.get_shared_y_axes().joined(left, right)
    assert "so on the right alone: rewards-latent-stochastic" in drawn.caption


def test_numbers_above_the_panels_are_those_of_the_table(results):
    with print_style():
        (drawn,) = correlation.draw(results, looks(results.designs))
    title = drawn.figure.axes[1].get_title(loc="left").replace("−", "-")
    table = correlations(results)
    row = table[
        (table["error"] == "reward") & (table["sample"] == "all designs") & (table["level"] == "designs")
    ]
    row = row.iloc[0]
    assert f"r = {row['r']:.2f} [{row['r_low']:.2f}, {row['r_high']:.2f}]" in title
    assert f"ρ = {row['rho']:.2f} [{row['rho_low']:.2f}, {row['rho_high']:.2f}]" in title
    assert "n = 5 designs" in title


def test_curves_average_seeds_where_half_of_them_have_got(tmp_path):
    states = {(FIVE[0].name, TASK, seed): "failed" for seed in (0, 1)}
    options = Options(episodes=20, every=1, designs=FIVE[:1], seeds=3, states=states)
    results = load([write_study(tmp_path, options=options)])
    points = learning_curves.curves(results.episodes)
    means = points[points["seed"] == -1]
    assert means["n"].tolist() == [3] * 8
    first = results.episodes[results.episodes["iteration"] == 0]["return"]
    assert means["return"].iloc[0] == pytest.approx(first.mean())
    assert len(points[points["seed"] >= 0]) == len(results.episodes)


def test_long_curves_are_averaged_in_groups():
    steps = np.arange(1000)
    data = pd.DataFrame(
        {"task": "t", "design": "d", "seed": 0, "iteration": steps, "env_steps": steps, "return": steps}
    )
    points = learning_curves.curves(data)
    assert len(points) == 2 * learning_curves.POINTS
    assert points["return"].iloc[0] == pytest.approx(9.5)


def test_runs_on_a_dataset_are_drawn_against_gradient_steps(results):
    offline = replace(
        results, evaluations=results.evaluations.assign(env_steps=0), episodes=results.episodes[:0]
    )
    with print_style():
        (drawn,) = learning_curves.draw(offline, looks(results.designs))
    assert drawn.figure.axes[0].get_xlabel() == "Gradient steps"
    curve = drawn.data[drawn.data["seed"] == 0]
    known = results.evaluations.loc[results.evaluations["design"].isin(results.designs), "grad_steps"]
    assert set(curve["grad_steps"]) == set(known)
    assert len(set(known)) > 3


def test_the_sheet_shows_the_same_start_of_every_design(results):
    with print_style():
        (drawn,) = forecasts.draw(results, looks(results.designs))
    assert set(drawn.data["design"]) == set(results.designs)
    assert drawn.data.groupby(["episode", "column"]).ngroups == 1
    assert drawn.data.groupby("step")["reward"].nunique().eq(1).all()
    images = [image for axes in drawn.figure.axes for image in axes.images]
    rows = 1 + 2 + 1  # truth, two means, one sample
    assert len(images) == rows * HORIZON + min(CONTEXT, forecasts.CONTEXT_FRAMES)
    rewards = drawn.data.set_index("design").loc["rewards-latent-stochastic"]
    assert rewards["image_error"].isna().all()
    assert rewards["reward_forecast"].notna().all()


def test_every_frame_of_the_sheet_has_a_border(results):
    """A frame that is white all over is not missing."""
    with print_style():
        (drawn,) = forecasts.draw(results, looks(results.designs))
    axis = drawn.figure.axes[0]
    borders = [patch.get_bbox() for patch in axis.patches]
    assert len(borders) == len(axis.images)
    for image, border in zip(axis.images, borders, strict=True):
        left, right, bottom, top = image.get_extent()
        assert (border.x0, border.x1, border.y0, border.y1) == pytest.approx((left, right, top, bottom))


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


def test_forecasts_from_other_starts_are_left_out_and_named(tmp_path):
    study = write_study(tmp_path, options=Options(episodes=8, seeds=1))
    file = next((study / "runs").glob("rewards-pixel-deterministic-*")) / "forecasts" / "probe.npz"
    arrays = dict(np.load(file))
    arrays["start"] = arrays["start"] + 1
    np.savez(file, **arrays)
    results = load([study])
    with print_style():
        (drawn,) = forecasts.draw(results, looks(results.designs))
    assert "rewards-pixel-deterministic" not in set(drawn.data["design"])
    assert "Left out, as forecast from other starts: rewards-pixel-deterministic" in drawn.caption


def test_the_start_with_the_most_movement_is_chosen():
    context = np.zeros((3, 2, 3, 4, 4), np.uint8)
    truth = np.zeros((3, 5, 3, 4, 4), np.uint8)
    truth[1] = 200
    assert forecasts.most_movement(truth, context) == 1


def test_without_data_there_is_no_figure(tmp_path):
    names = [design.name for design in FIVE] + ["random"]
    states = {(name, TASK, seed): "pending" for name in names for seed in (0, 1)}
    results = load([write_study(tmp_path, options=Options(states=states))])
    with print_style():
        assert draw(results) == []
