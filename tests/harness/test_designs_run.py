"""Every design trains, plans, measures, finishes, resumes, is evaluated and appears in a report: the corners with every
planner on every kind of task, the other forms on the toy task.
"""

import csv
import itertools

import pytest

from analysis.report import build_report
from harness.entry import execute
from harness.evaluate import evaluate_run
from harness.registry import PLANNERS
from tests.harness.runs import make_run, numbers, tiny_config
from tests.models.designs import CORNERS, DESIGNS, name_of

TASKS = {
    "one action": {"task": "dmc/cartpole-balance", "env__time_limit": 96},
    "six actions": {"task": "dmc/cheetah-run", "env__time_limit": 48},
    "choices, terminating": {"task": "toy/catch"},
}
CASES = [
    (kind, planner)
    for kind, (planner, entry) in itertools.product(TASKS, PLANNERS.items())
    if entry.discrete or "choices" not in kind
]


def config_of(which, **fields):
    axes = which._asdict()
    short = {"train__episodes": 3, "train__updates_per_episode": 2}
    return tiny_config(model__variant=axes.pop("variant"), **axes, **(short | fields))


def check_records(run, design):
    final = [r for r in numbers(run) if r.get("phase") == "final"]
    assert {r["kind"] for r in final} == {"evaluation", "open_loop"}
    for record in final:
        if record["kind"] == "open_loop":
            assert ("image_error" in record) == (design.predict == "images")
            assert len(record["reward_error_mean"]) == 4
            assert record["samples"] == (2 if design.dynamics == "stochastic" else 1)
    (cost,) = (r for r in numbers(run) if r["kind"] == "cost")
    assert 0 < cost["parameters"] <= cost["training_parameters"]


@pytest.mark.slow
@pytest.mark.render
@pytest.mark.parametrize(("kind", "planner"), CASES, ids=[f"{kind}-{planner}" for kind, planner in CASES])
@pytest.mark.parametrize("design", CORNERS, ids=name_of)
def test_a_corner_runs_to_the_end(tmp_path, design, planner, kind):
    run = make_run(tmp_path, config_of(design, **TASKS[kind], planner__name=planner))
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    check_records(run, design)


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS, ids=name_of)
def test_a_design_resumes_to_the_same_numbers_and_is_evaluated(tmp_path, design):
    datasets, config = tmp_path / "datasets", config_of(design)
    polls = itertools.count()
    undisturbed = make_run(tmp_path / "undisturbed", config)
    assert execute(undisturbed, stop=lambda: next(polls) < 0, datasets=datasets) == "done"
    check_records(undisturbed, design)

    run, total = make_run(tmp_path / "stopped", config), next(polls)
    for part in (3, 4):  # of what is left; in training, and in the final phase or near it
        count = itertools.count()
        ending = execute(run, stop=lambda c=count, p=part: next(c) >= total // p, datasets=datasets)
        assert ending == "preempted"
    assert execute(run, datasets=datasets) == "done"
    assert numbers(run) == numbers(undisturbed)

    result = evaluate_run(run, episodes=1, datasets=datasets)
    (recorded,) = (
        r for r in run.read_metrics({"open_loop"}) if (r["phase"], r["dataset"]) == ("final", "probe")
    )
    assert result["open_loop"]["reward_error_mean"] == recorded["reward_error_mean"]
    assert result["n"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("predict", ["images", "rewards"])
def test_every_design_appears_in_the_report(tmp_path, predict):
    study, shown = tmp_path / "all", [design for design in DESIGNS if design.predict == predict]
    for design in shown:
        named = config_of(design, design=design.name, train__episodes=2, evaluation__final_episodes=1)
        run = make_run(study, named)
        assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    report = build_report([study], None)
    names = {design.name for design in shown}
    assert all(f"| {name} " in report.score_table for name in names)
    page = report.index.read_text()
    assert all(name in page for name in names)
    with (report.index.parent / "figures" / "scores.csv").open() as file:
        assert {row["design"] for row in csv.DictReader(file)} >= names
