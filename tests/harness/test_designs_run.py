"""Every design trains, plans, measures and finishes: the corners with every planner on every kind of task, the
other forms on the toy task.
"""

import pytest

from harness.entry import execute
from harness.registry import PLANNERS
from tests.harness.runs import make_run, numbers, tiny_config
from tests.models.designs import CORNERS, DESIGNS, name_of

TASKS = {
    "toy": {"task": "toy/point-mass"},
    "one action": {"task": "dmc/cartpole-balance", "env__time_limit": 96},
    "six actions": {"task": "dmc/cheetah-run", "env__time_limit": 48},
}
FORMS = [design for design in DESIGNS if design not in CORNERS]


@pytest.mark.slow
@pytest.mark.render
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("design", CORNERS, ids=name_of)
def test_a_corner_runs_to_the_end(tmp_path, design, planner, task):
    check_runs(tmp_path, design, **TASKS[task], planner__name=planner)


@pytest.mark.slow
@pytest.mark.parametrize("design", FORMS, ids=name_of)
def test_another_form_runs_to_the_end(tmp_path, design):
    check_runs(tmp_path, design, **TASKS["toy"])


def check_runs(tmp_path, design, **fields):
    axes = design._asdict()
    config = tiny_config(model__variant=axes.pop("variant"), **axes, **fields, train__episodes=3)
    run = make_run(tmp_path, config)
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    records = numbers(run)
    final = [r for r in records if r.get("phase") == "final"]
    assert {r["kind"] for r in final} == {"evaluation", "open_loop"}
    for record in final:
        if record["kind"] == "open_loop":
            assert ("image_error" in record) == (design.predict == "images")
            assert len(record["reward_error_mean"]) == 4
