"""From a configuration to the objects it names: task, model, planner, agent."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch

from harness.agent import ModelAgent
from harness.config import RunConfig
from harness.errors import RunError, UserError
from harness.registry import load, model_path, planner_path
from harness.streams import Streams
from harness.tasks.spec import TaskSpec
from models.types import AnyWorldModel, LossWeights, ModelSpec
from planners import objectives
from planners.objectives import Objective
from planners.types import Planner


def make_streams(config: RunConfig) -> Streams:
    """The run's random streams; the design is its axes, so that two names of one design draw alike."""
    design = (
        f"{config.predict}-{config.space}-{config.dynamics}-{config.reward_from}-{config.reward_gradient}"
    )
    return Streams(config.seed, config.task, design)


def make_device(name: str) -> torch.device:
    """The device that `runtime.device` names.

    Raises:
        RunError: CUDA is asked for and absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise RunError("code", f"runtime.device is {name} but torch sees no GPU.", "Use device auto or cpu.")
    return torch.device(name)


def model_spec(config: RunConfig, task: TaskSpec) -> ModelSpec:
    """What the model of a configuration is asked to do on a task."""
    return ModelSpec(
        action_dim=task.action_dim,
        discrete=task.discrete,
        image_shape=task.image_shape,
        predict_images=config.predict == "images",
        predict_continues=task.terminates,
        stochastic=config.dynamics == "stochastic",
        context=config.model.context if config.space == "pixel" else 1,
        decodes_to_plan=config.reward_from == "image",
    )


def build_model(config: RunConfig, task: TaskSpec, streams: Streams) -> AnyWorldModel:
    """The world model of a configuration, freshly initialised, float32 on the CPU.

    Raises:
        UserError: the configuration asks for what the model cannot do; says what.
    """
    weights = {field.name: getattr(config.model, field.name) for field in fields(LossWeights)}
    path = model_path(config.model.name, config.predict, config.space)
    if config.reward_from == "image":
        raise UserError(f"{path}: reward_from: image does not exist yet; use reward_from: state")
    try:
        model: AnyWorldModel = load(path)(
            spec=model_spec(config, task),
            size=config.size,
            widths=dict(config.model.widths),
            weights=LossWeights(**weights),
            reward_gradient=config.reward_gradient,
            image_fraction=config.image_fraction,
            seed=streams.key("model_init"),
            region_seed=streams.key("image_region"),
            options=dict(config.model.options),
        )
    except ValueError as error:
        raise UserError(f"{config.label}: {error}") from error
    return model


def build_planner(config: RunConfig, task: TaskSpec) -> Planner[Any]:
    """The planner of a configuration."""
    if task.discrete:
        raise UserError(f"{task.name} has discrete actions, for which there is no planner yet")
    planner = config.planner
    budget: dict[str, Any] = {
        "horizon": planner.horizon,
        "iterations": planner.iterations,
        "proposals": planner.proposals,
        "elite_fraction": planner.elite_fraction,
        "action": planner.action,
        "std_floor": planner.std_floor,
    }
    built: Planner[Any] = load(planner_path(planner.name))(task.action_dim, **budget, **planner.options)
    return built


def build_objective(name: str) -> Objective:
    """The objective that `planner.objective` names."""
    objective: Objective = objectives.reward if name == "reward" else load(name)
    return objective


def build_agent(
    config: RunConfig, task: TaskSpec, streams: Streams, device: torch.device, model: AnyWorldModel
) -> ModelAgent:
    """The agent of a configuration with a model."""
    return ModelAgent(
        model,
        build_planner(config, task),
        build_objective(config.planner.objective),
        discount=config.planner.discount,
        particles=config.planner.particles,
        streams=streams,
        device=device,
        bfloat16=config.train.precision == "bfloat16",
    )
