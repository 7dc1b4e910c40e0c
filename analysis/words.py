"""Words for counts, tasks and intervals, the same in figures, tables and the report."""

from __future__ import annotations

from collections.abc import Iterable, Sized

from analysis.inference.correlation import FEW_TASKS, MIN_CLUSTERS

WINDOWED = "windowed normalised score"
"""Of the evaluations in the final window: what claims compare, but for H4 and H6."""
FINAL = "final normalised score"
"""Of the final phase, whose weights the errors are of: correlations of errors with the score (H4, H6)."""


def short_count(value: float) -> str:
    """500, 2k, 1.5M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def short_task(task: str) -> str:
    """The task's name without its family: `cartpole-swingup`."""
    return task.rpartition("/")[2]


def plural(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def capital(text: str) -> str:
    """The text with a capital letter first, unless its first word is the name of a field or a run."""
    plain = text.partition(" ")[0].strip(",:;").isalpha()
    return f"{text[:1].upper()}{text[1:]}" if plain else text


def seed_range(counts: Iterable[int]) -> str:
    """`2 seeds`, or `1 to 3 seeds`."""
    known = sorted(set(counts)) or [0]
    return plural(known[0], "seed") if len(known) == 1 else f"{known[0]} to {known[-1]} seeds"


def interval_words(kinds: Iterable[str]) -> str:
    """What the bands and bars are, from the kinds of the estimates."""
    words = {"t": "95 % Student's t over seeds", "bootstrap": "95 % BCa bootstrap over seeds (20 or more)"}
    used = [words[kind] for kind in ("t", "bootstrap") if kind in set(kinds)]
    return " or ".join(used) if used else "none (single seeds)"


def brackets(tasks: Sized) -> str:
    """What the intervals of a correlation are."""
    sample = "tasks and designs" if len(tasks) > 1 else "designs"
    how = f"jackknife; from {MIN_CLUSTERS} designs on; variants of one count once"
    return f"Brackets: 95 %, the sample being {sample} ({how})."


def few_tasks(counts: Iterable[int]) -> str:
    """A warning where an interval comes from two or three tasks, with a blank before it; else nothing."""
    few = sorted({count for count in counts if 1 < count <= FEW_TASKS})
    return f" An interval over {' or '.join(map(str, few))} tasks is crude." if few else ""
