"""What a study fixes before its data (`report`): the final window, the rule for diverged runs, thresholds."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Diverged = Literal["random", "exclude"]


_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+")
"""A number that a reader of YAML 1.1 takes for a text: ``5e-2``."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, content: object) -> object:
        if not isinstance(content, dict):
            return content
        return {
            name: float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
            for name, value in content.items()
        }


class ClaimSpec(_Strict):
    """The thresholds of one claim."""

    level: float = Field(0.95, gt=0.5, lt=1, description="coverage of the two-sided interval that decides")


class MarginSpec(ClaimSpec):
    """A claim about how large a difference is."""

    margin: float = Field(0.05, gt=0, lt=1, description="in normalised score: what is too small to matter")


class GapSpec(ClaimSpec):
    """A claim that one agent is far above others."""

    margin: float = Field(0.1, ge=0, lt=1, description="in normalised score: by how much at least")


class Claims(_Strict):
    """The claims that a study declares; null where it does not."""

    H1: ClaimSpec | None = Field(None, description="predicting images helps online")
    H2: MarginSpec | None = Field(None, description="latent space matters little, within margin")
    H3: ClaimSpec | None = Field(None, description="the more of the image is predicted, the higher the score")
    H4: ClaimSpec | None = Field(
        None, description="the score goes with image error more than with reward error"
    )
    H5: ClaimSpec | None = Field(None, description="the gap of H1 narrows offline")
    H6: ClaimSpec | None = Field(None, description="held-out error predicts the offline score")
    H7: ClaimSpec | None = Field(None, description="ranks differ online and offline")
    H8: ClaimSpec | None = Field(
        None, description="coverage goes with the score, and the score follows the data"
    )
    H9: MarginSpec | None = Field(None, description="sharing a representation has no consistent benefit")
    H10: GapSpec | None = Field(None, description="the oracle is above every learned design, by margin")
    H11: ClaimSpec | None = Field(None, description="larger models score higher")

    @model_validator(mode="before")
    @classmethod
    def _named_alone(cls, content: object) -> object:
        """`H1:` without options declares it with its defaults."""
        if not isinstance(content, dict):
            return content
        return {name: {} if options is None else options for name, options in content.items()}

    @model_serializer(mode="wrap")
    def _declared(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Without the claims that are not declared: null would declare them."""
        return {name: options for name, options in handler(self).items() if options is not None}


CLAIMS = tuple(Claims.model_fields)
"""H1 to H11, in order."""


class ReportSpec(_Strict):
    """`report` of a study file."""

    final_window: float = Field(
        0.1,
        gt=0,
        le=1,
        description="last part of a run's planned iterations whose evaluations make its score",
    )
    diverged: Diverged = Field(
        "random",
        description="a diverged run counts as the random agent's score, or is excluded",
    )
    claims: Claims = Field(default_factory=Claims, description="thresholds of the claims that are tested")

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, content: object) -> object:
        """`claims:` with nothing after it declares none."""
        if isinstance(content, dict) and content.get("claims", ...) is None:
            return {name: value for name, value in content.items() if name != "claims"}
        return content

    def options(self, claim: str) -> ClaimSpec:
        """The thresholds of a claim: declared, or its defaults."""
        declared: ClaimSpec | None = getattr(self.claims, claim)
        return declared if declared is not None else _DEFAULTS[claim]


_DEFAULTS: dict[str, ClaimSpec] = {
    name: {"H2": MarginSpec, "H9": MarginSpec, "H10": GapSpec}.get(name, ClaimSpec)() for name in CLAIMS
}


def thresholds(claim: str, options: ClaimSpec) -> tuple[float, ...]:
    """What the interval of a claim is compared with: 0, a margin, or both sides of one."""
    if isinstance(options, MarginSpec):
        return (-options.margin, options.margin) if claim == "H2" else (options.margin,)
    return (options.margin,) if isinstance(options, GapSpec) else (0.0,)
