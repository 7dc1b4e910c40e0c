"""The scale of normalised scores: from the random agent (0) to the oracle (1) of the same task and environment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.environments import Setting, in_words, oracle_can_plan, range_of_returns, setting
from analysis.results import Results, once
from analysis.tables import number

NARROW = 0.1
"""Below this part of the range of a task's returns the difference of the two baselines is no scale (SCIENCE 15)."""
CLEAR = 2.0
"""A difference of the two baselines of fewer standard errors than this is no scale."""

Place = tuple[str, Setting]
"""A task, and the settings of its environment that decide returns."""
Doubt = Literal["", "worse", "narrow", "noise", "unknown"]


@dataclass(frozen=True)
class Scale:
    """How scores in a place are normalised: ``(score - zero) / unit``.

    Attributes:
        zero: mean score of the random agent.
        gap: mean score of the oracle minus that.
        error: the standard error of `gap`; NaN where a baseline has a single episode.
        unit: `gap`; the range of returns where there is a doubt; NaN where that has no bounds.
        oracle: which form of the oracle: of several the one with the highest mean.
        oracles: how many forms have a score.
        n: seeds of the random agent and of the oracle with a score.
        doubt: why the gap is no scale: `worse` (below 0), `narrow` (`NARROW`), `noise` (`CLEAR`), `unknown` (error).
    """

    zero: float
    gap: float
    error: float
    unit: float
    oracle: str
    oracles: int
    n: tuple[int, int]
    doubt: Doubt

    @property
    def by_range(self) -> bool:
        """Whether the range of returns is the unit, as the two baselines are none."""
        return bool(self.doubt) and bool(np.isfinite(self.unit))


@once
def final_scores(results: Results) -> pd.DataFrame:
    """One row a run: run, design, task, seed, agent, state, final, score, episodes, windowed; see
    `analysis.scores.run_scores`.
    """
    runs = results.runs[["run", "design", "task", "seed", "agent", "state", "final", "study", "iterations"]]
    evaluations = results.evaluations
    final = _final(results).groupby("run")["return"].agg(["mean", "count"])
    window = {study.name: study.spec.final_window for study in results.studies}
    starts = (runs["iterations"] * (1 - runs["study"].map(window))).set_axis(runs["run"])
    scheduled = evaluations[evaluations["phase"] == "scheduled"]
    late = scheduled[scheduled["iteration"] >= scheduled["run"].map(starts).astype(float)]
    scores = runs.copy()
    scores["score"] = scores["run"].map(final["mean"]).where(scores["final"])
    scores["episodes"] = scores["run"].map(final["count"]).where(scores["final"]).fillna(0).astype(int)
    scores["windowed"] = scores["run"].map(late.groupby("run")["return"].mean()).where(scores["final"])
    return scores.drop(columns=["study", "iterations"])


def _final(results: Results) -> pd.DataFrame:
    return results.evaluations[results.evaluations["phase"] == "final"]


@once
def places(results: Results) -> dict[str, Place]:
    """Where each run takes place: its task and the settings of its environment, by run."""
    return {
        run.id: (run.task, setting(run.task, run.config.get("env")))
        for study in results.studies
        for run in study.runs
    }


@once
def compared(results: Results) -> list[Place]:
    """Where designs are compared, in the order of the plan; where there are no designs, all places of the report."""
    where = places(results)
    of_designs = results.runs.loc[results.runs["agent"] == "model", "run"]
    return list(dict.fromkeys(where[run] for run in (of_designs if len(of_designs) else results.runs["run"])))


@once
def scales(results: Results) -> dict[Place, Scale]:
    """The scale of each place in which designs are compared and both baselines have a score."""
    where, scores = places(results), final_scores(results)
    scores = scores[scores["score"].notna()]
    returns = _final(results).groupby("run")["return"].agg(list)
    ranges = {where[run.id]: run.config.get("env") for study in results.studies for run in study.runs}
    found = {}
    for place in compared(results):
        here = scores[np.array([where[run] == place for run in scores["run"]], dtype=bool)]
        random, oracles = (_of_first(results, here[here["agent"] == agent]) for agent in ("random", "oracle"))
        random = _once(random)
        if random.empty or oracles.empty:
            continue
        means = oracles.groupby("design", sort=False)["score"].mean()
        best = str(means.idxmax())
        oracle = oracles[oracles["design"] == best]
        zero, gap = float(random["score"].mean()), float(means[best] - random["score"].mean())
        error = float(np.hypot(_error(returns, random["run"]), _error(returns, oracle["run"])))
        whole = range_of_returns(place[0], ranges[place])
        doubt = _doubt(gap, error, whole)
        unit = gap if not doubt else np.nan if whole is None else whole
        n = (int(random["seed"].nunique()), int(oracle["seed"].nunique()))
        found[place] = Scale(zero, gap, error, unit, best, len(means), n, doubt)
    return found


