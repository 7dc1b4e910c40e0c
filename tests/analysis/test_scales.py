"""From which baselines normalised scores come, in closed form: environments, oracles, and gaps that are noise."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.completeness import notes
from analysis.content import score_table
from analysis.environments import oracle_can_plan, range_of_returns, setting
from analysis.figures import scores as figure_of_scores
from analysis.load import load
from analysis.material import Material
from analysis.scales import scales
from analysis.scores import run_scores, score_cells
from analysis.style import print_style
from analysis.words import WINDOWED
from tests.analysis.synthetic import FIVE, Options, write_study

TASK = "dmc/cartpole-swingup"
PONG = "atari/Pong"
SHORT = {"action_repeat": 4, "time_limit": 200}


def normalised_study(path, levels, *, task=TASK, designs=FIVE[:1], **options):
    """A study whose final episodes have the given returns, in turns, by the name of the design or baseline."""
    options = {"oracle": ({},), "seeds": 2, "final_episodes": 2} | options
    given = Options(tasks=(task,), designs=designs, episodes=8, forecasts=False, **options)
    results = load([write_study(path, options=given)])
    data = results.evaluations.copy()
    for design, returns in levels.items():
        mine = (data["design"] == design) & (data["phase"] == "final")
        assert mine.any(), f"{design} is not among {sorted(set(data['design']))}"
        data.loc[mine, "return"] = np.resize(np.array(returns, dtype=float), int(mine.sum()))
    return replace(results, evaluations=data)


def normalised(results):
    return score_cells(results).set_index("design")["normalised"].to_dict()


def scale_of(results):
    (scale,) = scales(results).values()
    return scale


def about_scales(results):
    return [note for note in notes(results) if "normalised" in note]


def test_baselines_of_another_environment_are_no_scale(tmp_path):
    levels = {
        FIVE[0].name: [700],
        "random (action_repeat=4, time_limit=200)": [0],
        "oracle (action_repeat=4, time_limit=200)": [1000],
    }
    results = normalised_study(tmp_path, levels, baseline_envs=(SHORT,))
    assert np.isnan(list(normalised(results).values())).all()
    assert WINDOWED not in score_table(results).header
    (told,) = about_scales(results)
    assert told == (
        "scores with action_repeat 8, time_limit 1000 are not normalised: the random agent and the oracle are missing "
        f"(planned with action_repeat 4, time_limit 200 only); add {{agent: [random, oracle], task: {TASK}, env: "
        "{action_repeat: 8, time_limit: 1000}, seed: range(5)} under include; "
        "claims and figures divide returns by their range instead, with 0 at the lowest score, which diverged runs "
        "count as"
    )
    with print_style():
        (drawn,) = figure_of_scores.draw(Material(results))
    rows = [label.get_text().replace("\n", " ") for label in drawn.figure.axes[0].get_yticklabels()]
    assert rows == list(levels)  # a level through the panel would be one of other returns
    assert "random" not in " ".join(text.get_text() for text in drawn.figure.axes[0].texts)


def test_every_environment_has_a_scale_of_its_own(tmp_path):
    """0.5 of 0..1000 and 0.75 of 0..200; pooled, both baselines would be at 0 and 600."""
    short, long = (replace(FIVE[0], axes=FIVE[0].axes | {"env": {"time_limit": n}}) for n in (200, 1000))
    levels = {
        f"{FIVE[0].name} (time_limit=200)": [150],
        f"{FIVE[0].name} (time_limit=1000)": [500],
        "random (time_limit=200)": [0],
        "random (time_limit=default)": [0],
        "oracle (time_limit=200)": [200],
        "oracle (time_limit=default)": [1000],
    }
    results = normalised_study(
        tmp_path, levels, designs=(short, long), baseline_envs=({"time_limit": 200}, {})
    )
    assert normalised(results) == pytest.approx(dict(zip(levels, [0.75, 0.5, 0, 0, 1, 1], strict=True)))
    assert about_scales(results) == []
    assert "each of the design's own environment" in score_table(results).caption
    assert run_scores(results)["normalised"].notna().all()


def test_a_design_of_an_environment_without_baselines_is_named(tmp_path):
    short = replace(FIVE[1], axes=FIVE[1].axes | {"env": {"time_limit": 200}})
    levels = {FIVE[0].name: [500], "random (time_limit=default)": [0], "oracle (time_limit=default)": [1000]}
    results = normalised_study(tmp_path, levels, designs=(FIVE[0], short))
    found = normalised(results)
    assert found[FIVE[0].name] == pytest.approx(0.5)
    assert np.isnan(found[short.name])
    (told,) = about_scales(results)
    assert told.startswith(
        f"scores of {TASK} with time_limit 200 are not normalised: the random agent and the oracle"
    )
    assert "are missing (planned with time_limit 1000 only); add" in told
    assert "env: {time_limit: 200}" in told


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("gym/CartPole-v1", "the oracle cannot plan there, as its simulator cannot be left and entered"),
        (
            "tests.harness.test_tasks_steps:Own",
            "under include (where the spec of the task says simulates=True; there is no oracle other",
        ),
    ],
)
def test_no_oracle_is_asked_for_where_there_may_be_none(tmp_path, task, says):
    (told,) = about_scales(normalised_study(tmp_path, {"random": [0]}, task=task, oracle=()))
    assert says in told
    assert ("add {agent" in told) == (task != "gym/CartPole-v1")


def test_which_tasks_can_have_an_oracle():
    tasks = (TASK, PONG, "toy/catch", "gym/Pendulum-v1", "no_such:Level", "no/such")
    assert [oracle_can_plan(task) for task in tasks] == [True, True, True, False, None, None]


def test_pictures_and_values_written_out_make_no_other_environment(tmp_path):
    design = replace(FIVE[0], axes=FIVE[0].axes | {"env": {"image_size": 16, "time_limit": 1000}})
    levels = {design.name: [250], "random": [0], "oracle": [1000]}
    results = normalised_study(tmp_path, levels, designs=(design,))
    assert normalised(results) == pytest.approx({design.name: 0.25, "random": 0, "oracle": 1})


def test_of_several_oracles_the_best_is_one(tmp_path):
    levels = {FIVE[0].name: [300], "random": [0], "oracle (horizon=12)": [400], "oracle (horizon=4)": [600]}
    results = normalised_study(tmp_path, levels, oracle=({}, {"horizon": 4}))
    found = normalised(results)
    assert [found[name] for name in levels] == pytest.approx([0.5, 0, 400 / 600, 1])
    caption = score_table(results).caption
    assert "1 the oracle (horizon=4) (2 seeds)" in caption
    assert "Of several oracles the one with the highest mean is 1." in caption


# Means of two episodes a seed, two seeds: four returns a -+ s have the variance 4/3 s^2, the mean of them s^2 / 3,
# and the difference of two such means the standard error s sqrt(2/3).
NOISY = [-1, 1, -1, 1]
ERROR = np.sqrt(2 / 3)


@pytest.mark.parametrize(("gap", "clear"), [(2.01 * ERROR, True), (1.99 * ERROR, False), (0.0, False)])
def test_a_gap_within_two_standard_errors_is_no_scale(tmp_path, gap, clear):
    """Atari: rewards have no bounds, so there is no range to take instead."""
    levels = {"random": [-20 + x for x in NOISY], "oracle": [-20 + gap + x for x in NOISY]}
    results = normalised_study(tmp_path, levels | {FIVE[0].name: [-19]}, task=PONG)
    scale = scale_of(results)
    assert (scale.gap, scale.error) == pytest.approx((gap, ERROR))
    assert (scale.doubt, scale.by_range) == ("" if clear else "noise", False)
    assert normalised(results)[FIVE[0].name] == pytest.approx(1 / gap if clear else np.nan, nan_ok=True)
    told = about_scales(results)
    assert len(told) == (0 if clear else 1)
    if not clear:
        assert (
            "which is within 2 standard errors of that difference (0.816 each): its scores are not normalised"
            in told[0]
        )
        assert WINDOWED not in score_table(results).header


def test_a_noisy_gap_is_replaced_by_the_range_where_there_is_one(tmp_path):
    """The gap of 200 is over a tenth of 0..1000, the error is 300 sqrt(2/3) = 245."""
    levels = {"random": [300 + 300 * x for x in NOISY], "oracle": [500 + 300 * x for x in NOISY]}
    results = normalised_study(tmp_path, levels | {FIVE[0].name: [400]})
    assert (scale_of(results).doubt, scale_of(results).by_range) == ("noise", True)
    assert normalised(results)[FIVE[0].name] == pytest.approx(0.1)
    (told,) = about_scales(results)
    assert told.endswith("(245 each): its scores are normalised by the range")
    assert "By the range of returns" in score_table(results).caption


@pytest.mark.parametrize(("task", "score"), [(PONG, np.nan), (TASK, 0.2)])
def test_an_oracle_worse_than_random_is_told_as_such(tmp_path, task, score):
    results = normalised_study(tmp_path, {"random": [5], "oracle": [1], FIVE[0].name: [205]}, task=task)
    assert normalised(results)[FIVE[0].name] == pytest.approx(score, nan_ok=True)
    (told,) = about_scales(results)
    unit = "not normalised" if np.isnan(score) else "normalised by the range"
    assert (
        told
        == f"the oracle scores less than the random agent on {task} (1.00 against 5.00): its scores are {unit}"
    )


def test_single_episodes_say_nothing_of_their_noise(tmp_path):
    results = normalised_study(tmp_path, {"random": [0], "oracle": [9]}, task=PONG, seeds=1, final_episodes=1)
    assert np.isnan(scale_of(results).error)
    (told,) = about_scales(results)
    assert told.startswith(f"a baseline has a single episode on {PONG}")
    assert told.endswith("not normalised")


def test_settings_are_the_task_s_own_where_nothing_is_written():
    own = (("action_repeat", 8), ("time_limit", 1000))
    assert setting(TASK, {}) == setting(TASK, {"time_limit": 1000, "image_size": 16}) == own
    assert setting(PONG, {})[2] == ("sticky", 0.25)
    assert setting(PONG, {"sticky": 0.0}) != setting(PONG, {})
    assert setting("no/such", {"time_limit": 7}) == (("time_limit", 7),)


def test_a_task_of_the_users_own_is_not_imported_and_may_read_any_field():
    task = "no_such_module:Level"
    assert setting(task, {"image_size": 16}) != setting(task, {"image_size": 64})
    assert range_of_returns(task, {}) is None
    assert [range_of_returns(name, {}) for name in (TASK, "toy/catch", PONG)] == [1000, None, None]
