import numpy as np
import pytest
import torch

from harness.build import build_agent, build_model, make_streams
from harness.rollout import play, play_all
from harness.tasks import find_task
from models.types import Observation
from planners.exploration import GaussianNoise, Greedy, UniformRandom
from tests.harness.runs import tiny_config


def _agent(**changes):
    config = tiny_config(**changes)
    task = find_task(config.task, config.env)
    streams = make_streams(config)
    model = build_model(config, task.spec, streams)
    return build_agent(config, task.spec, streams, torch.device("cpu"), model), task, streams


def _column(batch):
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (batch, 3, 16, 16), generator=generator).to(torch.uint8)
    return Observation(image, torch.zeros(batch, 2), torch.zeros(batch), torch.ones(batch, dtype=torch.bool))


@pytest.mark.parametrize("particles", [1, 3])
@torch.inference_mode()
def test_equal_candidates_score_alike(particles):
    """Noise is shared by the candidates: luck cannot tell two equal plans apart."""
    agent, _, streams = _agent(planner__particles=particles)
    state = agent.observe(agent.initial(2), _column(2), [("collect", 0, 0), ("collect", 1, 0)])
    draws = agent.model.draws("predict", (2, particles), 3)
    futures = streams.noise(draws, "predict_noise", 0)
    one = torch.rand(2, 1, 3, 2) * 2 - 1
    returns = agent.score(state.model, one.expand(-1, 5, -1, -1), futures)
    assert returns.shape == (2, 5)
    torch.testing.assert_close(returns, returns[:, :1].expand(-1, 5))


@torch.inference_mode()
def test_particles_are_averaged():
    agent, _, streams = _agent(planner__particles=3)
    state = agent.observe(agent.initial(1), _column(1), [("collect", 0, 0)])
    futures = streams.noise(agent.model.draws("predict", (1, 3), 3), "predict_noise", 0)
    actions = torch.rand(1, 4, 3, 2) * 2 - 1
    together = agent.score(state.model, actions, futures)
    agent.particles = 1
    single = [
        agent.score(state.model, actions, {k: v[:, i : i + 1] for k, v in futures.items()}) for i in range(3)
    ]
    torch.testing.assert_close(together, torch.stack(single).mean(0))


def test_a_batch_plans_like_its_rows():
    agent, _, _ = _agent()
    rows = [("collect", 0, 0), ("collect", 1, 0)]
    both, _ = agent.plan(agent.observe(agent.initial(2), _column(2), rows), rows)
    column = Observation(*(x[1:] for x in _column(2)))
    alone, _ = agent.plan(agent.observe(agent.initial(1), column, rows[1:]), rows[1:])
    torch.testing.assert_close(both[1:], alone)


def test_the_belief_sees_the_frames_of_random_actions():
    agent, task, streams = _agent()
    seen = []
    observe = agent.observe
    agent.observe = lambda state, column, rows, envs: (seen.append(column), observe(state, column, rows))[1]
    agent.plan = lambda *_: pytest.fail("a random agent does not plan")
    (episode,) = play(
        agent, [task.make()], task.spec, [("collect", 0)], UniformRandom(), streams, lambda: None
    )
    assert len(seen) == episode.length
    for t, column in enumerate(seen):
        np.testing.assert_array_equal(column.image[0], episode.image[t])
        np.testing.assert_array_equal(column.action[0], episode.action[t])
        assert column.reward[0] == pytest.approx(float(episode.reward[t]))
        assert bool(column.first[0]) == (t == 0)


def test_episodes_do_not_depend_on_who_is_played_beside_them():
    agent, task, streams = _agent()
    keys = [("final", i) for i in range(3)]
    side = play_all(agent, [task.make(), task.make()], task.spec, keys, Greedy(), streams, lambda: None)
    alone = play_all(agent, [task.make()], task.spec, keys, Greedy(), streams, lambda: None)
    for a, b in zip(side, alone, strict=True):
        np.testing.assert_array_equal(a.image[0], b.image[0])
        np.testing.assert_allclose(a.action, b.action, atol=1e-4)


def test_the_taken_action_is_recorded():
    agent, task, streams = _agent()
    (episode,) = play(
        agent, [task.make()], task.spec, [("collect", 9)], GaussianNoise(0.3), streams, lambda: None
    )
    assert (episode.action[0] == 0).all()
    assert np.abs(episode.action).max() <= 1
    replayed = task.make()
    replayed.reset(seed=streams.env_seed("episode", "collect", 9))
    for t in range(1, episode.columns):
        image, reward, *_ = replayed.step(episode.action[t])
        np.testing.assert_array_equal(image, episode.image[t])
        assert reward == pytest.approx(float(episode.reward[t]))
