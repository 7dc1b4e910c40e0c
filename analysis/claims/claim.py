"""From a plan and the data to a finding: the steps that all hypotheses share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Computed, Finding, Need, Verdict
from analysis.claims.verdicts import Rule, has_interval
from analysis.completeness import mixed_makes
from analysis.evidence import Evidence
from analysis.words import FINAL, capital, plural, short_task

ENDED = ("done", "diverged")
_BASELINES = ("random", "oracle")
_DONE = "runs that reach their end without diverging"
_NO_SCALE = "tasks where the oracle is far above the random agent, and the designs are clearly above it"


@dataclass(frozen=True)
class Outcome:
    """What a hypothesis computed.

    Attributes:
        primary: the numbers that decide; one without an interval makes the claim not testable.
        secondary: further numbers.
        remarks: what makes a verdict weak, a sentence each without a full stop.
        missing: what would make the claim complete, likewise.
        withheld: why the data cannot support the claim, whatever the numbers that decide; "" if they can.
    """

    primary: Sequence[Computed]
    secondary: Sequence[Computed] = field(default=())
    remarks: Sequence[str] = field(default=())
    missing: Sequence[str] = field(default=())
    withheld: str = ""


@dataclass(frozen=True)
class Claim:
    """A hypothesis in parts; its `test` is what `Hypothesis.test` promises.

    Attributes:
        statement: the claim as it is tested, given its thresholds.
        rule: how its verdict follows.
        needs: from rows of `matching.planned_frame`.
        compute: from the evidence, once the plan lacks nothing.
    """

    id: str
    title: str
    statement: Callable[[ClaimSpec], str]
    rule: Callable[[ClaimSpec], Rule]
    needs: Callable[[pd.DataFrame], Need]
    compute: Callable[[Evidence, ClaimSpec], Outcome]

    def test(self, evidence: Evidence, options: ClaimSpec) -> Finding:
        """The verdict, or why there is none."""
        need, rule = self.needs(evidence.runs), self.rule(options)
        found = Finding(self.id, self.title, self.statement(options), rule.text, level=options.level)
        command = self._command(evidence)
        if need.lacking:
            why = capital(f"the plan lacks {'; '.join(need.lacking)}")
            return replace(found, why=f"{why}.", missing=[*need.lacking, f"{command} says what to add"])
        runs = evidence.runs[evidence.runs["run"].isin(need.runs)]
        unfinished = _unfinished(runs, command)
        outcome = self.compute(evidence, options)
        remarks = [
            *outcome.remarks,
            *_excluded(runs),
            *_faulty(evidence.runs, runs),
            *_of_one_task(outcome.primary),
        ]
        if _all_diverged(runs):
            why = "Every run of a model that has ended diverged: there is nothing to compare."
            return replace(
                found, secondary=[*outcome.primary, *outcome.secondary], why=why, missing=[*unfinished, _DONE]
            )
        if not outcome.primary or not all(map(has_interval, outcome.primary)):
            secondary = [*outcome.primary, *outcome.secondary]
            missing = [*unfinished, *_without_scale(runs), *outcome.missing]
            missing = missing or [
                "further seeds: of what there is no seed has a second one, or nothing varies"
            ]
            why = _no_interval(runs, outcome.primary, remarks)
            return replace(found, secondary=secondary, why=why, missing=missing)
        verdict = rule.decide([each.estimate for each in outcome.primary])
        if verdict == "supported" and outcome.withheld:
            why = "".join(f"{capital(each)}. " for each in [outcome.withheld, *remarks]).strip()
            secondary = [*outcome.primary, *outcome.secondary]
            missing = [*unfinished, *outcome.missing] or [_NO_SCALE]
            return replace(found, secondary=secondary, why=why, missing=missing)
        of_final = _of_final(outcome, rule, verdict)
        mixed = mixed_makes(evidence.results.runs[evidence.results.runs["run"].isin(need.runs)])
        return replace(
            found,
            primary=outcome.primary,
            secondary=outcome.secondary,
            verdict=verdict,
            why="".join(f"{capital(each)}. " for each in [*remarks, *of_final, *mixed]).strip(),
            missing=[*unfinished, *outcome.missing],
        )

    def _command(self, evidence: Evidence) -> str:
        names = [study.name for study in evidence.results.studies]
        return f"`wm plan {names[0] if len(names) == 1 else 'STUDY'} --for {self.id}`"


def need(frame: pd.DataFrame, rows: pd.DataFrame, lacking: Sequence[str] = ()) -> Need:
    """What a claim needs: the runs that enter it, and the baselines on whose scale their scores are.

    Args:
        frame: all that is planned.
        rows: the runs of models that enter.
        lacking: what no planned run provides.
    """
    baselines = frame[frame["agent"].isin(_BASELINES) & frame["place"].isin(set(rows["place"]))]
    return Need(frozenset([*rows["run"], *baselines["run"]]), tuple(lacking))


def _unfinished(runs: pd.DataFrame, command: str) -> list[str]:
    left = int((~runs["state"].isin(ENDED)).sum())
    if not left:
        return []
    are = "is" if left == 1 else "are"
    return [f"{left} of the {plural(len(runs), 'run')} that enter {are} not done: {command} lists them"]


def _without_scale(runs: pd.DataFrame) -> list[str]:
    models = runs[runs["agent"] == "model"]
    tasks = list(dict.fromkeys(models.loc[models["basis"] == "", "task"]))
    if not tasks:
        return []
    return [f"finished runs of the random agent and the oracle on {listed(tasks)}: its scores have no scale"]


def _excluded(runs: pd.DataFrame) -> list[str]:
    """Diverged runs that do not count, by the rule of their study."""
    left = int(((runs["state"] == "diverged") & ~runs["diverged"].astype(bool)).sum())
    are = "is" if left == 1 else "are"
    return [f"{plural(left, 'diverged run')} {are} left out (report.diverged: exclude)"] if left else []


def _faulty(planned: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Runs that restore a fault, on the tasks of a claim: none of them enters it."""
    here = planned[planned["task"].isin(set(runs["task"]))]
    switches = [sorted(name for name in fields if name.startswith("legacy.")) for fields in here["fields"]]
    names = sorted({name for each in switches for name in each})
    count = sum(map(bool, switches))
    have = "has" if count == 1 else "have"
    return (
        [f"{plural(count, 'run')} with a restored fault ({', '.join(names)}) {have} no part"] if names else []
    )


