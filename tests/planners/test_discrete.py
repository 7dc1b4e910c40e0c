import pytest
import torch

from planners.discrete import DiscreteCEM
from planners.types import ActionSpace, Budget
from tests.planners.problems import matches, noise_of, solve


def _planner(choices, budget, **options):
    return DiscreteCEM(ActionSpace(choices, discrete=True), budget, **options)


@pytest.mark.parametrize("action", ["mean", "best"])
@pytest.mark.parametrize("refit", ["equal", "weighted"])
@pytest.mark.parametrize("elites", [2, 10, 50])
def test_finds_a_sequence_of_choices(action, refit, elites):
    """8 steps of 4 choices: one plan in 65,536, by 10 x 300 candidates, whatever the number of elites."""
    target = torch.tensor([3, 0, 1, 1, 2, 0, 3, 2])
    planner = _planner(4, Budget(8, 10, 300), action=action, refit=refit, elites=elites)
    for seed in range(3):
        plan = solve(planner, matches(target), 1, seed)
        assert torch.equal(plan.sequence[0].argmax(-1), target)
        assert plan.diagnostics["best_return"].item() == -12


def test_a_score_with_two_optima_ends_at_the_higher_one():
    """All zeros are worth 5, all twos 8, anything else the number of ones less."""

    def score(_context, actions):
        choice = actions.argmax(-1)
        count = [(choice == option).float().sum(-1) for option in range(3)]
        return torch.maximum(5 * (count[0] == 4), 8 * (count[2] == 4)) + 0.1 * count[2] - count[1]

    plan = solve(_planner(3, Budget(4, 8, 200)), score)
    assert plan.sequence[0].argmax(-1).tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("elites", [1, 3])
def test_no_choice_gets_impossible(elites):
    """The elites of the first iteration all choose 0; what is best changes, and is found again."""
    calls = []

    def fickle(_context, actions):
        calls.append(actions)
        return actions[..., 0, 0 if len(calls) < 4 else 2]

    planner = _planner(3, Budget(1, 8, 100), elites=elites)
    assert solve(planner, fickle).action.argmax().item() == 2
    assert calls[3][0, :, 0].mean(0).min() > 0


def test_the_share_of_uniform_choices():
    assert _planner(3, Budget(1, 1, 100), elites=9).uniform_share == pytest.approx(0.1)
    assert _planner(3, Budget(1, 1, 100), elites=9, std_floor=0.4).uniform_share == 0.4
    planner = _planner(4, Budget(1, 2, 4000), elites=400, std_floor=0.4)
    seen = []
    solve(planner, lambda _c, a: (seen.append(a), a[..., 0, 0])[1])
    torch.testing.assert_close(seen[1].mean((0, 1, 2)), torch.tensor([0.7, 0.1, 0.1, 0.1]), atol=0.03, rtol=0)


def test_the_mean_is_the_likeliest_choice_of_the_last_refit():
    """Three elites: 1, 1 and 0; equal weights say 1, weights by return say what the best chose: 0."""
    draws = torch.tensor([0.1, 0.5, 0.6, 0.9]).reshape(1, 1, 4, 1)  # choices 0, 1, 1, 2 of 3
    score = lambda _c, a: (a * torch.tensor([-1.0, -9.0, -10.0])).sum((-1, -2))
    for refit, chosen in (("equal", 1), ("weighted", 0)):
        planner = _planner(3, Budget(1, 1, 4), elites=3, refit=refit)
        plan, _ = planner.plan(score, None, None, {"proposals": draws})
        assert plan.action.argmax().item() == chosen
    assert plan.diagnostics["best_return"].item() == -1


def test_a_warm_start_goes_on_from_the_probabilities_one_step_later():
    target = torch.tensor([2, 1, 0, 2])
    planner = _planner(3, Budget(4, 4, 200), warm_start=True)
    plan, state = planner.plan(matches(target), None, planner.initial(1), noise_of(planner, 1))
    assert state.shape == (1, 4, 3)
    assert state[0, :3].argmax(-1).tolist() == [1, 0, 2]
    torch.testing.assert_close(state[0, 3], torch.full((3,), 1 / 3))
    seen = []
    later = torch.tensor([1, 0, 2, 1])
    plan, _ = planner.plan(
        lambda c, a: (seen.append(a), matches(later)(c, a))[1], None, state, noise_of(planner, 1, 1)
    )
    assert torch.equal(plan.sequence[0].argmax(-1), later)
    assert (seen[0][0, :, :3].argmax(-1) == later[:3]).float().mean() > 0.8
    assert _planner(3, Budget()).initial(2) is None


def test_a_single_choice():
    plan = solve(_planner(1, Budget(3, 2, 5)), lambda _c, a: a.sum((-1, -2)) - 9)
    assert (plan.sequence == 1).all()
    assert plan.returns.item() == -6


def test_options_of_the_continuous_form_mean_nothing():
    target = torch.tensor([1, 0, 2])
    plain = solve(_planner(3, Budget(3, 3, 40)), matches(target))
    other = solve(_planner(3, Budget(3, 3, 40), covariance="full", initial_std=0.1), matches(target))
    assert torch.equal(plain.sequence, other.sequence)
