"""A planner of the user's own is held to its promises, and a mistake says what it is."""

import pytest
import torch

from harness.build import build_planner
from harness.config.sections import PlannerConfig
from harness.errors import RunError, UserError
from harness.planning import own_planner
from harness.refusal import planner_refusal
from harness.registry import OBJECTIVES
from harness.tasks import find_task
from planners import objectives
from planners.types import ActionSpace, Budget, Plan
from tests.harness.runs import tiny_config

SPACE, BUDGET = ActionSpace(2), Budget(3, 2, 5)


class Good:
    """Plays the best of its candidates."""

    version = 1

    def __init__(self, space, budget, *, scale=0.5):
        self.space, self.budget, self.horizon, self.scale = space, budget, budget.horizon, scale

    def draws(self, batch):
        return {"x": ((batch, self.budget.proposals, self.horizon, self.space.dim), "normal")}

    def initial(self, batch):
        return None

    def candidates(self, noise):
        return (self.scale * noise["x"]).clamp(-1, 1)

    def plan(self, score, context, state, noise):
        actions = self.candidates(noise)
        value, index = score(context, actions).max(1)
        sequence = actions[torch.arange(len(index)), index]
        return self.finish(Plan(sequence[:, 0], sequence, value, {})), state

    def finish(self, plan):
        return plan


class Gauss(Good):
    def draws(self, batch):
        return {"x": ((batch, 2), "gauss")}


class Raises(Good):
    def draws(self, batch):
        return {}["x"]


class Discrete(Good):
    def candidates(self, noise):
        return torch.nn.functional.one_hot(noise["x"].argmax(-1), self.space.dim).float()


class WrongAction(Good):
    def finish(self, plan):
        return plan._replace(action=plan.sequence)


class Outside(Good):
    def finish(self, plan):
        return plan._replace(action=plan.action + 3)


class NotANumber(Good):
    def finish(self, plan):
        return plan._replace(action=plan.action * torch.nan)


class NoPlan(Good):
    def finish(self, plan):
        return plan.action


class WrongReturns(Good):
    def finish(self, plan):
        return plan._replace(returns=None)


class WrongCandidates(Good):
    def candidates(self, noise):
        return noise["x"][:, 0]


class WrongDraws(Good):
    def draws(self, batch):
        return {"x": ((7, 3), "normal")}


class OddDraws(Good):
    def draws(self, batch):
        return {"x": ((batch, 3), "cauchy")}


class ListOfDraws(Good):
    def draws(self, batch):
        return [(batch, 3)]


class NoHorizon(Good):
    def __init__(self, space, budget):
        pass


class NoMethods:
    version, horizon = 1, 3

    def __init__(self, space, budget):
        pass


class Fails(Good):
    def __init__(self, space, budget):
        self.size = {}["size"]


class Refuses(Good):
    def __init__(self, space, budget):
        raise ValueError("write planner: {name: cem}")


def build(kind, space=SPACE, **options):
    return own_planner(f"{__name__}:{kind.__name__}", kind, space, BUDGET, options)


def plan(kind, space=SPACE, batch=4):
    planner = build(kind, space)
    noise = {name: torch.randn(shape) for name, (shape, _) in planner.draws(batch).items()}
    return planner.plan(lambda _, actions: actions.sum((2, 3)), None, planner.initial(batch), noise)[0]


@pytest.mark.parametrize(("kind", "discrete"), [(Good, False), (Discrete, True)])
def test_a_good_one_passes(kind, discrete):
    made = plan(kind, ActionSpace(2, discrete))
    assert made.action.shape == (4, 2)
    assert made.sequence.shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (WrongAction, r"plan\(\) returned action \[4, 3, 2\], not \[4, 2\]"),
        (Outside, r"an action that is not in \[-1, 1\]"),
        (NotANumber, r"an action that is not in \[-1, 1\]: \[\[nan"),
        (NoPlan, r"plan\(\) must return a planners.types.Plan and the new state"),
        (WrongReturns, r"plan\(\) returned returns NoneType, not \[4\]"),
        (WrongCandidates, r"plan\(\) scores actions \[4, 3, 2\], not \[batch, candidates, 3, 2\]"),
        (WrongDraws, r"draws\(\) says x: .*; a shape begins with the batch, here 4"),
        (OddDraws, r"noise is 'normal' or 'uniform'"),
        (ListOfDraws, r"draws\(\) returned \[\(4, 3\)\], not \{name: \(shape, kind\)\}"),
    ],
)
def test_a_broken_promise_names_the_planner_and_what_it_did(kind, says):
    with pytest.raises(RunError, match=f"{__name__}:{kind.__name__}: .*{says}"):
        plan(kind)


def test_a_vector_is_no_choice():
    with pytest.raises(RunError, match="an action that is not one-hot"):
        plan(Good, ActionSpace(2, discrete=True))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        (NoMethods, {}, "it has no method draws, initial, plan"),
        (NoHorizon, {}, "it has no whole number `horizon`"),
        (Fails, {}, r"cannot be built: KeyError: 'size' \(.*test_planning.py:[0-9]+, in __init__\)"),
        (Refuses, {}, "write planner: {name: cem}"),
        (Good, {"scal": 3}, "unexpected keyword argument 'scal'"),
    ],
)
def test_what_cannot_be_built_says_why(kind, options, says):
    with pytest.raises(UserError, match=says):
        build(kind, **options)


def test_a_study_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr("harness.refusal._TOLD", {})
    config = tiny_config(planner__name=f"{__name__}:Refuses")
    assert planner_refusal(config) == ("planner.name", f"{__name__}:Refuses: write planner: {{name: cem}}")
    fine = tiny_config(planner__name=f"{__name__}:Good", planner__options={"scale": 0.1})
    assert planner_refusal(fine) == planner_refusal(tiny_config()) == ("", "")
    assert planner_refusal(tiny_config(agent="random")) == ("", "")


def test_options_and_budget_reach_it():
    settings = PlannerConfig(name=f"{__name__}:Good", options={"scale": 0.25}, horizon=7, proposals=9)
    planner = build_planner(settings, find_task("toy/point-mass", tiny_config().env).spec)
    assert (planner.horizon, planner.planner.scale, planner.planner.budget.proposals) == (7, 0.25, 9)


def test_the_names_of_objectives_are_those_of_the_planners():
    assert tuple(objectives.OBJECTIVES) == OBJECTIVES


def test_noise_that_there_is_not_is_refused_when_a_study_is_planned(monkeypatch):
    monkeypatch.setattr("harness.refusal._TOLD", {})
    field, why = planner_refusal(tiny_config(planner__name=f"{__name__}:Gauss"))
    assert field == "planner.name"
    assert "draws() says x: ((1, 2), 'gauss'); noise is 'normal' or 'uniform'" in why
    field, why = planner_refusal(tiny_config(planner__name=f"{__name__}:Raises"))
    assert f"{__name__}:Raises: draws() fails: KeyError: 'x' ({__file__}:" in why
