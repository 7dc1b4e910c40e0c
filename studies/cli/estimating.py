"""`wm estimate`: short runs where the study will run tell its hours, memory and cost."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from studies.cli.options import PLAN, Json, Only, Overrides, Prefix, Runs, Study, console, plain_table, say

if TYPE_CHECKING:
    from studies.estimate.probes import Probe
    from studies.estimate.running import Estimation, Failed
    from studies.store import StoredRun

_INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


@dataclass(frozen=True)
class Chosen:
    """The runs that the request is about, and their states by hex."""

    runs: list[StoredRun]
    states: dict[str, str]


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command(rich_help_panel=PLAN)(estimate)


def estimate(
    study: Study,
    overrides: Overrides = None,
    only: Only = None,
    run_: Prefix = None,
    executor: Annotated[
        Literal["slurm", "local"] | None,
        typer.Option(help="Where the short runs are executed; by default where there is SLURM, there."),
    ] = None,
    episodes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Iterations of a short run after its cold start.")
    ] = 2,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Your profile, as in wm submit.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what was measured.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the short runs, start none.")] = False,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Measures what the runs of a study take, by short runs of each design, size and task where it will run.

    `wm plan`, `wm submit` and `wm status` use what was measured. Calling again continues.
    """
    from studies import cost, store
    from studies.estimate.probes import probes_for
    from studies.estimate.running import Estimation
    from studies.freeze import refuse_other_file
    from studies.plan import read_plan

    found = read_plan(study, store.runs_root(runs), overrides or [], strict=runs is not None)
    if found.study is not None:
        refuse_other_file(found)
    chosen = store.select(found.runs, only or [], run_ or [])
    states = found.states()
    probes = probes_for(cost.left(chosen, states), episodes)
    estimation = Estimation(found.home, probes, _where(executor, profile))
    todo = estimation.to_do(fresh=fresh)
    _say_what_is_to_do(estimation, todo)
    failed: list[Failed] = []
    if todo and not dry_run:
        failed = _execute(estimation, profile, fresh=fresh)
    if as_json:
        _print_json(found.name, estimation, Chosen(chosen, states), failed)
    elif not dry_run:
        _show(study, estimation, Chosen(chosen, states))
    raise typer.Exit(int(bool(failed)))


def _where(executor: str | None, profile: str | None) -> str:
    """The executor that was asked for, else the profile's, else SLURM where it is."""
    from studies.cluster.profile import load_profile

    usual = load_profile(profile).executor
    return executor or usual or ("slurm" if shutil.which("sbatch") else "local")


def _say_what_is_to_do(estimation: Estimation, todo: list[tuple[Probe, StoredRun]]) -> None:
    where = "on SLURM" if estimation.executor == "slurm" else "here"
    measured = len(estimation.probes) - len(todo)
    before = f" ({measured} measured before)" if measured else ""
    each = ", usually of a few minutes each" if todo else ""
    say(f"{_count(len(todo), 'short run')} to measure {where}{each}{before}")
    for probe, _ in todo:
        config = probe.config
        size = f" {config.size}" if config.size else ""
        say(f"  {config.label}{size} on {config.task}, for {_count(len(probe.runs), 'run')}")


def _execute(estimation: Estimation, profile: str | None, *, fresh: bool) -> list[Failed]:
    """Executes what is to be measured; says which failed."""
    from studies.estimate.running import execute_here, execute_on

    prepared = estimation.prepare(fresh=fresh)
    try:
        if estimation.executor == "local":
            interrupted = execute_here(estimation.place, prepared)
        else:
            execute_on(estimation.executor, estimation.place, prepared, profile, say)
            interrupted = False
    except KeyboardInterrupt:
        interrupted = True
        say(f"the jobs go on; wm status {estimation.place.path} shows them")
    failed = estimation.collect()
    if interrupted:
        again = " (without --fresh)" if fresh else ""
        say(f"what has ended is kept; the same command again continues{again}")
        raise typer.Exit(_INTERRUPTED)
    for one in failed:
        say(f"{one.run.design} on {one.run.task} told nothing: {one.why}")
        say(f"  wm logs {one.run.path}")
    return failed


def _rows(estimation: Estimation) -> list[dict[str, Any]]:
    """What each probe told, and what follows for the longest of its runs."""
    from studies.estimating import forecaster

    predict = forecaster(estimation.home)
    rows = []
    for probe in estimation.probes:
        row: dict[str, Any] = {"key": probe.key, "runs": [run.id for run in probe.runs]}
        expected = [(run, one) for run in probe.runs if (one := predict(run.config))]
        if expected:
            run, longest = max(expected, key=lambda pair: pair[1].seconds)
            at_once = longest.at_once(run.config)
            row |= {
                "seconds_per_episode": longest.per_episode,
                "hours": longest.beside(at_once - 1) / 3600,
                "limit_hours": longest.limit(at_once - 1),
                "memory_gb": longest.memory_gb,
                "gpu_gb": longest.gpu_gb,
                "runs_per_gpu": longest.runs_per_gpu,
                "source": longest.probed.source,
                "probed": asdict(longest.probed),
            }
        rows.append(row)
    return rows


def _print_json(name: str, estimation: Estimation, chosen: Chosen, failed: list[Failed]) -> None:
    from studies import cost
    from studies.estimating import forecaster, shortfalls

    content = {
        "study": name,
        "executor": estimation.executor,
        "probes": _rows(estimation),
        "failed": [{"key": one.probe.key, "run": str(one.run.path), "why": one.why} for one in failed],
        "warnings": shortfalls(chosen.runs, forecaster(estimation.home)),
        "cost": cost.estimate(chosen.runs, chosen.states),
    }
    print(json.dumps(content))


def _show(study: str, estimation: Estimation, chosen: Chosen) -> None:
    from rich.text import Text

    from studies import cost
    from studies.cli.costs import show_hours
    from studies.estimating import forecaster, shortfalls
    from studies.matrix import row_names
    from studies.progress import duration

    names = row_names(chosen.runs)
    heads = (
        "design",
        "size",
        "task",
        "s/episode",
        "time",
        "limit",
        "memory",
        "GPU memory",
        "per GPU",
        "source",
    )
    table = plain_table(*heads)
    for probe, row in zip(estimation.probes, _rows(estimation), strict=True):
        run = probe.runs[0]
        cells = [Text(names[run.hex]), probe.config.size or "-", run.task]
        if "hours" in row:
            gpu = "-" if row["gpu_gb"] is None else f"{row['gpu_gb']:.1f} GB"
            cells += [
                f"{row['seconds_per_episode']:.3g}",
                duration(3600 * row["hours"]),
                f"{row['limit_hours']:g} h",
            ]
            cells += [f"{row['memory_gb']:g} GB", gpu, str(row["runs_per_gpu"]), row["source"]]
        else:
            cells += ["-"] * 6 + ["not measured"]
        table.add_row(*cells)
    if estimation.probes:
        console().print(table)
    show_hours(cost.estimate(chosen.runs, chosen.states), None if estimation.probes else study)
    for warning in shortfalls(chosen.runs, forecaster(estimation.home)):
        say(f"warning: {warning}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
