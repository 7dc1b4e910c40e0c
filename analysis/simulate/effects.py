"""What is put into a simulated study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.simulate.presets import PRESETS, TRUTHS, changes
from harness.errors import UserError
from harness.registry import suggest


class Effects(BaseModel):
    """What is put in, in normalised score (0: random agent, 1: oracle) unless it says otherwise.

    `analysis.simulate.world` says how a score comes from it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    base: float = Field(0.45, description="score where every effect is at its reference")
    images: float = Field(0.1, description="predicting images, online (H1)")
    images_offline: float = Field(0.03, description="predicting images, trained on a dataset (H5)")
    latent: float = Field(0.01, description="latent in place of pixel space (H2)")
    stochastic: float = Field(0.02, description="stochastic in place of deterministic dynamics")
    images_latent: float = Field(0.0, description="interaction of predicting images and latent space")
    images_stochastic: float = Field(
        0.0, description="interaction of predicting images and stochastic dynamics"
    )
    from_image: float = Field(-0.03, description="reading the reward from forecast frames")
    dose: float = Field(0.1, description="the whole image in place of none of it, by image_fraction (H3)")
    weight: float = Field(
        0.03,
        description="the image's whole weight in place of none, by model.image_scale (H3)",
    )
    sharing: float = Field(0.0, description="reward_gradient shared, in place of stopped or separate (H9)")
    horizon: float = Field(0.01, description="a planning horizon twice as long (H10)")
    proposals: float = Field(0.01, description="twice as many proposals (H10)")
    oracle_horizon: float = Field(
        -0.08, description="a horizon of the oracle that is off by a factor of two (H10)"
    )
    capacity: float = Field(0.04, description="ten times as many parameters (H11)")
    collector: float = Field(0.1, ge=0, description="sd over who collected the data, in cross-training (H8)")
    learner: float = Field(0.05, ge=0, description="sd over who learns from it, in cross-training (H8)")
    coverage: float = Field(0.5, ge=-1, le=1, description="correlation of coverage and online score (H8)")
    image_error: float = Field(
        -0.8, ge=-1, le=1, description="correlation of image error and online score (H4)"
    )
    reward_error: float = Field(
        -0.3, ge=-1, le=1, description="correlation of reward error and online score (H4)"
    )
    heldout_image: float = Field(
        -0.8, ge=-1, le=1, description="correlation of held-out image error and offline score (H6)"
    )
    heldout_reward: float = Field(
        -0.7, ge=-1, le=1, description="correlation of held-out reward error and offline score (H6)"
    )
    common_error: float = Field(0.3, ge=0, le=1, description="correlation of the two errors beyond the score")
    agreement: float = Field(
        0.4, ge=-1, le=1, description="correlation of the designs' random parts, online and offline (H7)"
    )
    design_sd: float = Field(0.06, ge=0, description="sd of a design's random part")
    consistency: float = Field(
        0.5, ge=0, le=1, description="share of random parts that is the same on all tasks"
    )
    seed_sd: float = Field(0.1, ge=0, description="sd over seeds")
    common_seed: float = Field(0.1, ge=0, le=1, description="share of that which all designs have in common")
    tails: Literal["normal", "t3"] = Field(
        "normal",
        description="distribution over seeds; t3 is Student's with 3 degrees of freedom, heavy-tailed",
    )
    final_sd: float = Field(
        0.03, ge=0, description="sd of the final phase's score about that of the final window"
    )
    error_sd: float = Field(
        0.3, ge=0, description="sd over seeds of errors and coverage, in units of that over designs"
    )
    diverged: float = Field(0.0, ge=0, le=1, description="probability that a run diverges")
    failed: float = Field(0.0, ge=0, le=1, description="probability that a run fails")
    nonfinite: float = Field(0.0, ge=0, le=1, description="probability that a run's errors are not finite")


def preset(**truths: str) -> Effects:
    """The defaults, but for what makes claims true, false, null or undetectable: ``preset(H1="true", H4="null")``.

    Raises:
        UserError: there is no such claim or truth, or two of them contradict each other.
    """
    return Effects.model_validate(changes(truths))


def read_effects(given: Sequence[str] = (), file: Path | None = None) -> Effects:
    """The defaults, changed by a YAML file, then by ``name=value`` texts.

    ``H4=null`` is `preset`; what is set by its own name comes on top of it.

    Raises:
        UserError: a name is unknown or given twice, a value is none, or the file cannot be read.
    """
    values = _read(file) if file is not None else {}
    seen = set()
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not value.strip():
            raise UserError(f"{text}: write an effect as name=value, such as images=0.1 or H4=null")
        if name in seen:
            raise UserError(f"{name} is given twice")
        seen.add(name)
        values[name] = value if name in PRESETS else yaml.safe_load(value)
    for name in values:
        if name not in Effects.model_fields and name not in PRESETS:
            near = suggest(name, [*Effects.model_fields, *PRESETS])
            raise UserError(f"no effect {name}{near}; wm simulate --list-effects names them all")
    truths = {name: _word(value) for name, value in values.items() if name in PRESETS}
    own = {name: _number(value) for name, value in values.items() if name not in PRESETS}
    try:
        return Effects.model_validate(changes(truths) | own)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UserError(f"{wrong['loc'][0]}={wrong['input']}: {wrong['msg']}") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: write a line `name: value` for each effect, such as `images: 0.1`")
    return {str(name): value for name, value in content.items()}


def _word(value: Any) -> str:
    """A truth; YAML reads `true`, `false` and `null` as other things than words."""
    return {"True": "true", "False": "false", "None": "null"}.get(str(value), str(value))


def _number(value: Any) -> Any:
    """Whole numbers are numbers."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def as_mapping(effects: Effects) -> Mapping[str, float | str]:
    """All of them by name, as a file holds them."""
    content: dict[str, float | str] = effects.model_dump()
    return content


__all__ = ["TRUTHS", "Effects", "as_mapping", "preset", "read_effects"]