def _of_first(results: Results, runs: pd.DataFrame) -> pd.DataFrame:
    """Of several versions, the runs of the first that has some: one scale for all of them, so that they compare."""
    versions = runs["run"].map(results.runs.set_index("run")["version"]) if results.versions else runs["run"]
    first = [version for version in results.versions if (versions == version).any()]
    return runs[versions == first[0]] if first else runs


def _once(runs: pd.DataFrame) -> pd.DataFrame:
    """One run a seed, the one with the most episodes: further ones play the same episodes again."""
    return runs.sort_values("episodes", kind="stable").drop_duplicates("seed", keep="last")


def _error(returns: pd.Series, runs: pd.Series) -> float:
    """Standard error of a baseline's mean score, from its final episodes; NaN from a single one.

    A baseline learns nothing, and every episode has its own start and noise: they are independent, also of one seed.
    """
    values = np.concatenate([np.asarray(returns[run], dtype=float) for run in runs])
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def _doubt(gap: float, error: float, whole: float | None) -> Doubt:
    if gap < 0:
        return "worse"
    if whole is not None and gap < NARROW * whole:
        return "narrow"
    if not np.isfinite(error):
        return "unknown"
    return "" if gap > CLEAR * error else "noise"


@once
def levels(results: Results) -> list[str]:
    """The baselines that may be drawn as one level through all designs of a task.

    On every task on which they have a score all designs share their environment, and the oracle is the one that is
    1, or the only one. Others are shown like designs.
    """
    where, scores, found = places(results), final_scores(results), scales(results)
    here = compared(results)
    chosen = []
    for name in results.baselines:
        mine = scores[(scores["design"] == name) & scores["score"].notna()]
        agent = "random" if name in results.agents("random") else "oracle"
        one = {scale.oracle for scale in found.values()} or set(results.agents("oracle")[:1])
        common = all(
            [each for each in here if each[0] == task] == [where[run]]
            for run, task in zip(mine["run"], mine["task"], strict=True)
        )
        if common and (agent == "random" or one == {name}):
            chosen.append(name)
    return chosen


def scale_notes(results: Results) -> list[str]:
    """Why scores are not normalised by the oracle, and what claims and figures do then; a sentence each."""
    if not results.designs:
        return []
    found = scales(results)
    notes = _absent(results, [place for place in compared(results) if place not in found])
    return notes + [_doubtful(_named(results, place), scale) for place, scale in found.items() if scale.doubt]


def _named(results: Results, place: Place) -> str:
    """The task; with its settings where designs are compared in several."""
    several = sum(other[0] == place[0] for other in compared(results)) > 1
    return f"{place[0]} ({in_words(place[1])})" if several else place[0]


def _doubtful(name: str, scale: Scale) -> str:
    ranged = scale.by_range
    means = f"{number(scale.zero + scale.gap)} against {number(scale.zero)}"
    if scale.doubt == "worse":
        why = f"the {scale.oracle} scores less than the random agent on {name} ({means})"
    elif scale.doubt == "narrow":
        why = (
            f"the {scale.oracle} and the random agent differ by less than {NARROW:.0%} of the range of returns of "
            f"{name} ({means})"
        )
    elif scale.doubt == "noise":
        why = (
            f"the {scale.oracle} and the random agent differ by {number(scale.gap)} on {name} ({means}), which is "
            f"within {CLEAR:g} standard errors of that difference ({number(scale.error)} each)"
        )
    else:
        why = f"a baseline has a single episode on {name}, so that how clear their difference is ({means}) is not known"
    return f"{why}: its scores are {'normalised by the range' if ranged else 'not normalised'}"


