"""What rliable 1.2.0 computes on fixed scores, kept in rliable.json.

rliable does not import with pandas 3, so this runs in an environment of its own: `make oracles` makes it, computes the
numbers again and compares them with the file. `--write` writes the file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).with_name("rliable.json")
TAU = (-0.1, 0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2)
SHAPES = {"many": (30, 5), "other": (25, 5), "odd": (7, 3), "few": (5, 3)}
"""Runs and tasks; 21 runs are no multiple of 4."""
REPETITIONS = 10_000
FEWER = 2_000
"""Draws of the slow ones, profiles and the probability of improvement."""


def scores(name: str) -> np.ndarray:
    """Scores, runs x tasks, by integer arithmetic alone: skewed, with ties, tasks of unequal mean and spread."""
    runs, tasks = SHAPES[name]
    state = sum(map(ord, name))
    found = np.empty((runs, tasks))
    for run in range(runs):
        for task in range(tasks):
            parts = []
            for _ in range(3):
                state = (1_103_515_245 * state + 12_345) % 2**31
                parts.append((state >> 8) % 1000)
            noise = parts[0] * parts[1] / 1e6 + parts[2] / 2000 - 0.5
            found[run, task] = round(0.3 + 0.15 * task + (0.2 + 0.1 * task) * noise, 2)
    return found


def computed() -> dict[str, dict[str, list[float]]]:
    """The numbers of rliable: of each, the estimate and the ends of its 95 % interval, percentiles of a bootstrap."""
    from rliable import library, metrics

    np.random.seed(0)  # noqa: NPY002  # the generator that rliable draws from, whatever it is given
    aggregates = {
        "mean": metrics.aggregate_mean,
        "median": metrics.aggregate_median,
        "iqm": metrics.aggregate_iqm,
        "optimality_gap": metrics.aggregate_optimality_gap,
    }
    every = {name: scores(name) for name in SHAPES}
    together = lambda values: np.array([one(values) for one in aggregates.values()])
    points, ends = library.get_interval_estimates(every, together, reps=REPETITIONS)
    found = {
        name: {aggregate: [points[name][i], *ends[name][:, i]] for i, aggregate in enumerate(aggregates)}
        for name in every
    }
    profiles, bands = library.create_performance_profile(every, np.array(TAU), reps=FEWER)
    for name in every:
        found[name] |= {
            f"profile {tau}": [profiles[name][i], *bands[name][:, i]] for i, tau in enumerate(TAU)
        }
    pairs = {"many > other": [every["many"], every["other"]], "odd > few": [every["odd"], every["few"]]}
    better = lambda x, y: np.array([metrics.probability_of_improvement(x, y)])
    points, ends = library.get_interval_estimates(pairs, better, reps=FEWER)
    found |= {name: {"probability": [points[name][0], *ends[name][:, 0]]} for name in pairs}
    return {name: {key: [float(x) for x in row] for key, row in rows.items()} for name, rows in found.items()}


def main() -> int:
    """Writes the numbers, or compares them with the file: 1 if they differ."""
    numbers = computed()
    if "--write" in sys.argv:
        GOLDEN.write_text(json.dumps(numbers, indent=1) + "\n")
        return 0
    kept = json.loads(GOLDEN.read_text())
    wrong = [
        f"{name}, {key}: {numbers.get(name, {}).get(key)} is computed, {kept.get(name, {}).get(key)} is kept"
        for name in numbers | kept
        for key in numbers.get(name, {}) | kept.get(name, {})
        if not np.allclose(
            numbers.get(name, {}).get(key, np.nan), kept.get(name, {}).get(key, np.nan), atol=1e-9
        )
    ]
    print("\n".join(wrong) or f"{GOLDEN.name} holds what rliable computes")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
