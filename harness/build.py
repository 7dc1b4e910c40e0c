"""From a configuration to the objects it names: task, model, planner, agent."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch

from harness.agent import ModelAgent
from harness.config import RunConfig
from harness.config.sections import PlannerConfig
from harness.errors import RunError, UserError
from harness.places import place_in, where_in
from harness.planning import own_planner
from harness.registry import PLANNERS, load, model_entry, planner_path, suggest
from harness.streams import Streams
from harness.tasks.spec import TaskSpec
from models.types import AnyWorldModel, LossWeights, ModelDesign, ModelSpec
from planners import objectives
from planners.exploration import EpsilonGreedy, Exploration, GaussianNoise, Greedy, UniformRandom
from planners.objectives import Objective
from planners.types import ActionSpace, Budget, Planner


def make_streams(config: RunConfig) -> Streams:
    """The run's random streams; the design is its axes, so that two names of one design draw alike."""
    axes = (config.predict, config.space, config.dynamics, config.reward_from, config.reward_gradient)
    design = "-".join(str(value) for value in axes)
    if config.model.variant != "standard":
        design += f"-{config.model.variant}"
    if config.model.name != "auto":
        design += f"-{config.model.name}"
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
    windowed = config.space == "pixel" or config.model.variant == "window"
    return ModelSpec(
        action_dim=task.action_dim,
        discrete=task.discrete,
        image_shape=task.image_shape,
        predict_images=config.predict == "images",
        predict_continues=task.terminates,
        stochastic=config.dynamics == "stochastic",
        context=config.model.context if windowed else 1,
        decodes_to_plan=config.reward_from == "image",
    )


def model_design(config: RunConfig, streams: Streams) -> ModelDesign:
    """How the model of a configuration is built."""
    model = config.model
    return ModelDesign(
        size=config.size or "paper",
        widths=dict(model.widths),
        weights=LossWeights(**{field.name: getattr(model, field.name) for field in fields(LossWeights)}),
        variant=model.variant,
        reward_from=config.reward_from or "state",
        reward_gradient=config.reward_gradient or "shared",
        image_fraction=1.0 if config.image_fraction is None else config.image_fraction,
        open_loop_futures=model.open_loop_futures,
        forecast=config.train.forecast,
        scheduled_sampling=model.scheduled_sampling,
        dropout=model.dropout if model.name == "auto" else 0.0,
        blind_inputs=config.legacy.blind_inputs,
        leaking_reward=config.legacy.leaking_reward,
        seed=streams.key("model_init"),
        region_seed=streams.key("image_region"),
        options=dict(model.options),
    )


def build_model(config: RunConfig, task: TaskSpec, streams: Streams) -> AnyWorldModel:
    """The world model of a configuration, freshly initialised, float32 on the CPU.

    Raises:
        UserError: the configuration asks for what the model cannot do; says what.
    """
    spec, design = model_spec(config, task), model_design(config, streams)
    if config.model.name != "auto":
        return _own(config, spec, design)
    try:
        return built_in(spec, design, config.predict, config.space)
    except ValueError as error:
        raise UserError(f"{config.label}: {error}") from error


def _own(config: RunConfig, spec: ModelSpec, design: ModelDesign) -> AnyWorldModel:
    """A model of the user's own, which says what it cannot do by a ValueError."""
    name = config.model.name
    try:
        model = load(name)(spec, design)
    except ValueError as error:
        place = place_in(error, [name])
        raise UserError(f"{name}: {error}" + (f" ({place})" if place else "")) from error
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name} cannot be built: {where_in(error, [name])}") from error
    complaint = model_complaint(model, spec, config.dynamics)
    if complaint:
        raise UserError(f"{name}: {complaint}")
    own: AnyWorldModel = model
    return own