def _absent(results: Results, missing: Sequence[Place]) -> list[str]:
    """Which baselines a person should add, or wait for: a sentence for each kind of environment."""
    where = places(results)
    planned = {
        agent: {where[run] for run in results.runs.loc[results.runs["agent"] == agent, "run"]}
        for agent in ("random", "oracle")
    }
    groups: dict[tuple[tuple[str, ...], tuple[Any, ...], str], list[Place]] = defaultdict(list)
    without = [place for place in missing if oracle_can_plan(place[0]) is False]
    for place in (each for each in missing if each not in without):
        absent = tuple(agent for agent in planned if place not in planned[agent])
        others = {p for agent in absent for p in planned[agent] if p[0] == place[0]}
        groups[absent, _to_write(place, others), _elsewhere(place, others) if absent else ""].append(place)
    notes = [_sentence(results, here, *key) for key, here in groups.items()]
    return [*notes, *([_without_oracle(results, without)] if without else [])]


def _without_oracle(results: Results, places: Sequence[Place]) -> str:
    tasks = list(dict.fromkeys(task for task, _ in places))
    it = "its simulator" if len(tasks) == 1 else "their simulators"
    return (
        f"scores of {', '.join(tasks)} are not normalised: the oracle cannot plan there, as {it} cannot be left and "
        f"entered anywhere in an episode{_instead(results, places)}"
    )


def _instead(results: Results, missing: Sequence[Place]) -> str:
    """What claims and figures do without a scale (`evidence`): they divide by the range of returns, if there is one."""
    known = [place for place in missing if range_of_returns(place[0], dict(place[1])) is not None]
    if not known:
        return ""
    where, scores = places(results), final_scores(results)
    random = scores.loc[(scores["agent"] == "random") & scores["score"].notna(), "run"]
    there = {where[run] for run in random}
    zeros = [
        zero
        for zero, chosen in (
            ("the random agent", [place for place in known if place in there]),
            (
                "the lowest score, which diverged runs count as",
                [place for place in known if place not in there],
            ),
        )
        if chosen
    ]
    of = "" if len(known) == len(missing) else f" on {', '.join(dict.fromkeys(task for task, _ in known))}"
    return f"; claims and figures divide returns{of} by their range instead, with 0 at {' or '.join(zeros)}"


def _to_write(place: Place, others: set[Place]) -> tuple[tuple[str, Any], ...]:
    """The fields of `env` that baselines here need: in which it differs from the task's own and from `others`."""
    task, found = place
    own = [dict(setting(task, {})), *(dict(other) for _, other in others)]
    return tuple((name, value) for name, value in found if any(value != each.get(name) for each in own))


def _elsewhere(place: Place, others: set[Place]) -> str:
    """In what the environments of the baselines that there are differ."""
    mine = dict(place[1])
    told = [
        in_words(tuple((name, value) for name, value in other if value != mine.get(name)))
        for _, other in others
    ]
    return " or ".join(sorted(told))


def _sentence(
    results: Results,
    missing: Sequence[Place],
    absent: Sequence[str],
    env: Sequence[tuple[str, Any]],
    others: str,
) -> str:
    tasks = list(dict.fromkeys(task for task, _ in missing))
    everywhere = len(missing) == len(compared(results))
    scores = "scores" if everywhere else f"scores of {', '.join(tasks)}"
    scores += f" with {in_words(tuple(env))}" if env and (absent or not everywhere) else ""
    instead = _instead(results, missing)
    if not absent:
        return f"{scores} are not normalised yet: the random agent or the oracle is not finished{instead}"
    agents = " and ".join("the random agent" if agent == "random" else "the oracle" for agent in absent)
    verb = "are" if len(absent) > 1 else "is"
    there = f" (planned with {others} only)" if others else ""
    listed = tasks[0] if len(tasks) == 1 else f"[{', '.join(tasks)}]"
    fields = f", env: {{{', '.join(f'{name}: {value}' for name, value in env)}}}" if env else ""
    add = f"{{agent: [random, oracle], task: {listed}{fields}, seed: range(5)}}"
    known = all(oracle_can_plan(task) for task in tasks)
    where = "" if known else " (where the spec of the task says simulates=True; there is no oracle otherwise)"
    return f"{scores} are not normalised: {agents} {verb} missing{there}; add {add} under include{where}{instead}"
