"""Scores, errors and their correlation, against the records and the effects that were put in."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.completeness import mixed, notes, too_small
from analysis.content import correlation_table
from analysis.correlations import correlations
from analysis.figures import correlation
from analysis.load import load
from analysis.material import Material
from analysis.prediction import FLAT, horizon_table, over_horizon, run_errors
from analysis.scores import run_scores, score_cells
from analysis.style import print_style
from harness.rundir import RunDir
from tests.analysis.synthetic import FIVE, HORIZON, Options, fractions, kinds, write_study

TASK = "dmc/cartpole-swingup"


def records(results, run, kind, **where):
    path = results.runs.loc[results.runs["run"] == run, "path"].iloc[0]
    return [
        r for r in RunDir(path).read_metrics({kind}) if all(r[key] == value for key, value in where.items())
    ]


def test_a_score_is_the_mean_return_of_the_final_phase(results):
    scores = run_scores(results)
    for row in scores.itertuples():
        final = [record["return"] for record in records(results, row.run, "evaluation", phase="final")]
        assert row.score == pytest.approx(np.mean(final))
        assert row.episodes == len(final) == 5
    trained = scores[scores["agent"] == "model"].iloc[0]
    late = [r for r in records(results, trained["run"], "evaluation") if r["iteration"] >= 18]
    assert [r["phase"] for r in late] == ["scheduled"] + ["final"] * 5
    assert trained["windowed"] == pytest.approx(late[0]["return"])


def test_cells_average_seeds_and_put_the_random_agent_last(results):
    cells, scores = score_cells(results), run_scores(results)
    assert cells["design"].tolist() == [*results.designs, "random"]
    for cell in cells.itertuples():
        mine = scores.loc[scores["design"] == cell.design, "score"]
        assert cell.mean == pytest.approx(mine.mean())
        assert (cell.n, cell.planned, cell.interval) == (2, 2, "t")


def test_ended_and_unfinished_runs_are_counted_not_dropped(tmp_path):
    name = FIVE[0].name
    states = {(name, TASK, 0): "diverged", (name, TASK, 1): "failed", (name, TASK, 2): "running"}
    options = Options(episodes=20, designs=FIVE[:1], seeds=5, states=states | {(name, TASK, 3): "pending"})
    cells = score_cells(load([write_study(tmp_path, options=options)])).set_index("design")
    cell = cells.loc[name]
    assert [cell[key] for key in ("planned", "n", "diverged", "failed", "unfinished")] == [5, 1, 1, 1, 2]
    assert cells.loc["random", "n"] == 5
    assert cells.loc["random", "interval"] == "t"


def test_errors_are_final_means_over_the_horizon(results):
    errors = run_errors(results)
    for row in errors.itertuples():
        (record,) = records(results, row.run, "open_loop", phase="final", dataset="probe")
        assert row.reward_error == pytest.approx(np.mean(record["reward_error_mean"]))
        if row.predict == "images":
            assert row.image_error == pytest.approx(np.mean(record["image_error_mean"]))
        else:
            assert np.isnan(row.image_error)


def test_unfinished_runs_show_their_last_scheduled_errors_but_do_not_correlate(tmp_path):
    name = FIVE[0].name
    options = Options(episodes=20, designs=FIVE[:1], seeds=2, states={(name, TASK, 1): "running"})
    results = load([write_study(tmp_path, options=options)])
    steps = over_horizon(results, "image")
    assert steps.groupby("seed")["phase"].first().tolist() == ["final", "scheduled"]
    assert steps.groupby("seed").size().tolist() == [HORIZON, HORIZON]
    assert run_errors(results)["image_error"].notna().tolist() == [True, False]
    assert horizon_table(results)["unfinished"].tolist() == [1, 1]


def test_the_horizon_table_compares_with_repeating_the_last(results):
    table = horizon_table(results).set_index(["error", "design"])
    row = table.loc["image", "images-latent-stochastic"]
    steps = over_horizon(results, "image")
    steps = steps[steps["design"] == "images-latent-stochastic"]
    assert row["mean"] == pytest.approx(steps["value"].mean())
    assert row["baseline"] == pytest.approx(np.mean(14 * (1 - np.exp(-np.arange(1, 13) / 5))))
    assert row["ratio"] == pytest.approx(row["mean"] / row["baseline"])
    assert row["first"] < row["last"]
    assert ("image", "rewards-latent-stochastic") not in table.index


def test_a_planted_correlation_is_found(tmp_path):
    options = Options(designs=kinds(9), seeds=3, episodes=8, random_agent=False)
    table = correlations(load([write_study(tmp_path, options=options)]))
    over = table[(table["level"] == "designs") & (table["sample"] == "image designs")].set_index("error")
    assert over.loc["image", "r"] < -0.95
    assert over.loc["image", "r_high"] < -0.8
    assert abs(over.loc["reward", "r"]) < abs(over.loc["image", "r"])
    assert over["n"].tolist() == [9, 9]
    assert over["runs"].tolist() == [27, 27]


def test_runs_with_nan_errors_are_left_out_of_correlations_alone(tmp_path):
    cell = (FIVE[0].name, TASK, 0)
    results = load([write_study(tmp_path, options=Options(episodes=8, nan_errors={cell}))])
    assert score_cells(results)["n"].tolist() == [2] * 6
    table = correlations(results)
    runs = table[table["level"] == "runs"].set_index(["error", "sample"])["n"]
    assert runs["image", "image designs"] == 4
    assert runs["reward", "image designs"] == 3
    assert runs["reward", "all designs"] == 9


def test_parts_of_the_image_stay_out_of_the_image_error_s_correlation(tmp_path):
    designs = FIVE[1:3] + fractions(3)  # the last of which is the whole image
    results = load([write_study(tmp_path, options=Options(designs=designs, episodes=8, forecasts=False))])
    table = correlations(results)
    names = table[table["level"] == "designs"].set_index(["error", "sample"])["n"]
    assert names.to_dict() == {
        ("image", "image designs"): 2,
        ("reward", "image designs"): 2,
        ("reward", "all designs"): 3,  # the fractions are one design in three doses
    }
    assert "2 designs that predict images are measured" in too_small(results)
    (told,) = [note for note in notes(results) if "image_fraction" in note]
    assert told.startswith("4 runs trained on a part of the image")
    assert told.endswith(": fraction-0, fraction-1")
    assert mixed(results) == []
    with print_style():
        drawn = correlation.draw(Material(results))[0]
    assert set(drawn.data.loc[drawn.data["error"] == "image", "design"]) == {
        "images-latent-deterministic",
        "fraction-2",
    }
    assert "not on the left: fraction-0, fraction-1" in drawn.caption


def study_of(path, *designs):
    options = Options(designs=designs, episodes=8, forecasts=False)
    return load([write_study(path, options=options)])


def with_fields(design, name, **fields):
    return replace(design, name=name, axes=design.axes | fields)


def counts(results):
    table = correlations(results)
    return (
        table[table["level"] == "designs"]
        .set_index(["error", "sample"])["n"]
        .reindex([("image", "image designs"), ("reward", "image designs"), ("reward", "all designs")])
        .tolist()
    )


def test_restored_faults_stay_out_of_all_correlations(tmp_path):
    shifted = with_fields(FIVE[0], "shifted", legacy={"shifted_evaluation": True})
    blind = with_fields(FIVE[4], "blind", legacy={"blind_inputs": True})
    results = study_of(tmp_path, *FIVE, shifted, blind)
    assert counts(results) == [2, 2, 5]
    assert "2 designs that predict images are measured" in too_small(results)
    (told,) = [note for note in notes(results) if "left out of the correlations" in note]
    assert told == (
        "4 runs with legacy.blind_inputs, legacy.shifted_evaluation left out of the correlations: shifted, blind"
    )
    with print_style():
        drawn = correlation.draw(Material(results))[0]
    assert not {"shifted", "blind"} & set(drawn.data["design"])
    assert "so left out: shifted, blind." in drawn.caption


def test_designs_with_the_same_agent_count_once(tmp_path):
    """Where the reward model is separate, what the image model is trained on does not touch the agent."""
    part, whole, heavy = (
        with_fields(FIVE[0], name, reward_gradient="separate", **fields)
        for name, fields in (
            ("part", {"image_fraction": 0.5}),
            ("whole", {}),
            ("heavy", {"model": {"image_scale": 9.0}}),
        )
    )
    other = with_fields(FIVE[0], "other", reward_gradient="separate", model={"reward_scale": 3.0})
    results = study_of(tmp_path, FIVE[0], part, whole, heavy, other)
    assert counts(results) == [2, 2, 2]  # `other` is a variant of `whole`
    errors = run_errors(results).groupby("design")["twin"].first()
    assert errors[errors != ""].to_dict() == {"part": "whole", "heavy": "whole"}
    (told,) = [note for note in notes(results) if "not independent" in note]
    assert told.startswith("4 runs of designs with reward_gradient separate")
    assert told.endswith(": part (as whole), heavy (as whole)")


def test_what_a_model_of_its_own_makes_of_a_field_is_not_claimed(tmp_path):
    own = {"name": "models.rssm:RSSM"}
    part = with_fields(FIVE[0], "part", model=own, image_fraction=0.5)
    blind = with_fields(FIVE[0], "blind", model=own, legacy={"blind_inputs": True})
    told = notes(study_of(tmp_path, FIVE[1], part, blind))
    assert "legacy.blind_inputs is on in 2 runs (a model of its own may ignore it): blind" in told
    assert (
        "2 runs with image_fraction below 1 (a model of its own may ignore it) left out of the correlation of image "
        "error and score: part"
    ) in told
    assert not any("trained on a part" in note or "1e-7" in note for note in told)


def test_whole_images_have_no_such_note(results):
    assert not any("image_fraction" in note or "does not vary" in note for note in notes(results))
    assert set(correlations(results)["why"]) == {""}


def test_a_reward_that_stands_still_has_no_correlation(tmp_path):
    tasks = ("dmc/cartpole-swingup", "dmc/reacher-easy")
    options = Options(tasks=tasks, episodes=8, flat={tasks[1]}, forecasts=False)
    results = load([write_study(tmp_path, options=options)])
    table = correlations(results)
    table = table[table["level"] == "designs"].set_index(["task", "error", "sample"])
    assert table.loc[(tasks[1], "reward", "all designs"), ["n", "why"]].tolist() == [0, FLAT]
    assert np.isfinite(table.loc[(tasks[0], "reward", "all designs"), "r"])
    assert table.loc[("all", "reward", "all designs"), ["n", "tasks"]].tolist() == [5, 1]
    assert table.loc[("all", "image", "image designs"), "tasks"] == 2
    assert any(note.startswith(f"{FLAT} of {tasks[1]}") for note in notes(results))
    rows = [row for row in correlation_table(results).rows if row[3] == "reacher-easy"]
    assert [FLAT in row for row in rows] == [row[0].startswith("reward") for row in rows]
    with print_style():
        drawn = correlation.draw(Material(results))
    rewards = drawn[1].data[drawn[1].data["error"] == "reward"]
    assert set(rewards["task"]) == {tasks[0]}
    assert f"as the {FLAT}: reacher-easy" in drawn[1].caption


@pytest.mark.parametrize(("part", "flat"), [(0.0, True), (0.0099, True), (0.0101, False), (0.5, False)])
def test_rewards_stand_still_below_one_percent_of_the_range_of_returns(results, part, flat):
    scores = run_scores(results)["score"]
    data = results.open_loop.copy()
    baseline = part * (scores.max() - scores.min()) / 125  # an episode has 125 steps
    data.loc[data["metric"] == "reward_error_baseline", "value"] = baseline
    assert run_errors(replace(results, open_loop=data))["reward_varies"].eq(not flat).all()


def test_several_tasks_are_pooled_and_given_apart(tmp_path):
    tasks = ("dmc/cartpole-swingup", "dmc/cheetah-run")
    table = correlations(load([write_study(tmp_path, options=Options(tasks=tasks, episodes=8))]))
    assert list(dict.fromkeys(table["task"])) == ["all", *tasks]
    pooled = table[
        (table["task"] == "all") & (table["level"] == "designs") & (table["sample"] == "all designs")
    ]
    assert pooled["n"].tolist() == [10]
