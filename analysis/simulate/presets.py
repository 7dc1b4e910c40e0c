"""The effects that make a claim true, false, null or undetectable, and the verdict that should follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from analysis.claims.types import Verdict
from harness.errors import UserError
from harness.registry import suggest

Truth = Literal["true", "false", "null", "undetectable"]
TRUTHS: tuple[Truth, ...] = get_args(Truth)
Changes = Mapping[str, float]

_CLEAR: Changes = {"consistency": 0.0, "design_sd": 0.15, "seed_sd": 0.05, "error_sd": 0.1}
"""Correlations that are seen in a single study: designs differ much, from task to task, and seeds little."""

_ALIKE: Changes = dict.fromkeys(
    ("images", "latent", "stochastic", "from_image", "horizon", "proposals", "oracle_horizon", "design_sd"),
    0.0,
)
"""No design is better than another, so that the best of them is as good as all."""

PRESETS: dict[str, dict[Truth, Changes]] = {
    "H1": {
        "true": {"images": 0.2},
        "false": {"images": -0.2},
        "null": {"images": 0.0},
        "undetectable": {"images": 0.01, "seed_sd": 0.3},
    },
    "H2": {
        "true": {"latent": 0.0, "images_latent": 0.0},
        "false": {"latent": 0.2, "images_latent": 0.0},
        "null": {"latent": 0.05, "images_latent": 0.0},
        "undetectable": {"latent": 0.04, "images_latent": 0.0, "seed_sd": 0.3},
    },
    "H3": {
        "true": {"dose": 0.25},
        "false": {"dose": -0.25},
        "null": {"dose": 0.0},
        "undetectable": {"dose": 0.01, "seed_sd": 0.3},
    },
    "H4": {
        "true": {"image_error": -0.95, "reward_error": -0.05, **_CLEAR},
        "false": {"image_error": -0.05, "reward_error": -0.95, **_CLEAR},
        "null": {"image_error": -0.5, "reward_error": -0.5},
        "undetectable": {"image_error": -0.55, "reward_error": -0.5},
    },
    "H5": {
        "true": {"images": 0.2, "images_offline": 0.0},
        "false": {"images": 0.1, "images_offline": 0.3},
        "null": {"images": 0.1, "images_offline": 0.1},
        "undetectable": {"images": 0.1, "images_offline": 0.09, "seed_sd": 0.3},
    },
    "H6": {
        "true": {"heldout_image": -0.95, "heldout_reward": -0.95, **_CLEAR},
        "false": {"heldout_image": 0.95, "heldout_reward": 0.95, **_CLEAR},
        "null": {"heldout_image": 0.0, "heldout_reward": 0.0},
        "undetectable": {"heldout_image": -0.1, "heldout_reward": -0.1},
    },
    "H7": {
        "true": {"agreement": -0.5, "images": 0.1, "images_offline": 0.0, "design_sd": 0.15},
        "null": {"agreement": 1.0, "images": 0.1, "images_offline": 0.1},
        "undetectable": {"agreement": 0.95, "images": 0.1, "images_offline": 0.1, "seed_sd": 0.3},
    },
    "H8": {
        "true": {"coverage": 0.95, "collector": 0.15, "learner": 0.02, **_CLEAR},
        "false": {"coverage": -0.95, "collector": 0.02, "learner": 0.15, **_CLEAR},
        "null": {"coverage": 0.0, "collector": 0.08, "learner": 0.08},
        "undetectable": {"coverage": 0.05, "collector": 0.05, "learner": 0.05, "seed_sd": 0.3},
    },
    "H9": {
        "true": {"sharing": 0.0},
        "false": {"sharing": 0.2},
        "null": {"sharing": 0.05},
        "undetectable": {"sharing": 0.05, "seed_sd": 0.3},
    },
    "H10": {
        "true": {"base": 0.3},
        "false": {"base": 1.0},
        "null": {"base": 0.9, **_ALIKE},
        "undetectable": {"base": 0.88, "seed_sd": 0.3, **_ALIKE},
    },
    "H11": {
        "true": {"capacity": 0.15},
        "false": {"capacity": -0.15},
        "null": {"capacity": 0.0},
        "undetectable": {"capacity": 0.01, "seed_sd": 0.3},
    },
}
"""Changes of the defaults by claim and truth. `null` lies where the claim is neither true nor false: no effect, or one
as large as the margin. Of H7 nothing is false: no two orders agree better than they can.
"""

EXPECTED: dict[Truth, Verdict] = {
    "true": "supported",
    "false": "contradicted",
    "null": "inconclusive",
    "undetectable": "inconclusive",
}
"""The verdict that a study of the usual size should mostly come to; of `null` but for the errors at its level."""


def changes(truths: Mapping[str, str]) -> dict[str, float]:
    """What to change for claims to be as stated.

    Raises:
        UserError: there is no such claim or truth, or two of them set an effect differently.
    """
    found: dict[str, float] = {}
    owner: dict[str, str] = {}
    for claim, truth in truths.items():
        if claim not in PRESETS:
            raise UserError(f"no claim {claim}{suggest(claim, PRESETS)}; there are {', '.join(PRESETS)}")
        known = PRESETS[claim]
        if truth not in TRUTHS or truth not in known:
            have = ", ".join(known)
            raise UserError(f"{claim}={truth}: a claim is made {have}{suggest(truth, known)}")
        for name, value in known[truth].items():
            if found.get(name, value) != value:
                raise UserError(
                    f"{owner[name]} and {claim}={truth} set {name} differently ({found[name]:g} and {value:g}): "
                    "give one of them, and the effects of the other by their names"
                )
            found[name], owner[name] = value, f"{claim}={truth}"
    return found
