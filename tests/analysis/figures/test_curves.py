"""Learning curves: means where half of the seeds have got to, in groups where there are many points."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.figures import learning_curves
from analysis.load import load
from analysis.material import Material
from analysis.style import print_style
from tests.analysis.synthetic import FIVE, Options, write_study

TASK = "dmc/cartpole-swingup"


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
        (drawn,) = learning_curves.draw(Material(offline))
    assert drawn.figure.axes[0].get_xlabel() == "Gradient steps"
    curve = drawn.data[drawn.data["seed"] == 0]
    known = results.evaluations.loc[results.evaluations["design"].isin(results.designs), "grad_steps"]
    assert set(curve["grad_steps"]) == set(known)
    assert len(set(known)) > 3
