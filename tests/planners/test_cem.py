import pytest
import torch

from planners.cem import CEM
from planners.types import ActionSpace, Budget


def _noise(planner, batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(shape, generator=generator) for k, (shape, _) in planner.draws(batch).items()}


def _quadratic(target):
    """Score -|actions - target|^2, best 0."""
    return lambda _context, actions: -((actions - target) ** 2).sum((-1, -2))


@pytest.mark.parametrize("action_dim", [1, 2, 6])
@pytest.mark.parametrize("action", ["mean", "best"])
def test_finds_the_optimum_of_a_quadratic(action_dim, action):
    target = torch.linspace(-0.7, 0.6, 3 * action_dim).reshape(3, action_dim)
    planner = CEM(ActionSpace(action_dim), Budget(3, 15, 400), action=action)
    plan, _ = planner.plan(_quadratic(target), None, planner.initial(1), _noise(planner, 1))
    assert (plan.sequence[0] - target).abs().max() < (0.02 if action == "mean" else 0.1)
    assert torch.equal(plan.action, plan.sequence[:, 0])


def test_optimum_at_the_bound_is_reached():
    planner = CEM(ActionSpace(1), Budget(2, 10, 200))
    plan, _ = planner.plan(_quadratic(torch.full((2, 1), 3.0)), None, None, _noise(planner, 1))
    assert (plan.sequence - 1).abs().max() < 0.02
    assert plan.sequence.abs().max() <= 1


def test_a_batch_equals_single_problems():
    planner = CEM(ActionSpace(2), Budget(4, 5, 64))
    targets = torch.rand(3, 1, 4, 2) * 1.6 - 0.8
    noise = _noise(planner, 3)
    together, _ = planner.plan(lambda c, a: _quadratic(c)(None, a), targets, None, noise)
    for b in range(3):
        single = {k: v[b : b + 1] for k, v in noise.items()}
        alone, _ = planner.plan(lambda c, a: _quadratic(c)(None, a), targets[b : b + 1], None, single)
        torch.testing.assert_close(alone.sequence[0], together.sequence[b])
        torch.testing.assert_close(alone.returns[0], together.returns[b])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_nonfinite_return_never_wins_and_is_counted(bad):
    def score(_context, actions):
        first = actions[..., 0, 0]
        return torch.where(first > 0, torch.full_like(first, bad), first)

    planner = CEM(ActionSpace(1), Budget(1, 8, 100), action="best")
    plan, _ = planner.plan(score, None, None, _noise(planner, 2))
    assert (plan.action <= 0).all()
    assert plan.returns.isfinite().all()
    assert (plan.diagnostics["rejected"] > 0).all()


@pytest.mark.parametrize("action", ["mean", "best"])
def test_a_rejected_candidate_is_no_elite(action):
    """Three finite returns, ten elites: the refit is of the three."""

    def score(_context, actions):
        first = actions[..., 0, 0]
        return torch.where(torch.arange(first.shape[1]) < 3, first, torch.nan)

    planner = CEM(ActionSpace(1), Budget(1, 1, 100), action=action)
    noise = _noise(planner, 1)
    plan, _ = planner.plan(score, None, None, noise)
    three = noise["proposals"][0, 0, :3, 0, 0].clamp(-1, 1)
    expected = three.mean() if action == "mean" else three.max()
    torch.testing.assert_close(plan.action[0, 0], expected)
    torch.testing.assert_close(plan.returns[0], expected)


def test_nothing_finite_is_told_by_the_return():
    planner = CEM(ActionSpace(1), Budget(1, 2, 10))
    plan, _ = planner.plan(lambda _c, a: a[..., 0, 0] * torch.nan, None, None, _noise(planner, 1))
    assert plan.action.isfinite().all()
    assert plan.returns.item() == -torch.inf
    assert plan.diagnostics["rejected"].item() == 20


def test_one_proposal_and_one_iteration():
    planner = CEM(ActionSpace(1), Budget(1, 1, 1))
    noise = _noise(planner, 1)
    plan, _ = planner.plan(_quadratic(torch.zeros(1, 1)), None, None, noise)
    torch.testing.assert_close(plan.sequence, noise["proposals"][:, 0, 0].clamp(-1, 1))


def test_the_last_refit_decides_the_mean_action():
    """One iteration, two elites: the action is their mean, not the starting mean."""
    planner = CEM(ActionSpace(1), Budget(1, 1, 4), elite_fraction=0.5)
    noise = {"proposals": torch.tensor([-0.5, 0.1, 0.3, 0.9]).reshape(1, 1, 4, 1, 1)}
    plan, _ = planner.plan(lambda _c, a: a.sum((-1, -2)), None, None, noise)
    torch.testing.assert_close(plan.action, torch.tensor([[0.6]]))
    torch.testing.assert_close(plan.returns, torch.tensor([0.6]))
    torch.testing.assert_close(plan.diagnostics["std"], torch.tensor([0.3]))


def test_the_plan_compiles_whole():
    planner = CEM(ActionSpace(1), Budget(2, 2, 8))
    noise = _noise(planner, 2)
    score = _quadratic(torch.zeros(2, 1))
    compiled = torch.compile(
        lambda n: planner.plan(score, None, None, n)[0].sequence, fullgraph=True, backend="eager"
    )
    torch.testing.assert_close(compiled(noise), planner.plan(score, None, None, noise)[0].sequence)
