"""What a study can name: models, designs, planners and tasks, as rows of a table.

Loads no simulator; `models` alone loads torch, to count parameters and FLOPs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.config import RunConfig
from harness.config.run import AXES
from harness.config.sections import EnvConfig, PlannerConfig
from harness.errors import UserError
from harness.registry import PLANNERS, model_entry
from harness.supported import contradiction, not_built
from studies.language.designs import known_design
from studies.language.names import CANONICAL
from studies.language.reference import MEANING, known_designs
from studies.language.tasksets import task_sets

if TYPE_CHECKING:
    from harness.cost import ModelCost

FORMS = tuple(
    {"model.variant": variant, "reward_from": source, "reward_gradient": gradient}
    for variant, source, gradient in itertools.product(
        ("standard", "window", "feedforward", "actions"),
        ("state", "image"),
        ("shared", "stopped", "separate"),
    )
)
"""What a corner may be built as, the ordinary form first."""
ORDINARY = FORMS[0]
_ANY_TASK = "toy/point-mass"


@dataclass(frozen=True)
class Setting:
    """What the sizes of models are counted for.

    Attributes:
        size: a preset.
        image_size: side of the frames in pixels.
        actions: dimensions of an action.
        context: columns that a pixel design or a windowed belief sees.
    """

    size: str = "paper"
    image_size: int = 64
    actions: int = 6
    context: int = 2


def models(setting: Setting) -> Iterator[dict[str, Any]]:
    """Every built-in design: the eight corners, their variants, then the other forms; counted one by one.

    Each row has `design` (its corner), `variant`, the axes, `predicts`, `class`, `reward_class` (of a separate
    reward model, else null), `version`, `summary`, `size`;
    `training_parameters`, `parameters` (those that planning needs) and `flops_per_step` (per candidate and
    predicted step), or null with the reason in `refused`; `context` (columns; null: all of the episode) and
    `horizon_limit` (steps; null: any).
    """
    known: dict[str, dict[str, Any]] = {}
    for config in sorted(_configs(setting), key=_rank):
        yield _model_row(config, setting, known)


def _configs(setting: Setting) -> Iterator[RunConfig]:
    """The configurations of all designs that make sense, whether or not they take this size and these frames."""
    asked = {"size": setting.size, "env": {"image_size": setting.image_size}}
    for form, (name, axes) in itertools.product(FORMS, CANONICAL.items()):
        fields = {"task": _ANY_TASK, "design": name, **axes}
        fields |= {axis: value for axis, value in form.items() if axis in AXES}
        model = {"variant": form["model.variant"]}
        plain = RunConfig.model_validate(fields | {"model": model})
        if not (contradiction(plain) or not_built(plain)):
            columns = {
                "model": model | {"context": setting.context},
                "evaluation": {"context": max(5, setting.context)},
            }
            yield RunConfig.model_validate(fields | asked | columns)


def _rank(config: RunConfig) -> tuple[bool, bool]:
    """Corners first, then variants, then the other forms."""
    ordinary = config.reward_from == "state" and config.reward_gradient == "shared"
    return not ordinary, config.model.variant != "standard"


def _model_row(config: RunConfig, setting: Setting, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    entry = model_entry(config.predict, config.space, config.model.variant)
    rewards = model_entry("rewards", config.space, config.model.variant)
    windowed = config.space == "pixel" or config.model.variant == "window"
    images = ["images"] if config.predict == "images" else []
    row: dict[str, Any] = {
        "design": config.design,
        "variant": config.model.variant,
        **{axis: getattr(config, axis) for axis in AXES[:5]},
        "predicts": [*images, "rewards"],
        "class": entry.path,
        "reward_class": rewards.path if config.reward_gradient == "separate" else None,
        "version": entry.version,
        "summary": entry.summary,
        "size": config.size,
        "context": setting.context if windowed else None,
        **dict.fromkeys(("training_parameters", "parameters", "flops_per_step", "horizon_limit", "refused")),
    }
    if config.model.variant == "actions":
        row["context"] = 0
    # where the gradient stops changes no size
    shared = config.model_copy(update={"reward_gradient": "shared"})
    sized = shared if config.reward_gradient == "stopped" else config
    key = sized.model_dump_json(exclude={"seed"})
    if key not in known:
        known[key] = _measure(sized, setting)
    return row | known[key]


def _measure(config: RunConfig, setting: Setting) -> dict[str, Any]:
    """Parameters and FLOPs of a model that is built without memory for its weights, or why it cannot be built."""
    import torch

    from harness.build import build_model, make_streams
    from harness.cost import model_cost
    from harness.tasks import find_task

    side = setting.image_size
    task = replace(
        find_task(_ANY_TASK, config.env).spec, action_dim=setting.actions, image_shape=(3, side, side)
    )
    try:
        with torch.device("meta"):
            model: Any = build_model(config, task, make_streams(config))
    except UserError as error:
        return {"refused": str(error).removeprefix(f"{config.label}: ")}
    cost: ModelCost = model_cost(model)
    return {**asdict(cost), "horizon_limit": getattr(model, "limit", None)}


def designs() -> list[dict[str, Any]]:
    """The designs that are known without being written: name, what the name means, and the fields it sets."""
    rows = []
    for name in known_designs():
        design = known_design(name)
        assert design is not None
        fields = {field: located.value for field, located in design.fields.items()}
        axes = {axis: fields.pop(axis, None) or ORDINARY.get(axis) for axis in MEANING}
        rows.append({"design": name, **axes, "fields": fields})
    return rows


def planners() -> list[dict[str, Any]]:
    """The built-in planners: planner, summary, `discrete` (whether it has a form for discrete actions), `budget` (what
    of it counts), `options` (fields of `planner` that it heeds beyond those that all have, with their defaults),
    source, class, discrete_class, version.
    """
    fields = PlannerConfig.model_fields
    return [
        {
            "planner": name,
            "summary": entry.summary,
            "discrete": entry.discrete is not None,
            "budget": ["horizon", *entry.budget],
            "options": {option: fields[option].default for option in entry.uses},
            "source": PLANNER_SOURCES[name],
            "class": entry.path,
            "discrete_class": entry.discrete,
            "version": entry.version,
        }
        for name, entry in PLANNERS.items()
    ]


PLANNER_SOURCES = {
    "cem": "Rubinstein 1999; Hafner et al. 2019, arXiv 1811.04551",
    "icem": "Pinneri et al. 2020, arXiv 2008.06389",
    "mppi": "Nagabandi et al. 2019, arXiv 1909.11652",
    "shooting": "Nagabandi et al. 2018, arXiv 1708.02596",
}
"""Where the planners were published."""


def tasks() -> list[dict[str, Any]]:
    """The built-in tasks with their ordinary settings; `sets`: the names of the sets that hold them. Any environment
    that is registered with Gymnasium is a task too, ``gym/<id>``; no list holds those.
    """
    from harness.tasks.catalogue import find_task, task_names

    sets = task_sets().values()
    rows = []
    for name in task_names():
        spec = find_task(name, EnvConfig()).spec
        rows.append(
            {
                "task": name,
                "actions": spec.action_dim,
                "discrete": spec.discrete,
                "action_repeat": spec.action_repeat,
                "time_limit": spec.time_limit,
                "terminates": spec.terminates,
                "simulates": spec.simulates,
                "sets": [one.name for one in sets if name in one.tasks],
            }
        )
    return rows
