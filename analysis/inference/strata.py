"""Values in strata: the seeds of each task. Tasks are fixed, and count the same; their seeds are the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.inference.estimate import RESAMPLES, Floats

ByTask = Mapping[str, Sequence[float] | Floats]
"""Values of independent seeds by task; tasks may have unequal numbers of seeds, and NaNs are left out."""
_ROUNDING = 1e-13  # relative; differences of equal scores are equal up to this
_AT_ONCE = 2_000_000  # values drawn at a time: bounds the memory of a bootstrap


@dataclass(frozen=True)
class Strata:
    """Finite values packed by task.

    Attributes:
        tasks: names, without those that have no finite value.
        values: num_tasks x most seeds, NaN behind the last one.
        count: num_tasks, at least 1 each.
    """

    tasks: tuple[str, ...]
    values: Floats
    count: npt.NDArray[np.int64]

    @classmethod
    def of(cls, by_task: ByTask) -> Strata:
        """Packs them, in the order given."""
        arrays = {str(task): np.asarray(values, dtype=np.float64).ravel() for task, values in by_task.items()}
        finite = {task: x[np.isfinite(x)] for task, x in arrays.items()}
        kept = {task: x for task, x in finite.items() if len(x)}
        count = np.array([len(x) for x in kept.values()], dtype=np.int64)
        values = np.full((len(kept), int(count.max(initial=0))), np.nan)
        for row, x in zip(values, kept.values(), strict=True):
            row[: len(x)] = x
        return cls(tuple(kept), values, count)

    @property
    def n(self) -> int:
        """All values together."""
        return int(self.count.sum())

    @property
    def fewest(self) -> int:
        """Seeds of the task that has fewest; 0 without tasks."""
        return int(self.count.min()) if len(self.count) else 0

    def of_task(self, task: str) -> Floats:
        """The values of one task."""
        at = self.tasks.index(task)
        return self.values[at, : self.count[at]]

    def means(self) -> Floats:
        """Of each task, num_tasks."""
        return moments(self.values, self.count)[0] if self.tasks else np.empty(0)

    def variances(self) -> Floats:
        """Sample variances of each task, num_tasks; NaN where there is one seed."""
        return moments(self.values, self.count)[1] if self.tasks else np.empty(0)

    def bootstrap(
        self,
        statistic: Callable[[Floats], Floats],
        rng: np.random.Generator,
        resamples: int = RESAMPLES,
    ) -> Floats:
        """A statistic of seeds drawn with replacement within each task: resamples x whatever it returns for one.

        Args:
            statistic: takes packed values, some resamples x num_tasks x most seeds.
            rng: where the draws come from.
            resamples: number of draws.
        """
        T, S = self.values.shape
        at_once = max(1, _AT_ONCE // max(1, T * S))
        sizes = [min(at_once, resamples - start) for start in range(0, resamples, at_once)]
        return np.concatenate([statistic(self._draw(rng, size)) for size in sizes])

    def _draw(self, rng: np.random.Generator, resamples: int) -> Floats:
        T, S = self.values.shape
        seeds = np.floor(rng.random((resamples, T, S)) * self.count[:, None]).astype(np.int64)
        drawn = self.values[np.arange(T)[:, None], seeds]
        drawn[:, np.arange(S) >= self.count[:, None]] = np.nan
        return np.asarray(drawn, dtype=np.float64)


def moments(values: Floats, count: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Means and sample variances of packed values [..., T, S], the first `count` [T] of each row: both [..., T].

    The variance is NaN of one value, and exactly 0 of values that are equal but for rounding.
    """
    first = values[..., :1]
    from_first = values - first
    from_first[..., np.arange(values.shape[-1]) >= count[:, None]] = 0
    sums = from_first.sum(axis=-1)
    squares = np.einsum("...s,...s->...", from_first, from_first) - sums**2 / count
    rounding = count * (_ROUNDING * np.abs(first[..., 0])) ** 2
    spread = np.where(count > 1, squares * (squares > rounding) / np.maximum(count - 1, 1), np.nan)
    return np.asarray(first[..., 0] + sums / count), np.asarray(spread)
