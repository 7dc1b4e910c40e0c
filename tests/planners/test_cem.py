import pytest
import torch

from planners.cem import CEM
from planners.types import ActionSpace, Budget
from tests.planners.problems import distance as _quadratic
from tests.planners.problems import noise_of as _noise
from tests.planners.problems import ridge, solve, two_hills


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


@pytest.mark.parametrize("action", ["mean", "best"])
def test_the_higher_of_two_hills_is_found(action):
    planner = CEM(ActionSpace(1), Budget(2, 10, 500), action=action)
    for seed in range(5):
        assert (solve(planner, two_hills, 1, seed).sequence - 0.5).abs().max() < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_a_full_covariance_climbs_a_ridge_that_a_diagonal_one_does_not(seed):
    """Ellipses thirty times longer than wide, at the same budget."""
    target = torch.linspace(-0.6, 0.6, 12).reshape(3, 4)
    away = {}
    for covariance in ("diagonal", "full"):
        planner = CEM(ActionSpace(4), Budget(3, 15, 400), covariance=covariance)
        away[covariance] = (solve(planner, ridge(target, 30.0), 1, seed).sequence[0] - target).abs().max()
    assert away["full"] < 0.1
    assert away["diagonal"] > 0.2


@pytest.mark.parametrize("elites", [1, 2, 7])
@pytest.mark.parametrize("dim", [1, 3])
def test_a_full_covariance_needs_no_number_of_elites(elites, dim):
    """Also with fewer elites than dimensions, and fewer finite ones than elites."""

    def score(context, actions):
        returns = _quadratic(torch.zeros(2, dim))(context, actions)
        return torch.where(torch.arange(50) < 2, returns, torch.nan)

    planner = CEM(ActionSpace(dim), Budget(2, 6, 50), covariance="full", elites=elites)
    assert solve(planner, score).sequence.isfinite().all()
    plan = solve(planner, _quadratic(torch.full((2, dim), 0.3)))
    assert plan.sequence.isfinite().all()
    assert plan.returns > -1


def test_in_one_dimension_a_full_covariance_is_the_diagonal_one():
    plans = [
        solve(CEM(ActionSpace(1), Budget(3, 5, 50), covariance=covariance), two_hills).sequence
        for covariance in ("diagonal", "full")
    ]
    torch.testing.assert_close(*plans)


def test_weights_are_a_softmax_of_standardised_returns():
    """Four candidates, three elites of returns 3, 1, -1 (whatever their unit): weights exp(0, -1.22, -2.45)."""
    noise = {"proposals": torch.tensor([-0.6, -0.2, 0.2, 0.6]).reshape(1, 1, 4, 1, 1)}
    weights = torch.tensor([0.0, -2.0, -4.0]).div(torch.tensor([3.0, 1.0, -1.0]).std(correction=0)).exp()
    expected = (weights * torch.tensor([0.6, 0.2, -0.2])).sum() / weights.sum()
    for scale, offset in ((1.0, 0.0), (1e-3, -5.0), (1e4, -1e6)):
        planner = CEM(ActionSpace(1), Budget(1, 1, 4), refit="weighted", elites=3)
        score = lambda _c, a, s=scale, o=offset: a[..., 0, 0] * 5 * s + o
        plan, _ = planner.plan(score, None, None, noise)
        torch.testing.assert_close(plan.action[0, 0], expected, rtol=1e-3, atol=1e-3)


def test_weights_of_equal_or_single_elites_are_equal():
    noise = {"proposals": torch.tensor([-0.6, -0.2, 0.2, 0.7]).reshape(1, 1, 4, 1, 1)}
    for elites, expected in ((4, 0.025), (1, 0.7)):
        planner = CEM(ActionSpace(1), Budget(1, 1, 4), refit="weighted", elites=elites)
        score = lambda _c, a, n=elites: torch.full_like(a[..., 0, 0], -3.3) if n == 4 else a[..., 0, 0]
        plan, _ = planner.plan(score, None, None, noise)
        assert plan.action.item() == pytest.approx(expected)


def test_huge_returns_do_not_overflow_the_weights():
    planner = CEM(ActionSpace(1), Budget(1, 3, 50), refit="weighted")
    plan = solve(planner, lambda _c, a: a[..., 0, 0].sign() * 3e38)
    assert plan.action.isfinite().all()
    assert plan.action > 0


def test_initial_std_and_floor():
    planner = CEM(ActionSpace(1), Budget(1, 1, 400), initial_std=0.1)
    seen = []
    solve(planner, lambda _c, a: (seen.append(a), a.sum((-1, -2)))[1])
    assert seen[0].std().item() == pytest.approx(0.1, rel=0.1)
    for covariance in ("diagonal", "full"):
        floor = CEM(ActionSpace(2), Budget(1, 12, 400), std_floor=0.2, covariance=covariance)
        seen.clear()
        plan = solve(floor, lambda _c, a: (seen.append(a), _quadratic(torch.zeros(1, 2))(None, a))[1])
        assert plan.diagnostics["std"].item() == pytest.approx(0.2)
        assert seen[-1].std().item() == pytest.approx(0.2, rel=0.1)


def test_a_warm_start_goes_on_from_the_mean_one_step_later():
    planner = CEM(ActionSpace(1), Budget(3, 2, 50), warm_start=True, initial_std=0.3)
    first, state = planner.plan(
        _quadratic(torch.full((3, 1), 0.8)), None, planner.initial(1), _noise(planner, 1)
    )
    torch.testing.assert_close(state[:, :2], first.sequence[:, 1:])
    assert state[0, 2].item() == 0
    seen = []
    planner.plan(lambda _c, a: (seen.append(a), a.sum((-1, -2)))[1], None, state, _noise(planner, 1))
    expected = (state[:, None] + 0.3 * _noise(planner, 1)["proposals"][:, 0]).clamp(-1, 1)
    torch.testing.assert_close(seen[0], expected)
    assert CEM(ActionSpace(1), Budget()).initial(3) is None


def test_a_warm_start_needs_fewer_samples_per_call():
    """A constant target, calls of one iteration of 50: from call to call it comes nearer; a cold start stays away."""
    target = torch.linspace(-0.7, 0.7, 6)
    away = {}
    for warm in (True, False):
        planner = CEM(ActionSpace(6), Budget(4, 1, 50), warm_start=warm, initial_std=0.4)
        state = planner.initial(1)
        for call in range(10):
            plan, state = planner.plan(_quadratic(target), None, state, _noise(planner, 1, call))
        away[warm] = (plan.action - target).abs().max().item()
    assert away[True] < 0.25
    assert away[False] > 0.5


def test_the_defaults_compute_what_they_always_did():
    """Numbers of the first version of CEM: they must not change while its version is 1."""
    noise = {"proposals": torch.linspace(0, 400, 48).sin().mul(1.2).reshape(1, 3, 8, 1, 2)}
    score = lambda _c, a: -(a[..., 0, 0] - 0.3).square() - (a[..., 0, 1] + a[..., 0, 0]).abs()
    plan, _ = CEM(ActionSpace(2), Budget(1, 3, 8), elite_fraction=0.4).plan(score, None, None, noise)
    torch.testing.assert_close(plan.action, torch.tensor([[0.4605258, -0.3703838]]))
    torch.testing.assert_close(plan.returns, torch.tensor([-0.2581708]))
