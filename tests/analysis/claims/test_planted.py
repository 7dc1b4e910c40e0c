"""Every hypothesis on data with a planted truth: supported, contradicted, inconclusive."""

import functools
import hashlib

import numpy as np
import pytest

from tests.analysis.claims.build import TASKS, configs_of, evidence, finding, planned

TWO = TASKS[:2]


@functools.cache
def plan(*studies):
    return planned(configs_of(studies, TWO, 5))


def quality(row):
    """A design's own, between 0 and 1, whatever its task, seed and data."""
    digest = hashlib.sha256(str(row.name).encode()).digest()
    return digest[0] / 255


def goes(row, sign):
    """An error that falls (or rises) with the design's quality; without a sign it knows nothing of it."""
    if sign == 0:
        return hashlib.sha256(f"{row.name} other".encode()).digest()[0] / 255
    return -sign * quality(row)


def images_help(effect, offline_effect=None):
    def truth(row):
        gain = effect if not row.offline or offline_effect is None else offline_effect
        return {"value": 0.4 + gain * (row.predict == "images")} if row.agent == "model" else {}

    return truth


def latent_helps(effect):
    return lambda row: {"value": 0.4 + effect * (row.space == "latent")} if row.agent == "model" else {}


def fraction_helps(effect):
    return lambda row: {"value": 0.4 + effect * row.image_fraction} if row.agent == "model" else {}


def errors_matter(image, reward, prefix=""):
    def truth(row):
        if row.agent != "model":
            return {}
        images = row.predict == "images"
        return {
            "value": quality(row),
            f"{prefix}image_error": 8 + goes(row, image) if images else np.nan,
            f"{prefix}reward_error": 1 + goes(row, reward),
        }

    return truth


def ranks(online, offline):
    def truth(row):
        return {"value": (offline if row.offline else online) * quality(row)} if row.agent == "model" else {}

    return truth


def explored(coverage, data, model):
    def truth(row):
        if row.agent != "model":
            return {}
        if row.offline:
            source = hashlib.sha256(str(row.data).encode()).digest()[0] / 255
            return {"value": data * source + model * quality(row)}
        return {"value": quality(row), "coverage": 3 - goes(row, coverage)}

    return truth


def sharing_helps(effect):
    return lambda row: (
        {"value": 0.5 + effect * (row.reward_gradient == "shared")} if row.agent == "model" else {}
    )


def models_reach(value):
    return lambda row: {"value": value} if row.agent == "model" else {}


def size_helps(effect):
    steps = {"tiny": 0.0, "small": 0.6, "large": 1.6}
    return lambda row: {"value": 0.3 + effect * steps[row.size]} if row.agent == "model" else {}


CASES = [
    ("H1", ("online",), images_help(0.3), "supported", 0.3),
    ("H1", ("online",), images_help(-0.3), "contradicted", -0.3),
    ("H1", ("online",), images_help(0.0), "inconclusive", 0.0),
    ("H2", ("online",), latent_helps(0.0), "supported", 0.0),
    ("H2", ("online",), latent_helps(0.3), "contradicted", 0.3),
    ("H2", ("online",), latent_helps(-0.3), "contradicted", -0.3),
    ("H2", ("online",), latent_helps(0.05), "inconclusive", 0.05),
    ("H3", ("dose_response",), fraction_helps(0.4), "supported", None),
    ("H3", ("dose_response",), fraction_helps(-0.4), "contradicted", None),
    ("H3", ("dose_response",), fraction_helps(0.0), "inconclusive", 0.0),
    ("H4", ("online",), errors_matter(1, 0), "supported", None),
    ("H4", ("online",), errors_matter(0, 1), "contradicted", None),
    ("H4", ("online",), errors_matter(0, 0), "inconclusive", None),
    ("H4", ("online",), errors_matter(-1, 0), "contradicted", None),
    ("H5", ("online", "offline"), images_help(0.3, 0.0), "supported", 0.3),
    ("H5", ("online", "offline"), images_help(0.1, 0.3), "contradicted", -0.2),
    ("H5", ("online", "offline"), images_help(0.3), "inconclusive", 0.0),
    ("H5", ("online", "offline"), images_help(0.0, -0.2), "inconclusive", 0.2),  # there is no gap to narrow
    ("H5", ("online", "offline"), images_help(0.2, -0.4), "contradicted", 0.6),  # turned around by more
    ("H6", ("offline",), errors_matter(1, 1, "heldout_"), "supported", None),
    ("H6", ("offline",), errors_matter(-1, -1, "heldout_"), "contradicted", None),
    ("H6", ("offline",), errors_matter(1, -1, "heldout_"), "inconclusive", None),
    ("H7", ("online", "offline"), ranks(1, -1), "supported", None),
    ("H7", ("online", "offline"), ranks(1, 1), "inconclusive", 0.0),
    ("H8", ("online", "cross_training"), explored(1, 1, 0.1), "supported", None),
    ("H8", ("online", "cross_training"), explored(-1, 0.1, 1), "contradicted", None),
    ("H8", ("online", "cross_training"), explored(1, 0.1, 1), "inconclusive", None),
    ("H8", ("online",), explored(1, 0, 0), "supported", None),
    ("H8", ("cross_training",), explored(0, 1, 0.1), "supported", None),
    ("H9", ("sharing",), sharing_helps(0.0), "supported", 0.0),
    ("H9", ("sharing",), sharing_helps(-0.3), "supported", -0.3),
    ("H9", ("sharing",), sharing_helps(0.3), "contradicted", 0.3),
    ("H9", ("sharing",), sharing_helps(0.05), "inconclusive", 0.05),
    ("H10", ("planner",), models_reach(0.4), "supported", 0.6),
    ("H10", ("planner",), models_reach(1.0), "contradicted", 0.0),
    ("H10", ("planner",), models_reach(0.89), "inconclusive", 0.1),
    ("H11", ("capacity",), size_helps(0.2), "supported", 0.2),
    ("H11", ("capacity",), size_helps(-0.2), "contradicted", -0.2),
    ("H11", ("capacity",), size_helps(0.0), "inconclusive", 0.0),
]


@pytest.mark.parametrize(
    ("claim", "studies", "truth", "verdict", "value"),
    CASES,
    ids=[f"{case[0]}-{case[3]}-{i}" for i, case in enumerate(CASES)],
)
def test_the_verdict_is_that_of_the_truth(claim, studies, truth, verdict, value):
    found = finding(claim, evidence(plan(*studies), truth))
    assert found.verdict == verdict, found
    first = found.primary[0]
    assert first.estimate.low <= first.estimate.value <= first.estimate.high
    if value is not None:
        assert first.estimate.value == pytest.approx(value, abs=0.06)
    assert first.tasks == len(TWO)
    assert first.seeds == 5
    names = [one.name for one in (*found.primary, *found.secondary)]
    assert len(names) == len(set(names))
