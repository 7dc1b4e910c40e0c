"""Whatever is missing, every figure, table and claim, the page and the numbers can be made, and say what is missing."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.load import load
from analysis.report import build_report
from analysis.style import print_style
from tests.analysis.ablated import ALL, TASKS, check, whole
from tests.analysis.synthetic import Design, Options, named, variants, write_study

STATES = ("done", "diverged", "failed", "running", "preempted")
CROSS = ("cross_training",)


def is_model(run):
    return run.config["agent"] == "model"


def small(*names):
    """The corners and the shared baselines of some studies; all of them where that is said."""
    case = whole(*names)
    kept = {"images-latent-stochastic", "images-pixel-deterministic", "rewards-latent-stochastic"}
    kept |= {"rewards-pixel-deterministic", "images-latent-stochastic-from-image"}
    return case.planning(lambda run: not is_model(run) or run.design in kept)


def both():
    return small("online", "offline")


def first(case):
    return next(run.id for study in case.studies for run in study.runs if is_model(run))


def state(name):
    return lambda case: case.changing(
        lambda run, found: replace(found, state=name) if is_model(run) else found
    )


def without(*agents):
    return lambda case: case.planning(lambda run: run.config["agent"] not in agents)


def on_one_task_each(run, found):
    """Every design on one of the two tasks alone."""
    mine = sum(map(ord, run.design)) % len(TASKS) == TASKS.index(run.task)
    return found if mine or not is_model(run) else None


def in_turn(run, found):
    """Runs that end in each of the ways there are, and one that was not begun."""
    turn = sum(map(ord, run.id)) % (len(STATES) + 1)
    return None if turn == len(STATES) else replace(found, state=STATES[turn], finite=turn != 1)


ABLATIONS = {
    "nothing begun": lambda case: case.changing(lambda *_: None),
    "one run": lambda case: case.changing(lambda run, found: found if run.id == first(case) else None),
    "a plan of one run": lambda case: case.planning(lambda run: run.id == first(case)),
    "one seed": lambda case: case.planning(lambda run: run.seed == 0),
    "one seed done": lambda case: case.changing(lambda run, found: found if run.seed == 0 else None),
    "one task": lambda case: case.planning(lambda run: run.task == TASKS[0]),
    "a design not begun": lambda case: case.changing(
        lambda run, found: None if run.design == "images-latent-stochastic" else found
    ),
    "tasks apart": lambda case: case.changing(on_one_task_each),
    "errors are no numbers": lambda case: case.changing(lambda _, found: replace(found, finite=False)),
    "diverged": state("diverged"),
    "failed": state("failed"),
    "running": state("running"),
    "every state": lambda case: case.changing(in_turn),
    "no oracle": without("oracle"),
    "no random agent": without("random"),
    "no baselines": without("random", "oracle"),
    "baselines alone": without("model"),
    "rewards alone": lambda case: case.planning(
        lambda run: run.config["predict"] == "rewards" or not is_model(run)
    ),
}


def checked(case):
    results = case.results()
    with print_style():
        return check(results)


@functools.cache
def figures_of(name):
    material, figures, told, page = checked(ABLATIONS[name](both()))
    return material, {each.drawn.name: each.drawn for each in figures}, told, page


SLOW = {"failed", "running", "one seed done", "a design not begun"}


def each_ablation():
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in ABLATIONS]


@pytest.mark.parametrize("name", each_ablation())
def test_everything_is_made_of_what_there_is(name):
    _, figures, told, _ = figures_of(name)
    assert told
    assert figures


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [("offline",), ("dose_response",), ("sharing",), ("capacity",), ("planner",), CROSS]
)
def test_a_study_alone_and_a_seed_of_it(names):
    seed = whole(*names).planning(lambda run: run.seed == 0)
    material, *_ = checked(seed)
    decided = {each.id for each in material.findings if each.verdict in {"supported", "contradicted"}}
    assert decided <= {"H4", "H6", "H8"}  # whose sample are designs


def test_no_interval_is_spoken_of_where_there_is_none():
    _, figures, *_ = figures_of("one seed")
    for name in ("scores", "aggregates", "online_offline", "cost"):
        assert "95 %" not in figures[name].caption
        assert "single seeds" in figures[name].caption


def test_designs_on_fewer_tasks_are_marked_and_named():
    material, figures, *_ = figures_of("tasks apart")
    drawn = figures["aggregates"]
    assert set(drawn.data["tasks"]) == {1}
    for design in material.results.designs:
        assert f"{design} (1)" in drawn.caption or "others" in drawn.caption
    assert "not on all 2 tasks, so not comparable with the others" in drawn.caption
    assert "Not on all 2 tasks" in figures["profiles"].caption


def test_nothing_is_concluded_of_runs_that_all_diverged():
    material, figures, told, page = figures_of("diverged")
    assert not [each for each in material.findings if each.primary]
    whys = [each.why for each in material.findings]
    assert "Every run of a model that has ended diverged: there is nothing to compare." in whys
    assert any("diverged" in note for note in told)
    assert "diverged and count as the random agent" in figures["aggregates"].caption
    assert "diverged" in page


def test_a_verdict_of_one_task_says_so():
    material, *_ = figures_of("one task")
    tested = [each for each in material.findings if each.primary]
    assert tested
    for each in tested:
        assert "of one task alone, and says nothing of others" in each.why


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing begun", "not begun"),
        pytest.param("failed", "failed", marks=pytest.mark.slow),
        pytest.param("running", "still running", marks=pytest.mark.slow),
        ("errors are no numbers", "without finite errors"),
        ("no oracle", "the oracle"),
        ("no random agent", "the random agent"),
        ("no baselines", "the random agent and the oracle are missing"),
        pytest.param("a design not begun", "images-latent-stochastic", marks=pytest.mark.slow),
    ],
)
def test_what_is_missing_is_among_the_notes_and_on_the_page(name, words):
    _, _, told, page = figures_of(name)
    assert any(words in note for note in told), told
    assert words in page


def test_without_training_episodes_to_come_none_are_missing():
    _, figures, *_ = checked(both())
    (drawn,) = [each.drawn for each in figures if each.drawn.name == "training_returns"]
    assert "no data yet" not in drawn.caption


def test_a_random_agent_that_is_missing_is_not_the_zero():
    _, figures, *_ = figures_of("no random agent")
    assert "the lowest score where that is missing" in figures["aggregates"].caption


def test_a_damaged_run_leaves_the_rest(tmp_path):
    study = write_study(
        tmp_path, options=Options(episodes=8, every=4, seeds=2, forecasts=False, summaries=False)
    )
    runs = sorted((study / "runs").iterdir())
    (runs[0] / "metrics.jsonl").write_text('{"kind": "evaluation", "ret')
    (runs[1] / "state.json").write_text("{")
    (runs[2] / "metrics.jsonl").unlink()
    with print_style():
        _, figures, told, page = check(load([study]))
    assert figures
    assert any(runs[1].name in note for note in told), told
    assert any("2 runs are done without a score, as no final evaluation is among" in note for note in told), (
        told
    )
    assert runs[1].name in page


LONG = "a-design-" + "of-many-words-in-one-name-" * 3 + "that-does-not-end"


def wide():
    """Thirty designs, of which one has a long name."""
    axes = named("images-latent-stochastic").axes
    return (*variants(29), Design(LONG, 0.5, axes))


@pytest.mark.slow
@pytest.mark.parametrize("designs", [wide(), wide()[-1:]], ids=["thirty", "one with a long name"])
def test_many_designs_and_long_names_can_be_drawn(tmp_path, designs):
    options = Options(designs=designs, episodes=6, every=2, final_episodes=1, seeds=2, forecasts=False)
    study = write_study(tmp_path, options=options)
    with print_style():
        _, figures, *_ = check(load([study]))
        for each in figures:
            FigureCanvasAgg(each.drawn.figure).draw()


def test_a_report_of_one_run_with_a_horizon_of_one_step(tmp_path):
    options = Options(
        designs=(named("images-latent-stochastic"),), episodes=6, every=1, final_episodes=1, seeds=1
    )
    options.extra = {"evaluation": {"horizon": 1}}
    options.random_agent = False
    study = write_study(tmp_path, options=options)
    report = build_report([study], formats=["png"])
    assert report.index.exists()
    assert report.figures


def parts():
    """What part of the runs is there, which of them, and whether what there is ended well."""
    return st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.8]), st.integers(0, 2**16), st.booleans())


@pytest.mark.slow
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(parts())
def test_any_part_of_the_runs_will_do(chosen):
    part, seed, well = chosen
    case, rng = small(*ALL) if seed % 3 == 0 else both(), np.random.default_rng(seed)
    ids = sorted({run.id for study in case.studies for run in study.runs})
    draws = dict(zip(ids, rng.random((len(ids), 3)), strict=True))

    def change(run, found):
        there, which, finite = draws[run.id]
        if there >= part:
            return None
        return found if well else replace(found, state=STATES[int(which * 5)], finite=finite < 0.8)

    checked(case.changing(change))
