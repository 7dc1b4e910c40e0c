"""What every planner keeps to (`planners.types.Planner`): pure, batched, compilable, in range, sane on bad scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from planners.types import ActionSpace, Budget
from tests.planners.problems import ALL, CONTINUOUS, DISCRETE, build, distance, in_steps, noise_of, solve

planners = pytest.mark.parametrize(("name", "discrete"), ALL)
seeds = st.integers(0, 10_000)
budgets = st.builds(Budget, st.integers(1, 4), st.integers(1, 3), st.integers(1, 9))


def anything(context, actions):
    """A smooth score with many optima, whatever the number of dimensions; a context moves it per environment."""
    steps = torch.arange(1, actions.shape[-2] + 1)
    dims = torch.arange(1, actions.shape[-1] + 1)
    phase = 0 if context is None else context[:, None, None, None]
    return torch.sin(3 * actions * dims + steps[:, None] + phase).sum((-1, -2)) - 7


def valid(actions, discrete):
    if not discrete:
        return bool((actions.abs() <= 1).all())
    return bool(((actions == 0) | (actions == 1)).all() and (actions.sum(-1) == 1).all())


@planners
@settings(max_examples=15)
@given(budget=budgets, dim=st.integers(1, 3), seed=seeds)
def test_candidates_and_plans_are_actions(name, discrete, budget, dim, seed):
    planner = build(name, budget, dim, discrete=discrete)
    seen = []

    def score(context, actions):
        seen.append(actions)
        return anything(context, actions)

    plan, state = planner.plan(score, None, planner.initial(2), noise_of(planner, 2, seed))
    later, _ = planner.plan(score, None, state, noise_of(planner, 2, seed + 1))
    assert planner.horizon == budget.horizon
    for actions in seen:
        assert actions.shape[0] == 2
        assert actions.shape[1] <= budget.proposals
        assert actions.shape[2:] == (budget.horizon, dim)
        assert valid(actions, discrete)
    for each in (plan, later):
        assert each.sequence.shape == (2, budget.horizon, dim)
        assert torch.equal(each.action, each.sequence[:, 0])
        assert valid(each.sequence, discrete)
        assert each.returns.shape == (2,)
        assert each.returns.isfinite().all()
        assert {"best_return", "rejected"} <= set(each.diagnostics)
        assert all(value.shape == (2,) for value in each.diagnostics.values())


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("proposals", [7, 10, 18, 111])
def test_a_mean_of_ones_is_not_more_than_one(name, proposals):
    """A weighted sum of ones rounds to 1.0000001, which an environment may refuse."""
    options = {} if name.startswith(("mppi", "shooting")) else {"elites": proposals}
    planner = build(name, Budget(2, 3, proposals), 2, **options)
    noise = {key: value * 0 + 99.0 for key, value in noise_of(planner, 1).items()}
    if name == "shooting":
        noise["proposals"] = noise["proposals"] * 0 + 1
    plan, _ = planner.plan(lambda _c, a: a.sum((-1, -2)), None, planner.initial(1), noise)
    assert plan.sequence.max() <= 1


@planners
@settings(max_examples=10)
@given(budget=budgets, dim=st.integers(1, 3), seed=seeds)
def test_a_batch_equals_single_problems(name, discrete, budget, dim, seed):
    """Over two calls, so that a warm start is one of each environment too."""
    planner = build(name, budget, dim, discrete=discrete)
    context = torch.tensor([0.3, -1.0, 2.5])
    noises = [noise_of(planner, 3, seed), noise_of(planner, 3, seed + 1)]
    state = planner.initial(3)
    together = []
    for noise in noises:
        plan, state = planner.plan(in_steps(anything), context, state, noise)
        together.append(plan)
    for b in range(3):
        state = planner.initial(1)
        for noise, plan in zip(noises, together, strict=True):
            single = {key: value[b : b + 1] for key, value in noise.items()}
            alone, state = planner.plan(in_steps(anything), context[b : b + 1], state, single)
            torch.testing.assert_close(alone.sequence[0], plan.sequence[b])
            torch.testing.assert_close(alone.returns[0], plan.returns[b])


@planners
@settings(max_examples=10)
@given(budget=budgets, seed=seeds, constant=st.integers(-1000, 1000))
def test_a_constant_added_to_all_returns_changes_no_action(name, discrete, budget, seed, constant):
    planner = build(name, budget, 2, discrete=discrete)
    plan = solve(planner, in_steps(anything), 2, seed)
    other = solve(planner, lambda c, a: in_steps(anything)(c, a) + constant, 2, seed)
    assert torch.equal(plan.sequence, other.sequence)
    torch.testing.assert_close(plan.returns + constant, other.returns)


@planners
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_nonfinite_return_never_wins_and_is_counted(name, discrete, bad):
    """Half of the candidates are worth a non-finite return; the others less, the nearer they are to those."""
    planner = build(name, Budget(2, 4, 200), 2, discrete=discrete)

    def score(_context, actions):
        first = actions[..., 0, 0]
        return torch.where(first > (0.5 if discrete else 0), bad, first)

    plan = solve(planner, score, 2)
    assert (plan.action[:, 0] <= 0).all()
    assert plan.returns.isfinite().all()
    assert (plan.diagnostics["rejected"] > 0).all()
    assert (plan.diagnostics["best_return"] <= 0).all()


@planners
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_where_nothing_is_finite_the_plan_is_still_an_action(name, discrete, bad):
    """And the environment beside it plans as ever."""
    planner = build(name, Budget(3, 3, 20), 2, discrete=discrete)
    scored = []

    def score(_context, actions):
        scored.append(actions.shape[1])
        returns = anything(None, actions)
        return torch.stack([torch.full_like(returns[0], bad), returns[1]])

    noise = noise_of(planner, 2)
    plan, state = planner.plan(score, None, planner.initial(2), noise)
    assert valid(plan.sequence, discrete)
    assert plan.returns[0] == -torch.inf
    assert plan.diagnostics["rejected"].tolist() == [sum(scored), 0]
    alone, _ = planner.plan(anything, None, planner.initial(2), noise)
    torch.testing.assert_close(plan.sequence[1], alone.sequence[1])
    later, _ = planner.plan(anything, None, state, noise_of(planner, 2, 1))
    assert valid(later.sequence, discrete)
    assert later.returns.isfinite().all()


@planners
def test_one_candidate_one_iteration_one_step(name, discrete):
    planner = build(name, Budget(1, 1, 1), 1, discrete=discrete)
    seen = []
    plan = solve(planner, lambda _c, a: (seen.append(a), a.sum((-1, -2)) - 5)[1])
    torch.testing.assert_close(plan.sequence, seen[0][:, 0] * (0.9 if name == "icem" else 1.0))  # momentum
    torch.testing.assert_close(plan.returns, seen[0].sum((-1, -2, -3)) - 5)


@planners
def test_the_plan_compiles_whole(name, discrete):
    torch._dynamo.reset()
    planner = build(name, Budget(2, 2, 8), 2, discrete=discrete)
    noise, state = noise_of(planner, 2), planner.initial(2)
    compiled = torch.compile(lambda n, s: planner.plan(anything, None, s, n), fullgraph=True, backend="eager")
    plan, after = compiled(noise, state)
    expected, expected_after = planner.plan(anything, None, state, noise)
    torch.testing.assert_close(tuple(plan[:3]), tuple(expected[:3]))
    assert type(after) is type(expected_after)


@planners
def test_it_plans_in_inference_mode_and_keeps_nothing(name, discrete):
    planner = build(name, Budget(3, 2, 16), 2, discrete=discrete)
    before = {key: repr(value) for key, value in vars(planner).items()}
    first = solve(planner, anything)
    with torch.inference_mode():
        again = solve(planner, anything)
    assert torch.equal(first.sequence, again.sequence)
    assert before == {key: repr(value) for key, value in vars(planner).items()}


@planners
def test_bfloat16_networks_leave_the_planner_in_float32(name, discrete):
    """The agent plans under autocast; covariances and filters of noise must not lose their digits to it."""
    planner = build(name, Budget(3, 3, 32), 3, discrete=discrete)
    plan = solve(planner, anything)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(solve(planner, anything).sequence, plan.sequence)


@planners
def test_only_the_order_of_equal_candidates_could_matter_and_it_is_fixed(name, discrete):
    planner = build(name, Budget(2, 2, 50), 2, discrete=discrete)
    flat = lambda _c, a: torch.zeros_like(a[..., 0, 0])
    both = solve(planner, flat, 2)
    noise = {key: value[1:] for key, value in noise_of(planner, 2).items()}
    alone, _ = planner.plan(flat, None, planner.initial(1), noise)
    torch.testing.assert_close(alone.sequence[0], both.sequence[1])


@planners
@pytest.mark.parametrize("field", ["horizon", "iterations", "proposals"])
def test_an_empty_budget_is_refused(name, discrete, field):
    with pytest.raises(ValueError, match=f"{field} 0 must be at least 1"):
        build(name, Budget()._replace(**{field: 0}), 2, discrete=discrete)


@planners
def test_an_empty_action_space_is_refused(name, discrete):
    with pytest.raises(ValueError, match="at least one"):
        build(name, Budget(), 0, discrete=discrete)


@pytest.mark.parametrize("name", [one for one in CONTINUOUS if one != "shooting"])
def test_gaussian_planners_refuse_discrete_actions(name):
    kind, options = CONTINUOUS[name]
    with pytest.raises(ValueError, match="for discrete ones use planner cem or shooting"):
        kind(ActionSpace(3, discrete=True), Budget(), **options)


def test_a_categorical_planner_refuses_continuous_actions():
    with pytest.raises(ValueError, match="for continuous ones use planner cem"):
        DISCRETE["cem"][0](ActionSpace(3), Budget())


@planners
def test_more_elites_than_proposals_are_refused(name, discrete):
    if name.startswith(("mppi", "shooting")):
        pytest.skip("has no elites")
    with pytest.raises(ValueError, match="elites 21 cannot be more than proposals 20"):
        build(name, Budget(3, 3, 20), 2, discrete=discrete, elites=21)
    with pytest.raises(ValueError, match="elites 0 must be at least 1"):
        build(name, Budget(3, 3, 20), 2, discrete=discrete, elites=0)
    with pytest.raises(ValueError, match="elite_fraction"):
        build(name, Budget(3, 3, 20), 2, discrete=discrete, elite_fraction=1.5)
    assert build(name, Budget(3, 3, 4), 2, discrete=discrete).elites == 1
    assert build(name, Budget(3, 3, 20), 2, discrete=discrete, elites=20).elites == 20


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@planners
def test_a_gpu_plans_as_the_cpu_does(name, discrete):
    planner = build(name, Budget(3, 5, 64), 2, discrete=discrete)
    target = torch.full((3, 2), 0.4)
    noise = noise_of(planner, 2)
    plan, _ = planner.plan(distance(target), None, planner.initial(2), noise)
    there = {key: value.cuda() for key, value in noise.items()}
    other, state = planner.plan(distance(target.cuda()), None, planner.initial(2), there)
    assert other.sequence.is_cuda
    torch.testing.assert_close(other.sequence.cpu(), plan.sequence, atol=1e-3, rtol=1e-3)
    planner.plan(distance(target.cuda()), None, state, there)
