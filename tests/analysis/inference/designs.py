"""Runs of designs on tasks: their names, and effects of designs with a known correlation."""

import numpy as np


def layout(designs, tasks, seeds):
    """Design and task of each run, tasks first, then designs, then seeds."""
    runs = [(f"d{d}", f"t{t}") for t in range(tasks) for d in range(designs) for _ in range(seeds)]
    return [run[0] for run in runs], [run[1] for run in runs]


def correlated(rng, size, rho):
    """Arrays [*size, 2] of standard normal pairs with that correlation."""
    return rng.normal(size=(*size, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T


def studies(rng, trials, designs, tasks, seeds, rho, *, shared=0.5, noise=0.7, tails=0, apart=0.0):
    """Means over seeds of two variables, [trials, tasks, designs] each.

    `rho` is the correlation of the effects of designs, `shared` the part of their variance that all tasks share,
    `noise` the standard deviation of a run, `tails` the degrees of freedom of its t, 0 for normal, and `apart` the
    standard deviation over tasks of Fisher's z of the correlation.
    """
    own = np.tanh(np.arctanh(rho) + apart * rng.normal(size=(trials, tasks, 1)))
    parts = [rng.normal(size=(trials, count, designs, 2)) for count in (1, tasks)]
    base = np.sqrt(shared) * parts[0] + np.sqrt(1 - shared) * parts[1]
    effects = np.stack([base[..., 0], own * base[..., 0] + np.sqrt(1 - own**2) * base[..., 1]], axis=-1)
    size = (trials, tasks, designs, seeds, 2)
    runs = rng.standard_t(tails, size=size) / np.sqrt(tails / (tails - 2)) if tails else rng.normal(size=size)
    values = effects + noise * runs.mean(axis=3)
    return values[..., 0], values[..., 1]