def model_complaint(model: Any, asked: ModelSpec, dynamics: str | None = None) -> str:
    """What a model is not that every world model is, or says otherwise than it was asked, or the empty string.

    A model may know more than it is asked: that it needs columns of context, that it decodes frames to plan, or,
    where its design does not say what its dynamics are, that its forecasts are drawn.
    """
    if not isinstance(model, torch.nn.Module):
        return f"it makes a {type(model).__name__}, not a torch.nn.Module"
    missing = [one for one in METHODS if not callable(getattr(model, one, None))]
    if missing:
        return f"it has no method {', '.join(missing)}; models.types.WorldModel says what they do"
    spec = getattr(model, "spec", None)
    if not isinstance(spec, ModelSpec):
        return "it has no `spec`: keep the ModelSpec that it is built with as self.spec"
    fixed = (
        "action_dim",
        "discrete",
        "image_shape",
        "predict_images",
        "predict_continues",
        "predict_rewards",
    )
    for field in (*fixed, "stochastic") if dynamics else fixed:
        have, want = getattr(spec, field), getattr(asked, field)
        if have != want:
            hint = (
                "; a model of images needs predict: images in its design" if field == "predict_images" else ""
            )
            return f"its spec says {field}={have}, but it is asked for {field}={want}{hint}"
    return ""


METHODS = ("draws", "initial", "observe", "expand", "predict", "loss")
"""Of every world model."""


def built_in(spec: ModelSpec, design: ModelDesign, predict: str | None, space: str | None) -> AnyWorldModel:
    """A built-in model; for a separate reward gradient two of them, which share nothing.

    Raises:
        ValueError: the design makes no sense; says why.
        UserError: there is no such model.
    """
    if design.reward_gradient != "separate":
        model: AnyWorldModel = load(model_entry(predict, space, design.variant).path)(spec, design)
        return model
    from models.separate import SeparateReward, halves

    (image_spec, image_design), (reward_spec, reward_design) = halves(spec, design)
    return SeparateReward(
        built_in(image_spec, image_design, "images", space),
        built_in(reward_spec, reward_design, "rewards", space),
    )


def build_planner(planner: PlannerConfig, task: TaskSpec) -> Planner[Any]:
    """The planner of a section of a configuration.

    Raises:
        UserError: it cannot be built, or not for the task's actions; says why.
    """
    budget = Budget(planner.horizon, planner.iterations, planner.proposals)
    path = planner_path(planner.name, discrete=task.discrete)
    entry = PLANNERS.get(planner.name)
    if entry is None:
        return own_planner(path, load(path), action_space(task), budget, dict(planner.options))
    options = {name: getattr(planner, name) for name in entry.uses}
    try:
        built: Planner[Any] = load(path)(action_space(task), budget, **options)
    except ValueError as error:
        raise UserError(f"planner {planner.name} for {task.name}: {error}") from error
    return built


def action_space(task: TaskSpec) -> ActionSpace:
    """What a planner chooses from."""
    return ActionSpace(task.action_dim, task.discrete)


def exploration_of(config: RunConfig, task: TaskSpec, episode: int) -> Exploration:
    """What is done to the planned actions of a collected episode, numbered from 0."""
    settings = config.exploration
    if episode < settings.cold_start:
        return UniformRandom()
    epsilon = settings.epsilon if settings.epsilon is not None else 0.2 * task.discrete
    noise = Greedy() if task.discrete else GaussianNoise(settings.noise, settings.noise_exponent)
    return EpsilonGreedy(epsilon, noise) if epsilon else noise


def build_objective(name: str) -> Objective:
    """The objective that `planner.objective` names."""
    if ":" not in name and name not in objectives.OBJECTIVES:
        known = ", ".join(objectives.OBJECTIVES)
        raise UserError(f"unknown objective {name}{suggest(name, objectives.OBJECTIVES)}; there are {known}")
    objective: Objective = load(name) if ":" in name else objectives.OBJECTIVES[name]
    return objective


def build_agent(
    config: RunConfig, task: TaskSpec, streams: Streams, device: torch.device, model: AnyWorldModel
) -> ModelAgent:
    """The agent of a configuration with a model."""
    return ModelAgent(
        model,
        build_planner(config.planner, task),
        build_objective(config.planner.objective),
        discount=config.planner.discount,
        particles=config.planner.particles,
        streams=streams,
        device=device,
        bfloat16=config.train.precision == "bfloat16",
    )