def _of_one_task(primary: Sequence[Computed]) -> list[str]:
    """That a verdict is of a single task, which its words do not say."""
    alone = bool(primary) and all(each.tasks == 1 for each in primary)
    return ["it is of one task alone, and says nothing of others"] if alone else []


def _of_final(outcome: Outcome, rule: Rule, verdict: Verdict) -> list[str]:
    """That a single number that decides would decide otherwise if it were of the final score (`final`)."""
    final = next((each for each in outcome.secondary if each.name == "final"), None)
    if final is None or len(outcome.primary) != 1 or not has_interval(final):
        return []
    other = rule.decide([final.estimate])
    return [f"by the {FINAL} it would be {other}"] if other != verdict else []


def _all_diverged(runs: pd.DataFrame) -> bool:
    """Whether no model has a score of its own, but for what a diverged run counts as."""
    ended = runs.loc[(runs["agent"] == "model") & runs["state"].isin(ENDED), "state"]
    return bool(len(ended)) and bool((ended == "diverged").all())


def _no_interval(runs: pd.DataFrame, primary: Sequence[Computed], remarks: Sequence[str]) -> str:
    """Why a primary number has no interval."""
    models = runs[runs["agent"] == "model"]
    done = int(models["state"].isin(ENDED).sum())
    without = [each for each in primary if not has_interval(each)]
    what = f"there is no interval of the {' and of the '.join(each.words for each in without)}"
    entered = f", and {plural(max(each.runs for each in without), 'run')} enter it" if without else ""
    of_models = f"{done} of the {plural(len(models), 'run')} of models are done{entered}"
    said = [f"{what if without else 'nothing can be computed'}: {of_models}"]
    said += [each.note for each in without if each.note]
    said += remarks
    return "".join(f"{capital(each)}. " for each in dict.fromkeys(said)).strip()


def listed(tasks: Iterable[str]) -> str:
    """Tasks in a sentence."""
    return ", ".join(short_task(task) for task in tasks)
