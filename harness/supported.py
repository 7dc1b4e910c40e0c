"""What can be built today, told from a configuration alone, so that a study refuses at once what a run would
refuse later. Torch-free. A test compares it with building the models.
"""

from __future__ import annotations

from functools import cache

from harness.config import RunConfig
from harness.config.sections import EnvConfig, PlannerConfig
from harness.errors import UserError
from harness.registry import MODELS, PLANNERS, is_own_task, model_entry, planner_path
from harness.tasks import TaskSpec, find_task
from models.sizes import sizes_for

FAMILIES = {
    "models.rssm:RSSM": "rssm",
    "models.windowed:WindowedRSSM": "rssm",
    "models.reward_predictor:RewardPredictor": "reward_predictor",
    "models.sv2p:SV2P": "sv2p",
    "models.feedforward:FeedForward": "feedforward",
    "models.feedforward:ActionsOnly": "actions",
}
"""The size presets of each built-in class."""


def not_built(config: RunConfig) -> str:
    """What the configuration asks for that does not exist yet, or the empty string."""
    if config.agent != "model" or config.model.name != "auto":
        return ""
    try:
        model_entry(config.predict, config.space, "standard")
    except UserError as error:
        return str(error)
    return ""


@cache
def _spec(task: str, env: EnvConfig) -> TaskSpec:
    """The spec of a built-in task."""
    return find_task(task, env).spec


def contradiction(config: RunConfig) -> str:
    """What makes no sense in a configuration whose fields are right one by one, or the empty string."""
    if config.agent == "random":
        return ""
    if config.agent == "oracle":
        return _planner_clash(config) or _not_simulated(config)
    checks = [_planner_clash, _too_long, _offline_clash]
    if config.model.name == "auto":
        checks += [_variant_clash, _axes_clash, _feedforward_clash, _legacy_clash, _side_clash, _widths_clash]
    return next((words for check in checks if (words := check(config))), "")


def _planner_clash(config: RunConfig) -> str:
    """A planner that has no form for the task's actions, or fields that it cannot use."""
    section = "oracle" if config.agent == "oracle" else "planner"
    planner = config.oracle if config.agent == "oracle" else config.planner
    if ":" in planner.name:
        return ""
    return _formless(config, section, planner.name) or _budget_clash(section, planner)


def _formless(config: RunConfig, section: str, name: str) -> str:
    if is_own_task(config.task):
        return ""
    try:
        planner_path(name, discrete=_spec(config.task, config.env).discrete)
    except UserError as error:
        return f"{error}: write another {section}.name, or leave out the task {config.task}"
    return ""


def _budget_clash(section: str, planner: PlannerConfig) -> str:
    """More elites than proposals, or options, of a built-in planner."""
    uses = PLANNERS[planner.name].uses
    if "elites" in uses and planner.elites is not None and planner.elites > planner.proposals:
        return (
            f"{section}.elites ({planner.elites}) is more than {section}.proposals ({planner.proposals}): lower "
            "elites, or raise proposals"
        )
    if planner.options:
        known = [f"{section}.{name}" for name in planner.options if name in uses]
        instead = f"; write {', '.join(known)}" if known else ""
        return (
            f"{section}.options ({', '.join(planner.options)}) are for planners of your own, not for the built-in "
            f"{planner.name}{instead}"
        )
    return ""


def _not_simulated(config: RunConfig) -> str:
    if is_own_task(config.task) or _spec(config.task, config.env).simulates:
        return ""
    return (
        f"agent oracle plans on the true simulator, and {config.task} cannot be simulated from any state; leave it out "
        f"for this task: of a grid by exclude: [{{agent: oracle, task: {config.task}}}], of an include by not naming "
        "it there"
    )


def _too_long(config: RunConfig) -> str:
    needed = config.evaluation.context + config.evaluation.horizon - 1
    if is_own_task(config.task) or needed <= (steps := _spec(config.task, config.env).max_steps):
        return ""
    return (
        f"evaluation.context ({config.evaluation.context}) and evaluation.horizon ({config.evaluation.horizon}) "
        f"need episodes of {needed} steps; {config.task} has at most {steps}"
    )


