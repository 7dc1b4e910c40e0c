"""Every registered design with every planner on every kind of task: trains, plans, measures and finishes."""

import itertools

import pytest

from harness.entry import execute
from harness.registry import MODELS, PLANNERS
from harness.supported import contradiction, not_built
from tests.harness.runs import make_run, numbers, tiny_config

TASKS = {
    "toy": {"task": "toy/point-mass"},
    "one action": {"task": "dmc/cartpole-balance", "env__time_limit": 96},
    "six actions": {"task": "dmc/cheetah-run", "env__time_limit": 48},
}
CORNERS = [
    (predict, space, dynamics)
    for (predict, space), dynamics in itertools.product(MODELS, ("stochastic", "deterministic"))
]


@pytest.mark.slow
@pytest.mark.render
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("corner", CORNERS, ids=["-".join(corner) for corner in CORNERS])
def test_it_runs_to_the_end(tmp_path, corner, planner, task):
    axes = dict(zip(("predict", "space", "dynamics"), corner, strict=True))
    config = tiny_config(**axes, **TASKS[task], planner__name=planner, train__episodes=3)
    if reason := contradiction(config) or not_built(config):
        pytest.skip(reason)
    run = make_run(tmp_path, config)
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    records = numbers(run)
    final = [r for r in records if r.get("phase") == "final"]
    assert {r["kind"] for r in final} == {"evaluation", "open_loop"}
    for record in final:
        if record["kind"] == "open_loop":
            assert ("image_error" in record) == (axes["predict"] == "images")
            assert len(record["reward_error_mean"]) == 4
