import pytest
import torch

from planners.mppi import MPPI
from planners.types import ActionSpace, Budget
from tests.planners.problems import distance, noise_of, solve, two_hills


@pytest.mark.parametrize("dim", [1, 2])
def test_finds_the_optimum_of_a_quadratic(dim):
    """Within 0.15, 10 iterations of 500: constant noise leaves it less exact than a shrinking distribution."""
    target = torch.linspace(-0.6, 0.6, 3 * dim).reshape(3, dim)
    planner = MPPI(ActionSpace(dim), Budget(3, 10, 500), reward_weight=30.0, initial_std=0.3)
    for seed in range(3):
        assert (solve(planner, distance(target), 1, seed).sequence[0] - target).abs().max() < 0.15


def test_the_higher_of_two_hills_is_found():
    planner = MPPI(ActionSpace(1), Budget(1, 10, 500), reward_weight=20.0)
    for seed in range(5):
        assert (solve(planner, two_hills, 1, seed).sequence - 0.5).abs().max() < 0.05


def test_one_update_is_the_weighted_mean():
    planner = MPPI(ActionSpace(1), Budget(1, 1, 3), reward_weight=2.0, smoothing=1.0)
    noise = {"proposals": torch.tensor([-0.5, 0.1, 0.8]).reshape(1, 1, 3, 1, 1)}
    plan, _ = planner.plan(lambda _c, a: a[..., 0, 0] - 7, None, None, noise)
    weights = torch.softmax(2 * torch.tensor([-0.5, 0.1, 0.8]), 0)
    torch.testing.assert_close(plan.action[0, 0], (weights * torch.tensor([-0.5, 0.1, 0.8])).sum())
    torch.testing.assert_close(plan.returns[0], (weights * torch.tensor([-7.5, -6.9, -6.2])).sum())
    torch.testing.assert_close(plan.diagnostics["effective"][0], 1 / weights.square().sum())


def test_noise_goes_on_from_step_to_step():
    planner = MPPI(ActionSpace(2), Budget(5, 1, 4), smoothing=0.6, initial_std=0.1)
    noise, seen = noise_of(planner, 1), []
    planner.plan(lambda _c, a: (seen.append(a), a.sum((-1, -2)))[1], None, None, noise)
    u, before = noise["proposals"][0, 0], 0
    for t in range(5):
        before = 0.6 * u[:, t] + 0.4 * before
        torch.testing.assert_close(seen[0][0, :, t], 0.1 * before)


def test_the_noise_of_all_iterations_has_one_size():
    planner = MPPI(ActionSpace(1), Budget(1, 4, 500), smoothing=1.0, initial_std=0.2, reward_weight=5.0)
    seen = []
    solve(planner, lambda _c, a: (seen.append(a), distance(torch.zeros(1, 1))(None, a))[1])
    for actions in seen:
        assert actions.std().item() == pytest.approx(0.2, rel=0.1)


def test_a_warm_start_goes_on_from_the_mean_one_step_later():
    planner = MPPI(ActionSpace(1), Budget(3, 1, 50), warm_start=True, initial_std=0.3, reward_weight=20.0)
    plan, state = planner.plan(
        distance(torch.full((3, 1), 0.5)), None, planner.initial(1), noise_of(planner, 1)
    )
    torch.testing.assert_close(state[:, :2], plan.sequence[:, 1:])
    assert state[0, 2].item() == 0
    for call in range(1, 10):
        plan, state = planner.plan(distance(torch.full((3, 1), 0.5)), None, state, noise_of(planner, 1, call))
    assert plan.action.item() == pytest.approx(0.5, abs=0.1)
    assert MPPI(ActionSpace(1), Budget()).initial(2) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_nonfinite_return_weighs_nothing(bad):
    planner = MPPI(ActionSpace(1), Budget(1, 1, 4), smoothing=1.0)
    noise = {"proposals": torch.tensor([-0.5, 0.2, 0.4, 0.9]).reshape(1, 1, 4, 1, 1)}
    score = lambda _c, a: torch.where((a[..., 0, 0] > 0) & (a[..., 0, 0] < 0.5), -3.0, bad)
    plan, _ = planner.plan(score, None, None, noise)
    torch.testing.assert_close(plan.action[0, 0], torch.tensor(0.3))
    torch.testing.assert_close(plan.returns[0], torch.tensor(-3.0))
    assert plan.diagnostics["rejected"].item() == 2


def test_where_nothing_is_finite_the_mean_stays():
    planner = MPPI(ActionSpace(1), Budget(2, 3, 10), warm_start=True)
    state = torch.tensor([[[0.3], [-0.4]]])
    plan, later = planner.plan(lambda _c, a: a[..., 0, 0] * torch.nan, None, state, noise_of(planner, 1))
    assert torch.equal(plan.sequence, state)
    assert later.flatten().tolist() == pytest.approx([-0.4, 0.0])
