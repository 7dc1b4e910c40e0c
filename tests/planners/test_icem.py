import pytest
import torch

from planners.cem import CEM
from planners.icem import ICEM
from planners.types import ActionSpace, Budget
from tests.planners.problems import distance, noise_of, solve, two_hills


def _watch(score):
    """A score that keeps what it is asked about."""
    seen = []
    return seen, lambda context, actions: (seen.append(actions), score(context, actions))[1]


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("action", ["mean", "best"])
def test_finds_the_optimum_of_a_quadratic(dim, action):
    """Within 0.03 (the mean) or 0.15 (the best sample), 10 iterations of at most 500."""
    target = torch.linspace(-0.6, 0.6, 3 * dim).reshape(3, dim)
    planner = ICEM(ActionSpace(dim), Budget(3, 10, 500), action=action)
    for seed in range(3):
        away = (solve(planner, distance(target), 1, seed).sequence[0] - target).abs().max()
        assert away < (0.03 if action == "mean" else 0.15)


def test_the_higher_of_two_hills_is_found():
    planner = ICEM(ActionSpace(1), Budget(2, 10, 500))
    for seed in range(5):
        assert (solve(planner, two_hills, 1, seed).sequence - 0.5).abs().max() < 0.01


def test_coloured_noise_reaches_further_than_white():
    """A point that each action moves by at most 1 should be 8 away after 12 steps; 3 iterations of 40."""

    def reach(_context, actions):
        return -(actions.sum((-1, -2)) - 8).square()

    short = {}
    for exponent in (0.0, 2.0):
        planner = ICEM(ActionSpace(1), Budget(12, 3, 40), noise_exponent=exponent, initial_std=0.5)
        short[exponent] = max(-solve(planner, reach, 1, seed).diagnostics["best_return"] for seed in range(5))
    assert short[2.0] < 0.5
    assert short[0.0] > 2


def test_the_population_shrinks_but_not_below_twice_the_elites():
    planner = ICEM(ActionSpace(1), Budget(2, 6, 100), shrink=2.0, elites=10)
    seen, score = _watch(distance(torch.zeros(2, 1)))
    solve(planner, score)
    assert [actions.shape[1] for actions in seen] == [100, 50, 25, 20, 20, 20]
    assert planner.draws(3)["proposals"] == ((3, 235, 2, 1), "normal")
    small = ICEM(ActionSpace(1), Budget(2, 3, 5), elites=4)
    assert small.populations == [5, 5, 5]


def test_elites_and_the_mean_are_carried_on():
    """Into the next iteration, into the last one, and one step later into the next call."""
    planner = ICEM(ActionSpace(2), Budget(3, 2, 20), elites=6, kept_elites=0.5, shrink=1.0)
    seen, score = _watch(distance(torch.full((3, 2), 0.4)))
    noise = noise_of(planner, 1)
    _, state = planner.plan(score, None, planner.initial(1), noise)
    order = distance(torch.full((3, 2), 0.4))(None, seen[0])[0].argsort(descending=True)
    torch.testing.assert_close(seen[1][0, :3], seen[0][0, order[:3]])
    mean = 0.9 * seen[0][0, order[:6]].mean(0)
    torch.testing.assert_close(seen[1][0, -1], mean)

    order = distance(torch.full((3, 2), 0.4))(None, seen[1])[0].argsort(descending=True)
    torch.testing.assert_close(state.elites[0, :, :2], seen[1][0, order[:3], 1:])
    torch.testing.assert_close(state.mean[0, :2], (0.1 * mean + 0.9 * seen[1][0, order[:6]].mean(0))[1:])
    assert state.known.all()
    planner.plan(score, None, state, noise_of(planner, 1, 1))
    torch.testing.assert_close(seen[2][0, :3, :2], state.elites[0, :, :2])
    assert (seen[2][0, :3, 2] != 0).all()  # a step that nobody has planned yet


def test_the_first_call_has_no_elites_from_before():
    planner = ICEM(ActionSpace(1), Budget(3, 1, 20), elites=10, kept_elites=1.0, noise_exponent=0.0)
    seen, score = _watch(distance(torch.zeros(3, 1)))
    solve(planner, score)
    drawn = noise_of(planner, 1)["proposals"].clamp(-1, 1)
    torch.testing.assert_close(seen[0][:, :-1], drawn[:, :-1])
    assert (seen[0][:, -1] == 0).all()  # the mean


def test_a_kept_candidate_had_a_finite_return():
    planner = ICEM(ActionSpace(1), Budget(2, 2, 20), elites=10, kept_elites=1.0, noise_exponent=0.0)
    bad = lambda _c, a: torch.where(torch.arange(20) < 3, a.sum((-1, -2)), torch.nan)
    _, state = planner.plan(bad, None, planner.initial(1), noise_of(planner, 1))
    assert state.known.sum() == 3


def test_without_its_additions_it_is_cem_with_momentum():
    """One iteration, white noise, nothing kept: the same candidates, nine tenths of the way to the same mean."""
    noise = noise_of(CEM(ActionSpace(2), Budget(3, 1, 30)), 1)
    icem = ICEM(ActionSpace(2), Budget(3, 1, 30), noise_exponent=0.0, kept_elites=0.0)
    icem.with_mean = False
    target = torch.full((3, 2), 0.2)
    one, _ = icem.plan(distance(target), None, icem.initial(1), {"proposals": noise["proposals"][:, 0]})
    other, _ = CEM(ActionSpace(2), Budget(3, 1, 30)).plan(distance(target), None, None, noise)
    torch.testing.assert_close(one.sequence, 0.9 * other.sequence)
    torch.testing.assert_close(one.returns, other.returns)


def test_every_call_is_a_warm_start():
    """A constant target and one iteration a call: the error of the calls after the fifth is half that of the first."""
    planner = ICEM(ActionSpace(2), Budget(4, 1, 60), initial_std=0.4)
    target = torch.tensor([0.5, -0.5])
    state, away = planner.initial(20), []
    for call in range(10):
        plan, state = planner.plan(distance(target), None, state, noise_of(planner, 20, call))
        away.append((plan.action - target).abs().mean().item())
    assert sum(away[5:]) / 5 < 0.5 * away[0]
