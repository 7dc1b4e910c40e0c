"""Colours that the colour-blind can tell apart, and that stay with their design."""

import itertools

import numpy as np
import pytest

from analysis.colours import LOOKS, REFERENCE, looks

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colour, vision):
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(vision) @ linear, 0, 1)
    xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]] @ seen
    f = np.cbrt(xyz / [0.95047, 1, 1.08883])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_any_two_designs_stay_apart_and_from_the_random_agent(vision):
    seen = {name: lab(look.colour, VISION[vision]) for name, look in (LOOKS | {"random": REFERENCE}).items()}
    apart = min(np.linalg.norm(seen[a] - seen[b]) for a, b in itertools.combinations(seen, 2))
    assert apart > (25 if vision == "normal" else 12)


def test_markers_differ_too():
    assert len({look.marker for look in (*LOOKS.values(), REFERENCE)}) == len(LOOKS) + 1


def test_all_eight_corners_have_a_look():
    axes = itertools.product(("images", "rewards"), ("latent", "pixel"), ("stochastic", "deterministic"))
    assert set(LOOKS) == {"-".join(corner) for corner in axes}


def test_a_known_design_keeps_its_look_whatever_it_is_shown_with():
    alone = looks(["rewards-latent-stochastic"])
    crowd = looks(["rewnet", *LOOKS, "other"])
    assert (
        alone["rewards-latent-stochastic"]
        == crowd["rewards-latent-stochastic"]
        == LOOKS["rewards-latent-stochastic"]
    )


@pytest.mark.parametrize("count", [1, 8, 13, 64])
def test_other_designs_get_distinct_looks(count):
    names = [f"design {i}" for i in range(count)]
    chosen = looks(names)
    assert len({chosen[name] for name in names}) == count
