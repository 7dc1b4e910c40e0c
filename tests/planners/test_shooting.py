import torch

from planners.shooting import RandomShooting
from planners.types import ActionSpace, Budget
from tests.planners.problems import distance, matches, noise_of, solve, two_hills


def test_it_plays_the_best_of_its_plans():
    planner = RandomShooting(ActionSpace(2), Budget(3, 7, 50))
    plan = solve(planner, distance(torch.zeros(3, 2)), 2)
    plans = 2 * noise_of(planner, 2)["proposals"] - 1
    returns = distance(torch.zeros(3, 2))(None, plans)
    for b in range(2):
        assert torch.equal(plan.sequence[b], plans[b, returns[b].argmax()])
        assert plan.returns[b] == returns[b].max()


def test_enough_samples_find_an_optimum():
    """One step, one dimension, 500 plans: within 0.02."""
    planner = RandomShooting(ActionSpace(1), Budget(1, 1, 500))
    assert abs(solve(planner, two_hills).action.item() - 0.5) < 0.02
    assert abs(solve(planner, distance(torch.tensor([[-0.9]]))).action.item() + 0.9) < 0.02


def test_it_finds_a_short_sequence_of_choices():
    target = torch.tensor([2, 0, 1])
    planner = RandomShooting(ActionSpace(3, discrete=True), Budget(3, 1, 300))
    plan = solve(planner, matches(target))
    assert torch.equal(plan.sequence[0].argmax(-1), target)
    assert plan.returns.item() == -17


def test_plans_are_uniform():
    for dim, discrete in ((1, False), (4, True)):
        planner = RandomShooting(ActionSpace(dim, discrete), Budget(2, 1, 4000))
        seen = []
        solve(planner, lambda _c, a, s=seen: (s.append(a), a.sum((-1, -2)))[1])
        if discrete:
            torch.testing.assert_close(seen[0].mean(1), torch.full((1, 2, 4), 0.25), atol=0.03, rtol=0)
        else:
            assert seen[0].mean().abs() < 0.03
            assert (seen[0].var() - 1 / 3).abs() < 0.02


def test_it_looks_once_whatever_the_iterations():
    planner = RandomShooting(ActionSpace(1), Budget(2, 10, 5))
    calls = []
    solve(planner, lambda _c, a: (calls.append(a), a.sum((-1, -2)))[1])
    assert len(calls) == 1
    assert planner.draws(3) == {"proposals": ((3, 5, 2, 1), "uniform")}
