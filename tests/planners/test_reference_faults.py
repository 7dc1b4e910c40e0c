"""One test for each known fault of the planners of google-research/world_models (REFERENCE.md, section 4).

Two of them are the harness's and are tested there: "observations are tiled before encoding" and "luck in the latent
wins" (6) in tests/harness/test_agent.py, `test_equal_candidates_score_alike` and `test_particles_are_averaged`;
"random steps hide their frames from the belief" (9) in tests/planners/test_exploration.py,
`test_a_random_step_of_epsilon_greedy_hides_no_frame_from_the_belief`, and for a cold start in
tests/harness/test_agent.py, `test_the_belief_sees_the_frames_of_random_actions`.
"""

import numpy as np
import pytest
import torch

from planners import objectives
from planners.cem import CEM
from planners.discrete import DiscreteCEM
from planners.exploration import GaussianNoise
from planners.mppi import MPPI
from planners.types import ActionSpace, Budget
from tests.planners.problems import CONTINUOUS, build, distance, matches, noise_of, solve

NEGATIVE = distance(torch.full((2, 1), 0.4))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_fault_6_every_candidate_carries_a_belief_of_its_own(name):
    """A planner hands on the context as it got it, once per iteration, whatever the number of candidates."""
    planner = build(name, Budget(2, 3, 40), 1)
    context, seen = object(), []
    solve(planner, lambda c, a: (seen.append(c), NEGATIVE(c, a))[1], context=context)
    assert all(one is context for one in seen)
    assert len(seen) == (1 if name == "shooting" else 3)


@pytest.mark.parametrize("elites", [2, 5, 60])
def test_fault_7_discrete_cem_crashes_with_more_than_one_elite(elites):
    target = torch.tensor([2, 0, 1, 1])
    planner = DiscreteCEM(ActionSpace(3, discrete=True), Budget(4, 8, 120), elites=elites)
    assert torch.equal(solve(planner, matches(target)).sequence[0].argmax(-1), target)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_fault_7_one_dimensional_actions_crash(name):
    plan = solve(build(name, Budget(2, 8, 300), 1), NEGATIVE)
    assert plan.sequence.shape == (1, 2, 1)
    assert (plan.sequence - 0.4).abs().max() < 0.3


@pytest.mark.parametrize("discrete", [False, True])
def test_fault_7_a_weighted_refit_crashes_on_negative_returns(discrete):
    if discrete:
        planner = DiscreteCEM(ActionSpace(3, discrete=True), Budget(2, 8, 100), refit="weighted")
        assert solve(planner, matches(torch.tensor([1, 2]))).sequence[0].argmax(-1).tolist() == [1, 2]
    else:
        plan = solve(CEM(ActionSpace(1), Budget(2, 8, 100), refit="weighted"), NEGATIVE)
        assert (plan.sequence - 0.4).abs().max() < 0.02


def test_fault_7_better_elites_weigh_more_also_below_zero():
    """Weights proportional to negative returns would favour the worse ones."""
    noise = {"proposals": torch.tensor([0.2, 0.8]).reshape(1, 1, 2, 1, 1)}
    planner = CEM(ActionSpace(1), Budget(1, 1, 2), elites=2, refit="weighted")
    plan, _ = planner.plan(lambda _c, a: a[..., 0, 0] - 100, None, None, noise)
    assert plan.action.item() > 0.5


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_fault_7_half_the_range_is_a_standard_deviation_not_a_variance(covariance):
    """With half of it for a whole half range: the variance of the first proposals is 0.25, not 0.5."""
    planner = CEM(ActionSpace(2), Budget(1, 1, 4000), covariance=covariance, initial_std=0.25)
    seen = []
    solve(planner, lambda _c, a: (seen.append(a), a.sum((-1, -2)))[1])
    assert seen[0].std().item() == pytest.approx(0.25, rel=0.05)


def test_fault_8_the_mean_of_mppi_shrinks():
    """All plans are worth the same and hardly differ: the mean stays where it is, through ten iterations."""
    planner = MPPI(ActionSpace(1), Budget(3, 10, 200), warm_start=True, initial_std=1e-3)
    state = torch.full((1, 3, 1), 0.8)
    plan, _ = planner.plan(lambda _c, a: torch.zeros_like(a[..., 0, 0]), None, state, noise_of(planner, 1))
    torch.testing.assert_close(plan.sequence, state, atol=1e-3, rtol=0)


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_fault_8_exponentials_overflow_without_subtracting_the_maximum(offset):
    planner = MPPI(ActionSpace(1), Budget(2, 5, 300), reward_weight=10.0, initial_std=0.5)
    score = lambda c, a: 10 * NEGATIVE(c, a) + offset
    assert (solve(planner, score).sequence - 0.4).abs().max() < 0.1
    weighted = CEM(ActionSpace(1), Budget(2, 8, 300), refit="weighted")
    assert (solve(weighted, score).sequence - 0.4).abs().max() < 0.1


def test_fault_9_noise_is_not_scaled_to_the_action_range():
    """Noise is in half ranges of actions that are always in [-1, 1]; a task stretches them to its own bounds."""
    explore = GaussianNoise(0.3).begin(ActionSpace(1), 2000, np.random.default_rng(0))
    taken = np.stack([explore(np.zeros(1, np.float32)) for _ in range(2000)])
    assert taken.std() == pytest.approx(0.3, rel=0.05)
    assert np.abs(taken).max() <= 1


def test_fault_10_discounted_reward_does_not_discount():
    late, early = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0])
    assert objectives.reward(late, None, 0.9) == pytest.approx(0.81)
    assert objectives.reward(early, None, 0.9) == 1
    assert objectives.undiscounted(late, None, 0.9) == 1


@pytest.mark.parametrize("refit", ["equal", "weighted"])
def test_fault_10_the_last_refit_of_cem_is_thrown_away(refit):
    """With a single iteration the action is its refit; thrown away, it would be 0, or the first choice."""
    plan = solve(CEM(ActionSpace(1), Budget(2, 1, 500), refit=refit), NEGATIVE)
    assert (plan.sequence - 0.4).abs().max() < 0.1
    planner = DiscreteCEM(ActionSpace(3, discrete=True), Budget(1, 1, 50), refit=refit)
    assert solve(planner, matches(torch.tensor([2]))).action.argmax().item() == 2
