"""Which designs make a factorial, and what of its effects a reader gets to see."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis.evidence import Evidence
from analysis.factorial import COLUMNS, LEVELS, effect_words, effects, factorial_table, factorials, where
from analysis.figures.factorial import draw
from analysis.inference import mixed
from analysis.matching import planned_frame
from analysis.material import Material
from analysis.study import PlannedRun
from analysis.style import TALLEST, print_style
from analysis.tables import latex, markdown
from harness.config import RunConfig, run_id
from tests.analysis.synthetic import merged

CORNERS = tuple("-".join(corner) for corner in itertools.product(*LEVELS.values()))
TASKS = ("dmc/cheetah-run", "dmc/walker-walk", "dmc/reacher-easy")
SIGN = {level: 0.5 - i for pair in LEVELS.values() for i, level in enumerate(pair)}


def plan(designs=CORNERS, tasks=TASKS, seeds=3, **fields) -> pd.DataFrame:
    """Rows of planned runs of some corners, with further fields of all of them (sections by name)."""
    runs, configs, suffix = [], {}, fields.pop("suffix", "")
    for design, task, seed in itertools.product(designs, tasks, range(seeds)):
        axes = dict(zip(LEVELS, design.split("-"), strict=True))
        content = merged(
            {"task": task, "seed": seed, "size": "tiny", "design": design + suffix}, axes, fields
        )
        config = RunConfig.model_validate(content)
        dumped = config.model_dump(mode="json")
        runs.append(PlannedRun(run_id(config), "study", design + suffix, task, seed, dumped, Path("none")))
        configs[runs[-1].id] = config
    return planned_frame(runs, {run.id: run.design for run in runs}, configs)


def evidence(*plans: pd.DataFrame, noise=0.02, **planted: float) -> Evidence:
    """Evidence of runs whose score has the effects that are planted, `predict=0.2`, `space_dynamics=0.1`."""
    runs, rng = pd.concat(plans, ignore_index=True), np.random.default_rng(0)
    signs = {axis: runs[axis].map(SIGN).astype(float) for axis in LEVELS}
    value = 0.4 + noise * rng.normal(size=len(runs))
    for name, size in planted.items():
        value += size * np.prod([signs[axis] for axis in name.split("_")], axis=0)
    images = runs["predict"] == "images"
    errors = pd.Series(8 - 4 * value, index=runs.index)
    runs = runs.assign(value=value, image_error=errors.where(images), image_baseline=10.0)
    runs = runs.assign(reward_error=0.2 - 0.1 * value, reward_baseline=0.4, reward_varies=True)
    return Evidence(None, runs, pd.DataFrame())  # type: ignore[arg-type]


def material(found: pd.DataFrame, width="auto") -> Material:
    return SimpleNamespace(factorial=found, width=width)  # type: ignore[return-value]


def drawn(found: pd.DataFrame, width="auto"):
    with print_style():
        figures = draw(material(found, width))
        for each in figures:
            each.figure.canvas.draw()
    return figures


def test_the_eight_corners_are_a_factorial_and_other_designs_stay_out():
    others = (
        plan(("images-latent-stochastic",), model={"variant": "window"}, suffix="-window"),
        plan(CORNERS[::4], model={"open_loop_weight": 0.0}, suffix="-published"),
        plan(CORNERS[:4], reward_from="image", reward_gradient="stopped", suffix="-from-image"),
        plan(("images-latent-stochastic",), image_fraction=0.5, suffix="-half"),
    )
    [found] = factorials(pd.concat([plan(), *others], ignore_index=True))
    assert (found.data, found.name, dict(found.held), found.axes) == ("online", "", {}, tuple(LEVELS))
    assert set(found.runs["design"]) == set(CORNERS)
    assert len(found.runs) == 8 * 3 * 3


def test_factorials_that_differ_in_a_field_are_named_by_it():
    large = plan(size="large", suffix=" (large)")
    found = factorials(pd.concat([plan(), large], ignore_index=True))
    assert [each.name for each in found] == ["size=tiny", "size=large"]
    frame = effects(evidence(plan(), large, predict=0.2))
    assert [where(rows) for _, rows in frame.groupby("factorial", sort=False)] == [
        "online, size=tiny",
        "online, size=large",
    ]


def test_of_designs_in_one_corner_the_commonest_is_taken():
    """Another weight of the image, first in the plan, is no corner; designs that predict rewards do not have it."""
    light = plan(("images-latent-stochastic",), model={"image_scale": 0.25}, suffix="-light")
    [found] = factorials(pd.concat([light, plan()], ignore_index=True))
    assert set(found.runs["design"]) == set(CORNERS)


def test_a_missing_corner_leaves_the_faces_that_are_complete():
    found = factorials(plan(CORNERS[:7]))
    assert [dict(each.held) for each in found] == [
        {"predict": "images"},
        {"space": "latent"},
        {"dynamics": "stochastic"},
    ]
    frame = effects(evidence(plan(CORNERS[:7]), predict=0.2))
    assert set(frame["held"]) == {"predict=images", "space=latent", "dynamics=stochastic"}
    assert not frame[frame["held"] == "predict=images"]["effect"].str.contains("predict").any()


@pytest.mark.parametrize("designs", [CORNERS[:1], CORNERS[::4], CORNERS[::7]])
def test_fewer_than_two_axes_are_no_factorial(designs):
    frame = effects(evidence(plan(designs)))
    assert frame.empty
    assert list(frame.columns) == list(COLUMNS)
    assert factorial_table(frame) is None
    assert drawn(frame) == []


def test_no_models_at_all():
    assert effects(evidence(plan().iloc[:0])).empty


def test_planted_effects_are_found_by_both_estimators():
    frame = effects(evidence(plan(), predict=0.3, space_dynamics=-0.4))
    planted = {"predict": 0.3, "space:dynamics": -0.4}
    scores = frame[frame["response"] == "score"]
    assert set(scores["estimator"]) == {"contrast", "mixed"}
    for row in scores.itertuples():
        size = planted.get(row.effect, 0.0)
        assert abs(row.value - size) < 0.06
        assert size == 0 or row.low * row.high > 0
    assert set(scores["left_out"]) == {0}


def test_errors_are_in_units_of_their_baselines():
    frame = effects(evidence(plan(), noise=0, predict=0.2, space=0.1)).set_index(
        ["response", "effect", "estimator"]
    )
    assert frame.loc[("score", "space", "contrast"), "value"] == pytest.approx(0.1)
    assert frame.loc[("image_error", "space", "contrast"), "value"] == pytest.approx(-4 * 0.1 / 10)
    assert frame.loc[("reward_error", "predict", "contrast"), "value"] == pytest.approx(-0.1 * 0.2 / 0.4)
    assert {effect for response, effect, _ in frame.index if response == "image_error"} == {
        "space",
        "dynamics",
        "space:dynamics",
    }


def test_rewards_that_do_not_vary_have_no_error():
    found = evidence(plan(), predict=0.2)
    found.runs["reward_varies"] = found.runs["task"] != TASKS[0]
    frame = effects(found)
    assert set(frame.loc[frame["response"] == "reward_error", "tasks"].dropna()) == {2}
    found.runs["reward_varies"] = False
    assert "reward_error" not in set(effects(found)["response"])


def test_runs_that_are_missing_are_counted_and_said():
    found = evidence(plan(), predict=0.2)
    found.runs.loc[0, "value"] = np.nan  # a corner of a seed
    frame = effects(found)
    scores = frame[(frame["response"] == "score") & (frame["estimator"] == "contrast")]
    assert set(scores["left_out"]) == {7}
    table = factorial_table(frame)
    assert "7 runs with score (online) are not in the contrasts: their seed lacks a corner." in table.caption
    assert "fewer than 5 seeds" in table.caption


def test_online_and_offline_are_apart():
    offline = plan(data={"mode": "offline", "dataset": "pooled", "digest": "d" * 12})
    frame = effects(evidence(plan(), offline, predict=0.2))
    assert [where(rows) for _, rows in frame.groupby("data", sort=False)] == ["online", "on pooled"]


@pytest.mark.parametrize(
    ("tasks", "seeds", "says"),
    [
        (TASKS[:1], 1, "No mixed model: no task has two seeds"),
        (TASKS[:1], 3, "Tasks are fixed: 3 are the least"),
        (TASKS, 1, "No interval where every task has a single seed."),
    ],
)
def test_small_studies_say_what_they_lack(tasks, seeds, says):
    frame = effects(evidence(plan(tasks=tasks, seeds=seeds), predict=0.2))
    assert says in factorial_table(frame).caption
    [figure] = drawn(frame)
    assert says in figure.caption


def test_without_statsmodels_the_contrasts_stand_alone(monkeypatch):
    monkeypatch.setattr(mixed, "available", lambda: False)
    frame = effects(evidence(plan(), predict=0.2))
    assert frame.loc[frame["estimator"] == "mixed", "value"].isna().all()
    table = factorial_table(frame)
    assert "pip install 'world-models-study[stats]'" in table.caption
    [figure] = drawn(frame)
    assert len(figure.figure.legends[0].get_texts()) == 1


def test_the_table_reads_in_markdown_and_latex():
    table = factorial_table(effects(evidence(plan(), predict=0.2)))
    assert len(table.rows) == 7 + 3 + 7
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert "images − rewards" in markdown(table)
    assert r"predict $\times$ space" in latex(table)
    assert effect_words("predict:space:dynamics") == "predict × space × dynamics"


@pytest.mark.parametrize("width", ["auto", "page", "column"])
def test_the_figure_has_every_point_and_its_units(width):
    frame = effects(evidence(plan(), predict=0.2))
    [figure] = drawn(frame, width)
    assert figure.name == "factorial"
    pd.testing.assert_frame_equal(figure.data, frame)
    labels = [axis.get_xlabel().replace("\n", " ") for axis in figure.figure.axes]
    assert labels == [
        "Effect on windowed normalised score",
        "Effect on image error (1 = last frame repeated)",
        "Effect on reward error (1 = last reward repeated)",
    ]
    for axis in figure.figure.axes:
        left, right = axis.get_xlim()
        assert left < 0 < right


def test_many_factorials_are_a_figure_each():
    sizes = [plan(size=size, suffix=f" ({size})") for size in ("tiny", "small", "large")]
    frame = effects(evidence(*sizes, predict=0.2))
    figures = drawn(frame, "column")
    assert [each.name for each in figures] == [
        f"factorial_online-size-{s}" for s in ("tiny", "small", "large")
    ]
    assert all(each.figure.get_figheight() <= TALLEST for each in figures)
    assert sum(len(each.data) for each in figures) == len(frame)
