"""Scores between the random agent and the oracle, and what is said where they cannot be."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.completeness import notes, sentence
from analysis.content import correlation_table, score_table
from analysis.figures import learning_curves, scores
from analysis.load import load
from analysis.material import Material
from analysis.numbers import numbers
from analysis.prediction import run_errors
from analysis.scales import scales
from analysis.scores import normalised_means, run_scores, score_cells
from analysis.style import print_style
from analysis.words import FINAL, WINDOWED
from tests.analysis.synthetic import FIVE, Options, write_study

TASKS = ("dmc/cartpole-swingup", "dmc/cheetah-run")
NAME = FIVE[0].name


def study(path, **options):
    given = {"designs": FIVE[:2], "episodes": 8, "forecasts": False, "oracle": ({},)}
    return load([write_study(path, options=Options(**(given | options)))])


def by_task(results):
    return {task: scale for (task, _), scale in scales(results).items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return study(tmp_path_factory.mktemp("runs"), tasks=TASKS, seeds=3)


def test_zero_is_the_random_agent_and_one_the_oracle(results):
    runs, found = run_scores(results), by_task(results)
    for task in TASKS:
        here = runs[runs["task"] == task]
        means = here.groupby("design")["score"].mean()
        assert found[task].zero == pytest.approx(means["random"])
        assert found[task].unit == pytest.approx(means["oracle"] - means["random"])
        assert (found[task].n, found[task].by_range) == ((3, 3), False)
        normal = here.groupby("design")["normalised"].mean()
        assert [normal["random"], normal["oracle"]] == pytest.approx([0, 1])
        row = here.iloc[0]
        assert row["normalised"] == pytest.approx((row["score"] - found[task].zero) / found[task].unit)


def test_a_cell_s_interval_is_that_of_its_score(results):
    scale = by_task(results)[TASKS[0]]
    cell = score_cells(results).set_index(["design", "task"]).loc[NAME, TASKS[0]]
    for name, end in (("", "mean"), ("_low", "low"), ("_high", "high")):
        assert cell[f"normalised{name}"] == pytest.approx((cell[end] - scale.zero) / scale.unit)


def test_the_mean_over_tasks_is_of_seeds_with_all_of_them(tmp_path):
    states = {(NAME, TASKS[1], 2): "failed"}
    results = study(tmp_path, tasks=TASKS, seeds=3, states=states)
    runs = run_scores(results)
    mine = runs[(runs["design"] == NAME) & (runs["seed"] < 2)]
    row = normalised_means(results).set_index("design").loc[NAME]
    assert row["normalised"] == pytest.approx(mine["normalised"].mean())
    assert (row["n"], row["interval"], row["task"]) == (2, "t", "all")
    assert row["normalised_low"] < row["normalised"] < row["normalised_high"]


def test_the_table_has_a_column_and_the_caption_its_ends(results, tmp_path):
    table = score_table(results)
    assert list(table.header) == ["design", "cartpole-swingup", "cheetah-run", FINAL, WINDOWED]
    last = {row[0]: row[-1] for row in table.rows}
    assert (last["random"], last["oracle"]) == ("0.00", "1.00")
    assert last[NAME].endswith("]")
    assert "0 is the random agent (3 seeds), 1 the oracle (3 seeds)" in table.caption
    assert "Mean over 2 tasks" in table.caption
    assert set(table.data.loc[table.data["task"] == "all", "design"]) == {row[0] for row in table.rows}
    single = score_table(study(tmp_path))
    assert list(single.header) == ["design", "cartpole-swingup", "95 % interval", FINAL, WINDOWED, "seeds"]
    assert single.rows[-1][3] == "1.00"


def test_numbers_have_them_too(results):
    found = numbers(results)
    assert found["score.oracle.all.normalised"] == "1.00"
    assert found[f"score.{NAME}.{TASKS[0]}.normalised.low"] < found[f"score.{NAME}.{TASKS[0]}.normalised"]


def test_the_oracle_is_a_baseline_and_no_design(results):
    assert results.designs == [design.name for design in FIVE[:2]]
    assert results.baselines == ["random", "oracle"]
    assert score_cells(results)["design"].drop_duplicates().tolist() == [
        *results.designs,
        "random",
        "oracle",
    ]
    assert set(run_errors(results)["design"]) == set(results.designs)
    assert "2 designs, the random agent and the oracle on 2 tasks." in sentence(results)
    assert not any("normalised" in note for note in notes(results))
    assert correlation_table(results).data["designs"].max() == 2


def test_figures_show_both_baselines(results):
    with print_style():
        (drawn,) = scores.draw(Material(results))
        curves = learning_curves.draw(Material(results))[0]
    words = [text.get_text() for text in drawn.figure.axes[0].texts]
    assert words == ["random", "oracle"]
    assert "Dashed: random agent. Dotted: oracle." in drawn.caption
    assert {"random", "oracle"} <= set(curves.data["design"])
    low, high = curves.figure.axes[0].get_ylim()
    levels = curves.data.loc[curves.data["design"].isin(["random", "oracle"]), "return"]
    assert low < levels.min() < levels.max() < high


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"oracle": ()}, "scores are not normalised: the oracle is missing; add {agent: [random, oracle], "),
        (
            {"oracle": (), "random_agent": False},
            "scores are not normalised: the random agent and the oracle are missing; add {agent: [random, oracle]",
        ),
        (
            {"states": {("oracle", TASKS[0], seed): "running" for seed in (0, 1)}},
            "scores are not normalised yet: the random agent or the oracle is not finished",
        ),
    ],
)
def test_without_a_baseline_there_is_no_column_and_a_note(tmp_path, options, said):
    results = study(tmp_path, **options)
    assert WINDOWED not in score_table(results).header
    (told,) = [note for note in notes(results) if note.startswith(said)]
    zero = "the random agent" if options.get("random_agent", True) else "the lowest score"
    assert f"divide returns by their range instead, with 0 at {zero}" in told
    assert score_cells(results)["normalised"].isna().all()


@pytest.mark.parametrize(("gap", "by_range"), [(99.0, True), (101.0, False), (-50.0, True)])
def test_baselines_too_near_to_each_other_are_no_scale(results, gap, by_range):
    """A dm_control return is between 0 and 1000: a tenth of that is 100."""
    evaluations = results.evaluations.copy()
    for agent, level in (("random", 300.0), ("oracle", 300.0 + gap)):
        evaluations.loc[evaluations["design"] == agent, "return"] = level
    changed = replace(results, evaluations=evaluations)
    scale = by_task(changed)[TASKS[0]]
    assert scale.by_range is by_range
    assert scale.unit == pytest.approx(1000 if by_range else gap)
    why = "scores less than the random agent on" if gap < 0 else "differ by less than 10% of the range"
    told = [note for note in notes(changed) if "normalised" in note]
    assert len(told) == (2 if by_range else 0)
    assert all(why in note and note.endswith(": its scores are normalised by the range") for note in told)
    assert ("By the range of returns" in score_table(changed).caption) is by_range


def test_of_several_oracles_the_first_one_counts(tmp_path):
    results = study(tmp_path, oracle=({}, {"horizon": 4}))
    assert results.baselines == ["random", "oracle (horizon=12)", "oracle (horizon=4)"]
    assert by_task(results)[TASKS[0]].oracle == "oracle (horizon=12)"
    cells = score_cells(results).set_index("design")
    assert cells.loc["oracle (horizon=12)", "normalised"] == pytest.approx(1)
    assert np.isfinite(cells.loc["oracle (horizon=4)", "normalised"])
    with print_style():
        (drawn,) = scores.draw(Material(results))
    rows = [label.get_text().replace("\n", " ") for label in drawn.figure.axes[0].get_yticklabels()]
    assert rows == [*results.designs, "oracle (horizon=4)"]