def _offline_clash(config: RunConfig) -> str:
    if not config.offline and config.data.digest is not None:
        return "data.digest is of the dataset of an offline run; write data.mode: offline, or leave it out"
    if config.offline and not config.train.updates_per_episode:
        return "train.updates_per_episode is 0: an offline run, which collects nothing, would do nothing"
    return ""


def _variant_clash(config: RunConfig) -> str:
    if (config.predict, config.space, "standard") not in MODELS:
        return ""  # `not_built` says so
    try:
        model_entry(config.predict, config.space, config.model.variant)
    except UserError as error:
        return str(error)
    return ""


def _axes_clash(config: RunConfig) -> str:
    if config.predict == "rewards":
        if config.reward_from == "image":
            return "reward_from image needs a design that predicts images (predict: images)"
        if config.reward_gradient == "stopped":
            return "reward_gradient stopped leaves a design that predicts rewards only nothing to learn from"
        if config.reward_gradient == "separate":
            return "reward_gradient separate needs a design that predicts images (predict: images)"
    if config.reward_gradient == "stopped" and config.space == "latent" and config.image_fraction == 0:
        return "reward_gradient stopped leaves a latent design with image_fraction 0 nothing to learn from"
    if config.reward_gradient == "separate" and config.reward_from == "image":
        return (
            "reward_gradient separate with reward_from image is what stopped is: the net that reads the frames has "
            "parameters of its own; write reward_gradient: stopped"
        )
    return ""


def _feedforward_clash(config: RunConfig) -> str:
    variant = config.model.variant
    if variant in {"feedforward", "actions"} and config.dynamics == "stochastic":
        return f"model.variant {variant} has no stochastic form; write dynamics: deterministic, or variant: standard"
    if variant == "feedforward":
        limit = config.train.forecast
        for name, horizon in (("planner", config.planner.horizon), ("evaluation", config.evaluation.horizon)):
            if horizon > limit:
                return (
                    f"{name}.horizon ({horizon}) is beyond what model.variant feedforward is trained on: it has "
                    f"weights for train.forecast ({limit}) steps; write train.forecast: {horizon}, or a shorter "
                    "horizon"
                )
    return ""


def _legacy_clash(config: RunConfig) -> str:
    latent = config.space == "latent"
    if config.legacy.blind_inputs and latent:
        return (
            "legacy.blind_inputs is a fault of the reference's pixel designs (space: pixel); its latent ones saw "
            "their frames"
        )
    if config.legacy.blind_inputs and config.model.variant == "actions":
        return "legacy.blind_inputs: model.variant actions sees no frames as it is"
    if config.legacy.leaking_reward and not (latent and config.reward_from == "image"):
        return (
            "legacy.leaking_reward is a fault of the reference's reward read from decoded frames (space: latent, "
            "reward_from: image); no other design has a net for it to leak into"
        )
    return ""


def _side_clash(config: RunConfig) -> str:
    side = config.env.image_size
    if is_own_task(config.task) or (config.predict, config.space) != ("images", "pixel") or side % 8 == 0:
        return ""
    return (
        f"env.image_size ({side}): SV2P, the design that predicts images in pixel space, takes frames whose side 8 "
        f"divides; write {side - side % 8} or {side - side % 8 + 8}"
    )


def _widths_clash(config: RunConfig) -> str:
    if config.model.options:
        given = ", ".join(config.model.options)
        return f"model.options ({given}) are for models of your own, not for the built-in ones"
    parts = {"model.widths": config.predict}
    if config.reward_gradient == "separate":
        parts["model.widths of the separate reward model"] = "rewards"
    for which, predict in parts.items():
        entry = MODELS.get((predict or "", config.space or "", config.model.variant))
        if entry is not None and entry.path in FAMILIES:
            try:
                sizes_for(FAMILIES[entry.path], config.size or "paper", config.model.widths)
            except ValueError as error:
                return f"{'size' if str(error).startswith('no size') else which}: {error}"
    return ""
