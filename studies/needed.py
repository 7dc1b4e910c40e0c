"""Which runs a claim or a figure needs: those of a plan that enter it, those of other studies, and what no plan has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.study import report_spec
from harness.errors import UserError
from harness.registry import suggest
from studies.plan import Plan, read_plan
from studies.store import StoredRun, select, studies

if TYPE_CHECKING:
    import pandas as pd

    from analysis.claims.spec import ReportSpec
    from analysis.claims.types import Need


@dataclass(frozen=True)
class Source:
    """Runs of a study, and what to call it on the command line.

    Attributes:
        argument: its name under RUNS, or its file.
        claims: that it declares.
    """

    argument: str
    runs: Sequence[StoredRun]
    claims: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Needed:
    """What a claim or a figure needs.

    Attributes:
        name: `H4`, or that of a figure.
        title: what it is, in a few words.
        runs: that enter it, in the order of the plans; also of `others`.
        lacking: what no plan has, a sentence each.
        others: further studies without which more would be lacking.
    """

    name: str
    title: str
    runs: tuple[StoredRun, ...]
    lacking: tuple[str, ...] = ()
    others: tuple[Source, ...] = ()


def names_in(texts: Iterable[str]) -> list[str]:
    """The claims and figures that `--for` names, each once; several may stand in one text, with commas.

    Raises:
        UserError: a name is neither.
    """
    from analysis.claims.spec import CLAIMS
    from analysis.figures.registry import FIGURES

    found: dict[str, None] = {}
    for name in (part.strip() for text in texts for part in text.split(",")):
        known = name.upper() if name.upper() in CLAIMS else name
        if known not in CLAIMS and known not in FIGURES:
            near = suggest(name, [*CLAIMS, *FIGURES])
            raise UserError(
                f"--for {name or repr(name)}: neither a claim nor a figure{near}; "
                f"there are {CLAIMS[0]} to {CLAIMS[-1]}, and {', '.join(FIGURES)}"
            )
        found[known] = None
    return list(found)


def needed(names: Sequence[str], plans: Sequence[Plan], arguments: Sequence[str]) -> list[Needed]:
    """What each claim or figure needs of the plans, and of other studies where that is not all.

    Where the plans lack something for a claim, the other studies under RUNS are looked at, and the study files beside
    the plans' files: the one that leaves least lacking counts, of equal ones one that declares the claim, then the one
    with which most of the plans' own runs enter.

    Args:
        names: as `names_in` returns them.
        plans: of the studies that were named.
        arguments: how they were named.
    """
    given = [Source(text, plan.runs) for text, plan in zip(arguments, plans, strict=True)]
    tests = _Tests(functools.cache(lambda: _others(plans)))
    return [tests.needed(name, given) for name in names]


def select_for(
    plan: Plan, argument: str, only: list[str], prefixes: list[str], wanted: Sequence[str]
) -> list[StoredRun]:
    """The runs that `store.select` chooses, and of these the ones that claims or figures need.

    Args:
        plan: of the study.
        argument: how it was named.
        only: of `--only`.
        prefixes: of `--run`.
        wanted: texts of `--for`; without any, all.

    Raises:
        UserError: nothing is selected, or a name is neither a claim nor a figure.
    """
    chosen = select(plan.runs, only, prefixes)
    if not wanted:
        return chosen
    found = needed(names_in(wanted), [plan], [argument])
    enter = {run.id for one in found for run in one.runs}
    kept = [run for run in chosen if run.id in enter]
    if not kept:
        why = "; ".join(dict.fromkeys(text for one in found for text in one.lacking))
        raise UserError(
            f"--for {','.join(one.name for one in found)}: none of the {len(chosen)} runs enters it"
            + (f": {why}" if why else "")
        )
    return kept


def _others(plans: Sequence[Plan]) -> list[Source]:
    """Studies that were not named: those under RUNS, and those of files beside the files that were.

    Simulated ones only where those that were named are all simulated.
    """
    root, found = plans[0].home.root, []
    alike = all(plan.home.is_simulated for plan in plans)
    known = {plan.name for plan in plans}
    for study in studies(root):
        if study.name not in known and (alike or not study.is_simulated):
            with suppress(UserError):
                found.append(Source(study.name, study.planned, _declared(report_spec(study.study_file))))
                known.add(study.name)
    files = [Path(plan.study.source) for plan in plans if plan.study is not None]
    for file in dict.fromkeys(beside for path in files for beside in sorted(path.parent.glob("*.yaml"))):
        if file not in files:
            with suppress(UserError):
                plan = read_plan(str(file), root)
                if plan.name not in known:
                    found.append(Source(str(file), plan.runs, _declared(report_spec(file))))
                    known.add(plan.name)
    return found


def _declared(spec: ReportSpec | None) -> frozenset[str]:
    return frozenset(spec.claims.model_dump() if spec else ())


class _Tests:
    """What hypotheses say of plans; the rows of each set of studies are made once.

    Args:
        others: the studies that may be added.
    """

    def __init__(self, others: Callable[[], list[Source]]) -> None:
        from analysis.claims.findings import HYPOTHESES

        self.hypotheses = HYPOTHESES
        self.others = others
        self._frames: dict[tuple[int, ...], pd.DataFrame] = {}

    def needed(self, name: str, given: Sequence[Source]) -> Needed:
        """Of a claim or a figure."""
        from analysis.figures.registry import FIGURES

        is_claim = name in self.hypotheses
        title = self.hypotheses[name].title if is_claim else FIGURES[name].title
        claims = [name] if is_claim else FIGURES[name].claims
        if not claims:  # a figure of every run
            return Needed(name, title, tuple(_once(given)))
        needs = [self._need(claim, given) for claim in claims]
        enter = {run for need, _ in needs for run in need.runs}
        added = tuple({source.argument: source for _, sources in needs for source in sources}.values())
        lacking = tuple(dict.fromkeys(text for need, _ in needs for text in need.lacking))
        runs = tuple(run for run in _once([*given, *added]) if run.id in enter)
        return Needed(name, title, runs, lacking, added)

    def _need(self, claim: str, given: Sequence[Source]) -> tuple[Need, list[Source]]:
        """What a claim needs, and of which further studies."""
        added = list(given)
        own = {run.id for source in given for run in source.runs}
        found = self._of(claim, added)
        while found.lacking:
            tried = [
                (other, self._of(claim, [*added, other])) for other in self.others() if other not in added
            ]
            ranked = sorted(
                tried,
                key=lambda one: (len(one[1].lacking), claim not in one[0].claims, -len(own & one[1].runs)),
            )
            if not ranked or len(ranked[0][1].lacking) >= len(found.lacking):
                break
            added.append(ranked[0][0])
            found = ranked[0][1]
        return found, added[len(given) :]

    def _of(self, claim: str, sources: Sequence[Source]) -> Need:
        key = tuple(map(id, sources))
        if key not in self._frames:
            self._frames[key] = _frame(sources)
        return self.hypotheses[claim].needs(self._frames[key])


def _once(sources: Iterable[Source]) -> list[StoredRun]:
    """The runs of all, each id once: as the study has it that does not read it from another."""
    found: dict[str, StoredRun] = {}
    for run in (run for source in sources for run in source.runs):
        if run.id not in found or found[run.id].reused_from is not None:
            found[run.id] = run
    return list(found.values())


def _frame(sources: Sequence[Source]) -> pd.DataFrame:
    """`matching.planned_frame` of the sources' runs."""
    from analysis.labels import design_labels
    from analysis.matching import planned_frame
    from analysis.study import PlannedRun
    from harness.config import RunConfig

    runs: list[PlannedRun] = []
    configs: dict[str, RunConfig | None] = {}
    for run in _once(sources):
        runs.append(PlannedRun(run.id, run.study, run.design, run.task, run.seed, run.config, run.path))
        try:
            configs[run.id] = RunConfig.model_validate(run.config)
        except ValueError:
            configs[run.id] = None  # of another version
    return planned_frame(runs, design_labels(runs, configs), configs)
