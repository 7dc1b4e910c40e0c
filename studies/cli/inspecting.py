"""`wm show` and `wm logs`: one run."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studies.cli.options import LOOK, Runs, console, plain_table

if TYPE_CHECKING:
    from harness.rundir import RunDir
    from studies.status import Condition
    from studies.store import StoredRun

_FOLLOW_SECONDS = 0.5
_PATHS = ("log", "metrics", "checkpoint", "forecasts", "evaluation", "summary")

RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The start of a run's id or hex, after STUDY/ where two studies have it; or its directory.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command(rich_help_panel=LOOK)(show)
    app.command(rich_help_panel=LOOK)(logs)


def show(
    run: RunArgument,
    run2: Annotated[
        str | None, typer.Argument(metavar="[RUN2]", help="Show the difference to this one.")
    ] = None,
    runs: Runs = None,
) -> None:
    """Shows a run: state, attempts, paths, error, configuration; or how two runs differ."""
    from harness.rundir import RunDir
    from studies import store
    from studies.cli import dispatched

    root, strict = store.runs_root(runs), runs is not None
    if run2 is None:
        _show(dispatched.find(run, root, strict=strict))
    else:
        one, two = (RunDir(store.find_run(text, root, strict=strict)) for text in (run, run2))
        _show_difference(one, two)


def _show(one: StoredRun) -> None:
    import yaml
    from rich.text import Text

    from harness.rundir import RunDir
    from studies.cli import dispatched
    from studies.survey import survey

    seen = survey([one])[0]
    run, condition, state = RunDir(one.path), seen.condition, seen.state
    out = console()
    out.print(Text(run.id, style="bold"), Text(str(condition)))
    if condition.note:
        out.print(Text(condition.note))
    _show_owner(run, condition)
    if state is not None:
        score = f", last return {state.last_return:.2f}" if state.last_return is not None else ""
        trained = f", iteration {state.iteration} of {state.iterations}" if state.iterations else ""
        out.print(f"{state.phase}{trained}, {state.env_steps} steps{score}")
    if attempts := run.read_attempts():
        out.print(_attempts(attempts, running=condition.name == "running"))
    if seen.history:
        out.print(Text(), dispatched.tasks(seen))
    if state is not None and state.error is not None and state.error.traceback:
        out.print(Text(state.error.traceback.rstrip(), style="red"))
    print(f"\ndirectory: {run.path}")
    for name in _PATHS:
        path: Path = getattr(run, name)
        if path.exists():
            print(f"  {path.name}")
    for job, file in dispatched.log_files(seen.history):
        print(f"  job {job}: {file}")
    config = one.config or run.read_config().model_dump(mode="json")
    print("\n" + yaml.safe_dump(_trim(config), sort_keys=False).rstrip())


def _show_owner(run: RunDir, condition: Condition) -> None:
    from harness import claim

    if condition.name == "running" and (owner := claim.current(run.path)):
        print(f"owned by {owner}")


def _attempts(records: list[dict[str, Any]], *, running: bool) -> Any:
    """A row per attempt; `running`: the last goes on."""
    table = plain_table("attempt", "began", "lasted", "ending", "host", "device", "threads", "code")
    ends = {record["attempt"]: record for record in records if record["event"] == "end"}
    starts = [record for record in records if record["event"] == "start"]
    for start in starts:
        end = ends.get(start["attempt"])
        lasted = f"{end['time'] - start['time']:.0f} s" if end else ""
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(start["time"]))
        more = (str(start.get(name, "")) for name in ("host", "device", "threads"))
        ending = end["ending"] if end else "running" if running and start is starts[-1] else "cut short"
        table.add_row(str(start["attempt"]), began, lasted, ending, *more, _code(start))
    return table


def _code(start: dict[str, Any]) -> str:
    """The digest of the code that ran, and the snapshot that held it, as its folder is called."""
    root = Path(start.get("code_root") or "")
    folder = f" (code/{root.name})" if root.parent.name == "code" else ""
    return f"{str(start.get('code', ''))[:12]}{folder}"


def _show_difference(one: RunDir, two: RunDir) -> None:
    """A row per field whose values differ."""
    from rich.markup import escape

    left, right = (_flat(run.read_config().model_dump(mode="json")) for run in (one, two))
    table = plain_table("field", escape(one.id), escape(two.id))
    differing = [name for name in left | right if left.get(name) != right.get(name)]
    for name in differing:
        table.add_row(name, escape(str(left.get(name))), escape(str(right.get(name))))
    if differing:
        console().print(table)
    else:
        print(f"{one.id} and {two.id} have the same configuration")


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= (
            _flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {prefix + name: value}
        )
    return flat


def _trim(config: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that are null or empty."""
    trimmed = {name: _trim(value) if isinstance(value, dict) else value for name, value in config.items()}
    return {name: value for name, value in trimmed.items() if value not in (None, {}, [])}


def logs(
    run: RunArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep on printing what is added.")] = False,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=1, metavar="N", help="Only the last N.")
    ] = None,
    runs: Runs = None,
) -> None:
    """Prints the log of a run, all attempts, and what its jobs printed besides; with -f, the log alone."""
    from harness.errors import UserError
    from studies import store
    from studies.cli import dispatched
    from studies.survey import history_of

    one = dispatched.find(run, store.runs_root(runs), strict=runs is not None)
    log, printed = one.path / "log.txt", dispatched.log_files(history_of(one))
    if not log.exists() and not printed and not follow:
        raise UserError(f"{log}: no attempt has written a log yet")
    offset = 0
    if log.exists():
        with log.open(errors="replace") as file:
            for line in deque(file, maxlen=lines) if lines else file:
                sys.stdout.write(line)
            offset = file.tell()
    if not follow:
        dispatched.print_logs(printed, lines)
    if follow:
        with suppress(KeyboardInterrupt):
            _follow(log, offset)


def _follow(log: Path, offset: int) -> None:
    """Prints what is added until interrupted; a log that was cut is read from its new start."""
    while True:
        sys.stdout.flush()
        size = log.stat().st_size if log.exists() else 0
        if size < offset:
            offset = 0
        if size > offset:
            with log.open("rb") as file:
                file.seek(offset)
                added = file.read()
            offset += len(added)
            sys.stdout.write(added.decode(errors="replace"))
        else:
            time.sleep(_FOLLOW_SECONDS)
