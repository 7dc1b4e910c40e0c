"""Planned studies as the simulation sees them: their runs under another name, and the file that says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from studies.language.names import check_study_name
from studies.plan import Plan, read_plan
from studies.store import select

if TYPE_CHECKING:  # pandas, which the command line need not load
    from analysis.simulate.world import World
    from analysis.study import Study

_NAME_LINE = re.compile(r"^name:.*$", re.MULTILINE)


@dataclass(frozen=True)
class Simulated:
    """Studies to simulate.

    Attributes:
        studies: their runs, in directories RUNS/<name> that need not exist.
        files: study.yaml of each, by the new name.
        sources: the names of the studies whose plans these are.
    """

    studies: Sequence[Study]
    files: dict[str, str]
    sources: Sequence[str]

    def world(self) -> World:
        """What a draw needs of them."""
        from analysis.simulate.world import World

        return World.of(self.studies)


def planned(
    names: Sequence[str], root: Path, name: str | None, only: Sequence[str] = (), *, strict: bool = False
) -> Simulated:
    """The plans of studies, as they are simulated.

    Args:
        names: study files, or studies under RUNS.
        root: RUNS.
        name: of the simulated study, or what the names of several begin with; by default their own.
        only: conditions on runs, `field=glob`.
        strict: see `studies.store.open_study`.

    Raises:
        StudyError: a file is wrong.
        UserError: a study does not exist, is given twice, or a name cannot be a directory's.
    """
    from analysis.claims.spec import ReportSpec
    from analysis.study import PlannedRun, Study, read_study

    if name is not None:
        try:
            check_study_name(name)
        except ValueError as error:
            raise UserError(f"--name: {error}") from None
    studies, files, sources = [], {}, []
    for given in names:
        plan = read_plan(given, root, strict=strict)
        if plan.name in sources:
            raise UserError(f"{plan.name} is given twice")
        sources.append(plan.name)
        new = plan.name if name is None else name if len(names) == 1 else f"{name}-{plan.name}"
        spec = (
            read_study(plan.home.path).spec
            if plan.study is None
            else ReportSpec.model_validate(plan.study.report)
        )
        runs = tuple(
            PlannedRun(
                run.id,
                new,
                run.design or str(run.config["agent"]),
                run.task,
                run.seed,
                run.config,
                root / new / "runs" / run.id,
            )
            for run in select(plan.runs, list(only), [])
        )
        studies.append(Study(root / new, runs, {}, spec))
        files[new] = _text(plan, new)
    return Simulated(studies, files, sources)


def _text(plan: Plan, name: str) -> str:
    """The study's file, under its new name."""
    from studies.freeze import dispatched_text

    text = plan.home.study_file.read_text() if plan.study is None else dispatched_text(plan.study)
    head = f"# Simulated by `wm simulate` from the plan of {plan.name}: no model was trained.\n"
    return head + _NAME_LINE.sub(f"name: {name}", text, count=1)
