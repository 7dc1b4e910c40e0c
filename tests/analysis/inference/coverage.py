"""How often 95 % intervals hold the truth, by simulation: `python -m tests.analysis.inference.coverage` prints it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from analysis.inference import aggregates
from analysis.inference.paired import equivalence, over_tasks

NOISE = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "t3": lambda rng, shape: rng.standard_t(3, size=shape) / np.sqrt(3),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "lognormal": lambda rng, shape: (rng.lognormal(0, 0.5, size=shape) - np.exp(0.125)) / 0.604,
    "heavy lognormal": lambda rng, shape: (rng.lognormal(0, 1, size=shape) - np.exp(0.5)) / 2.161,
}
"""Of mean 0 and variance 1."""


@dataclass(frozen=True)
class Setting:
    """Scores: noise about the tasks' means.

    Attributes:
        seeds: of each task.
        means: `equal` (0.5), or `spread` from 0.1 to 0.9 over the tasks.
        spread: standard deviation of the last task's scores over that of the first.
    """

    noise: str
    seeds: tuple[int, ...]
    means: str = "equal"
    spread: float = 1

    def draw(self, rng, seeds=None):
        T = len(self.seeds)
        centres = np.linspace(0.1, 0.9, T) if self.means == "spread" and T > 1 else np.full(T, 0.5)
        scale = 0.15 * np.geomspace(1, self.spread, T)
        return {
            f"t{i}": centres[i] + scale[i] * NOISE[self.noise](rng, n)
            for i, n in enumerate(seeds or self.seeds)
        }


@cache
def truth(setting: Setting, statistic: Callable) -> float:
    """The statistic of very many seeds."""
    many = setting.draw(np.random.default_rng(0), (200_000,) * len(setting.seeds))
    return statistic(many)


def coverage(setting: Setting, interval: Callable, true: float, trials: int) -> float:
    """The part of trials whose interval holds the truth."""
    rng = np.random.default_rng(1)
    found = [interval(setting.draw(rng), i) for i in range(trials)]
    return float(np.mean([each.low <= true <= each.high for each in found]))


def mean_of(scores):
    return float(np.mean([x.mean() for x in scores.values()]))


def median_of(scores):
    return float(np.median([x.mean() for x in scores.values()]))


def iqm_of(scores):
    from scipy import stats

    return float(stats.trim_mean(np.concatenate(list(scores.values())), 0.25))


def gap_of(scores):
    return float(np.mean([1 - np.minimum(x, 1).mean() for x in scores.values()]))


MEAN = [
    (Setting("normal", (5,)), 0.935, 0.965),
    (Setting("normal", (3,) * 6, "spread"), 0.94, 0.98),
    (Setting("normal", (5,) * 6, spread=10), 0.93, 0.97),
    (Setting("normal", (2, 3, 5, 10)), 0.93, 0.97),
    (Setting("normal", (10, 5, 3), spread=5), 0.91, 0.97),
    (Setting("normal", (5, 1, 5, 5)), 0.93, 0.97),
    (Setting("t3", (5,) * 3), 0.94, 0.98),
    (Setting("exponential", (5,) * 6), 0.91, 0.96),
    (Setting("lognormal", (5,) * 6), 0.92, 0.965),
    (Setting("heavy lognormal", (5,)), 0.79, 0.85),
]
"""Of `stratified`: a setting and the bounds of its coverage; heavy skewness is beyond any interval of 5 seeds."""
BOOTSTRAP = [
    (Setting("normal", (20,)), 0.93, 0.97),
    (Setting("t3", (20,) * 3), 0.91, 0.96),
    (Setting("exponential", (20,)), 0.92, 0.97),
    (Setting("lognormal", (25, 20, 30), spread=3), 0.92, 0.97),
    (Setting("heavy lognormal", (20,) * 3), 0.9, 0.96),
]
"""The same from 20 seeds on."""
IQM = [
    (Setting("normal", (5,) * 5), 0.935, 0.975),
    (Setting("normal", (3,) * 5, "spread"), 0.965, 0.998),
    (Setting("normal", (5,) * 5, "spread", spread=10), 0.925, 0.98),
    (Setting("normal", (3, 5, 4, 8, 5), "spread"), 0.93, 0.985),
    (Setting("t3", (5,) * 3, "spread"), 0.94, 0.985),
    (Setting("lognormal", (5,) * 5), 0.925, 0.97),
    (Setting("normal", (8,)), 0.905, 0.945),
]
MEDIAN = [
    (Setting("normal", (5,) * 5, "spread"), 0.93, 0.995),
    (Setting("normal", (5,) * 5), 0.96, 1),
    (Setting("t3", (10,) * 5, "spread"), 0.93, 0.99),
    (Setting("lognormal", (5,) * 5), 0.91, 0.99),
]
GAP = [
    (Setting("normal", (5,) * 5, "spread"), 0.92, 0.975),
    (Setting("lognormal", (8,) * 3), 0.92, 0.975),
]
KINDS = {
    "mean": (MEAN + BOOTSTRAP, aggregates.mean, mean_of),
    "iqm": (IQM, aggregates.iqm, iqm_of),
    "median": (MEDIAN, aggregates.median, median_of),
    "optimality_gap": (GAP, aggregates.optimality_gap, gap_of),
}


def equivalent(distance: float, setting: Setting, trials: int) -> float:
    """How often `equivalence` finds a difference of `distance` margins within the margin."""
    rng, margin = np.random.default_rng(2), 0.2
    shift = distance * margin - 0.5
    found = 0
    for i in range(trials):
        scores = {task: x + shift for task, x in setting.draw(rng).items()}
        found += equivalence(scores, margin, i).within
    return found / trials


def tasks_covered(trials: int, tasks: int) -> float:
    """Coverage of `over_tasks`, the tasks a sample from a normal population about 0."""
    rng, held = np.random.default_rng(3), 0
    for i in range(trials):
        means = rng.normal(size=tasks)
        found = over_tasks({f"t{j}": m + 0.2 * rng.normal(size=3) for j, m in enumerate(means)}, i)
        held += found.low <= 0 <= found.high
    return held / trials


def improvement_covered(noise: str, shifts, seeds: tuple[int, int], trials: int, scale: float = 1) -> float:
    """Coverage of the probability of improvement; the first design's noise is `scale` times the second's."""
    rng = np.random.default_rng(4)
    f = NOISE[noise]
    many = 400_000
    true = np.mean([np.mean(scale * f(rng, many) + shift > f(rng, many)) for shift in shifts])
    held = 0
    for _ in range(trials):
        first = {f"t{i}": scale * f(rng, seeds[0]) + shift for i, shift in enumerate(shifts)}
        second = {f"t{i}": f(rng, seeds[1]) for i in range(len(shifts))}
        found = aggregates.probability_of_improvement(first, second)
        held += found.low <= true <= found.high
    return held / trials


def profile_covered(shares, seeds: int, trials: int) -> float:
    """Coverage of a performance profile at a tau which these shares of the tasks' runs lie above."""
    rng, held = np.random.default_rng(5), 0
    for _ in range(trials):
        scores = {f"t{i}": (rng.random(seeds) < share).astype(float) for i, share in enumerate(shares)}
        found = aggregates.performance_profile(scores, [0.5])
        held += found.low[0] <= np.mean(shares) <= found.high[0]
    return held / trials


def main() -> None:
    for name, (settings, interval, statistic) in KINDS.items():
        for setting, low, high in settings:
            trials = 1000 if min(setting.seeds) >= 20 else 5000
            true = 0.5 if name == "mean" else truth(setting, statistic)
            print(f"{name:15} {coverage(setting, interval, true, trials):.3f} ({low} to {high}) {setting}")


if __name__ == "__main__":
    main()
