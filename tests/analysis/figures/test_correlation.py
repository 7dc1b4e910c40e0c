"""The scatter of errors and scores: its points are the runs and their means, its numbers those of the table."""

import pytest

from analysis.correlations import correlations
from analysis.figures import correlation
from analysis.material import Material
from analysis.style import print_style


def test_correlation_points_are_the_runs_and_their_means(results):
    with print_style():
        (drawn,) = correlation.draw(Material(results))
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
        (drawn,) = correlation.draw(Material(results))
    title = drawn.figure.axes[1].get_title(loc="left").replace("−", "-")
    table = correlations(results)
    row = table[
        (table["error"] == "reward") & (table["sample"] == "all designs") & (table["level"] == "designs")
    ]
    row = row.iloc[0]
    assert f"r = {row['r']:.2f} [{row['r_low']:.2f}, {row['r_high']:.2f}]" in title
    assert f"ρ = {row['rho']:.2f} [{row['rho_low']:.2f}, {row['rho_high']:.2f}]" in title
    assert "5 designs" in title
