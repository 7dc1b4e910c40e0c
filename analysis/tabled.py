"""Every table of the report: where the page shows it, and what makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.material import Material
from analysis.provenance import provenance_table
from analysis.tables import Table


@dataclass(frozen=True)
class TableKind:
    """A table of the report.

    Attributes:
        section: of the page; a key of `page.sections.SECTIONS`.
        make: returns None where there is nothing to say.
        folded: what opens it on the page, where it is long.
    """

    section: str
    make: Callable[[Material], Table | None]
    folded: str = ""


def _claims(material: Material) -> Table | None:
    from analysis.claims.table import claims_table

    return claims_table(material.findings)


def _version_verdicts(material: Material) -> Table | None:
    from analysis.compared import version_verdicts

    return version_verdicts(material)


def _scores(material: Material) -> Table | None:
    from analysis.content import score_table

    return score_table(material.results)


def _versions(material: Material) -> Table | None:
    from analysis.compared import version_table

    return version_table(material.results)


def _correlations(material: Material) -> Table | None:
    from analysis.content import correlation_table

    return correlation_table(material.results)


def _correlation_checks(material: Material) -> Table | None:
    from analysis.correlation_checks import checks_table

    return checks_table(material.results)


def _horizon_error(material: Material) -> Table | None:
    from analysis.content import horizon_error_table

    return horizon_error_table(material.results)


def _heldout(material: Material) -> Table | None:
    from analysis.heldout import heldout_table

    return heldout_table(material.results)


def _factorial(material: Material) -> Table | None:
    from analysis.factorial import factorial_table

    return factorial_table(material.factorial)


def _confounds(material: Material) -> Table | None:
    from analysis.content import confound_table

    return confound_table(material.results)


def _failures(material: Material) -> Table | None:
    from analysis.failures import failure_table

    return failure_table(material.results)


def _runs(material: Material) -> Table | None:
    from analysis.content import run_table

    return run_table(material.results)


TABLES = (
    TableKind("claims", _claims, "All claims in one table"),
    TableKind("claims", _version_verdicts),
    TableKind("scores", _scores),
    TableKind("scores", _factorial),
    TableKind("scores", _versions),
    TableKind("correlations", _correlations),
    TableKind("correlations", _correlation_checks, "How far the correlations hold"),
    TableKind("offline", _heldout),
    TableKind("predictions", _horizon_error),
    TableKind("costs", _confounds),
    TableKind("failures", _failures),
    TableKind("failures", _runs, "All runs"),
)


def make_tables(material: Material, source: dict[str, Any]) -> list[tuple[TableKind, Table]]:
    """The tables that have something to say, in the order of the page.

    Args:
        material: what they are made of.
        source: of `manifest.manifest`, for the last one.
    """
    last = TableKind("provenance", lambda made: provenance_table(made.results, source))
    made = ((kind, kind.make(material)) for kind in (*TABLES, last))
    return [(kind, table) for kind, table in made if table is not None]
