"""Gradient steps."""

import pytest
import torch

from harness.build import build_model, make_streams
from harness.replay import Replay
from harness.tasks import find_task
from harness.trainer import Trainer
from tests.harness.runs import tiny_config


def trained(tmp_path, **fields):
    """A model after one gradient step on an episode of the toy task."""
    config = tiny_config(**fields)
    task, streams = find_task(config.task, config.env), make_streams(config)
    model = build_model(config, task.spec, streams)
    replay = Replay.open(tmp_path, task.spec)
    replay.append(played(task))
    Trainer(config, model, streams, torch.device("cpu")).step(replay, 0, {})
    return model


def played(task):
    from harness.agent import NoModel
    from harness.rollout import play
    from harness.streams import Streams
    from planners.exploration import UniformRandom

    agent, key = NoModel(task.spec.action_dim), ("collect", 0)
    streams = Streams(0, "test", "")
    return play(agent, [task.make()], task.spec, [key], UniformRandom(), streams, lambda: None)[0]


def norm(module):
    return torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm().item()


def test_the_gradient_norm_is_bounded(tmp_path):
    model = trained(tmp_path, predict="images", train__clip_norm=1e-3)
    assert norm(model) == pytest.approx(1e-3, rel=1e-2)


def test_the_bound_of_a_separate_model_is_its_own(tmp_path):
    """A large image gradient must not scale the reward model's down."""
    model = trained(tmp_path, predict="images", reward_gradient="separate", train__clip_norm=1e-3)
    assert [norm(part) for part in model.parts] == pytest.approx([1e-3, 1e-3], rel=1e-2)
