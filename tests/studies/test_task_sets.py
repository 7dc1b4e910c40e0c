"""Sets of tasks: what studies/tasks.yaml says is what the tasks are, and a study may name a set for its members."""

from __future__ import annotations

import pytest

from harness.config.sections import EnvConfig
from harness.tasks import find_task
from studies.language import StudyError, expand, parse_study
from studies.language.tasksets import task_sets

SEVEN = task_sets()["seven"].tasks


def tasks_of(text):
    return [cell.config.task for cell in expand(parse_study(f"name: s\n{text}", "s.yaml")).cells]


def problem(text, *overrides):
    with pytest.raises(StudyError) as error:
        expand(parse_study(f"name: s\n{text}", "s.yaml", overrides))
    return str(error.value)


def test_the_numbers_are_the_catalogues():
    for one in task_sets().values():
        for name, repeat in one.repeats.items():
            assert find_task(name, EnvConfig()).spec.action_repeat == repeat
        assert set(one.sources.values()) <= {"planet", "models", "unknown"}
        assert one.about


def test_the_seven_and_the_references_two():
    assert set(SEVEN) == {
        "dmc/cartpole-balance",
        "dmc/cartpole-swingup",
        "dmc/cheetah-run",
        "dmc/walker-walk",
        "dmc/finger-spin",
        "dmc/ball_in_cup-catch",
        "dmc/reacher-easy",
    }
    # REFERENCE: PlaNet's repeats, and those of the reference's own configurations; reacher's nobody checked
    repeats = task_sets()["seven"].repeats
    planet = {
        "cartpole-swingup": 8,
        "finger-spin": 2,
        "cheetah-run": 4,
        "ball_in_cup-catch": 6,
        "walker-walk": 2,
    }
    assert all(repeats[f"dmc/{name}"] == repeat for name, repeat in planet.items())
    assert [name for name, source in task_sets()["seven"].sources.items() if source == "unknown"] == [
        "dmc/reacher-easy"
    ]
    assert task_sets()["reference"].repeats == {"dmc/cheetah-run": 4, "dmc/walker-walk": 2}


def test_a_set_stands_for_its_members_in_grids_includes_zips_and_conditions():
    assert tasks_of("grid: {agent: random, task: seven}") == list(SEVEN)
    found = tasks_of("grid: {agent: random, task: [toy/catch, reference, seven]}")
    assert found == [
        "toy/catch",
        "dmc/cheetah-run",
        "dmc/walker-walk",
        *(t for t in SEVEN if t not in found[1:3]),
    ]
    assert len(found) == 8  # what two sets hold stands once
    assert tasks_of("include: [{agent: random, task: reference}]") == ["dmc/cheetah-run", "dmc/walker-walk"]
    assert tasks_of("zip: [{task: reference, seed: [1, 2]}]\ngrid: {agent: random}") == [
        "dmc/cheetah-run",
        "dmc/walker-walk",
    ]
    left = tasks_of("grid: {agent: random, task: seven}\nexclude: [{task: [reference, dmc/finger-*]}]")
    assert left == [name for name in SEVEN if name.split("/")[1][:6] not in {"cheeta", "walker", "finger"}]
    text = (
        "grid: {agent: random, task: [toy/catch, reference]}\n"
        "resources: {rules: [{where: {task: reference}, hours: 3}]}"
    )
    hours = [cell.config.resources.hours for cell in expand(parse_study(f"name: s\n{text}", "s.yaml")).cells]
    assert hours == [None, 3, 3]


def test_where_one_task_stands_a_set_is_refused():
    text = problem("base: {task: seven}\ngrid: {agent: random}")
    assert text.startswith("s.yaml:2:14: base.task: 'seven' is a set of tasks (dmc/cartpole-balance, ")
    assert "sets stand in a grid, an include or a condition" in text
    text = problem("grid: {agent: random, task: toy/catch}", "task=reference")
    assert text.startswith("command line: task: 'reference' is a set of tasks")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "grid: {agent: random, task: sevn}",
            "s.yaml:2:29: grid.task: unknown task 'sevn' (did you mean seven?)",
        ),
        (
            "grid: {agent: random, task: [seven, refernce]}",
            "s.yaml:2:37: grid.task[1]: unknown task 'refernce' (did you mean reference?)",
        ),
        (
            "grid: {agent: random, task: seven}\nexclude: [{task: refernce}]",
            "s.yaml:3:18: exclude[0].task: 'refernce' is no task (did you mean reference?)",
        ),
        ("grid: {agent: random, task: Pong}", "unknown task 'Pong' (did you mean atari/Pong?)"),
        ("grid: {agent: random, task: CartPole-v1}", "(did you mean gym/CartPole-v1?)"),
        ("grid: {agent: random, task: Cartpol-v1}", "(did you mean gym/CartPole-v1?)"),
        (
            "grid: {agent: random, task: gym/CartPol-v1}",
            "s.yaml:2:29: grid.task: unknown task gym/CartPol-v1 (did you mean gym/CartPole-v1?)",
        ),
        (
            "grid: {agent: random, task: [toy/catch, gym/GymV21Environment-v0]}",
            "s.yaml:2:41: grid.task[1]: the task gym/GymV21Environment-v0 needs a package that is not installed",
        ),
        (
            "base: {env.sticky: 0.1}\ngrid: {agent: random, task: toy/catch}",
            "env.sticky (0.1) is for Atari games; the task toy/catch has no sticky actions",
        ),
        (
            "zip: [{task: seven, seed: [1, 2]}]\ngrid: {agent: random}",
            "2 values, but 7 elsewhere in this block",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, says):
    assert says in problem(text)


def test_ids_of_gymnasium_stand_wherever_a_task_does():
    text = (
        "grid: {agent: random, task: [gym/CartPole-v1, gym/Pendulum-v1, toy/catch]}\n"
        "exclude: [{task: gym/Pendulum-v1}, {task: 'gym/Acro*'}]"
    )
    expansion = expand(parse_study(f"name: s\n{text}", "s.yaml"))
    assert [cell.config.task for cell in expansion.cells] == ["gym/CartPole-v1", "toy/catch"]
    assert any("excludes nothing" in note for note in expansion.notes)
