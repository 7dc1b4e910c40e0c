"""`wm dataset build | show | list | import`: fixed datasets of episodes under RUNS/datasets."""

from __future__ import annotations

import json
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studies.cli.dataset_text import plan_as_json, print_catalogue, print_description, print_plans
from studies.cli.options import RESULTS, Json, Only, Prefix, Runs, say

if TYPE_CHECKING:
    from rich.progress import Progress

    from harness.datasets.sources import Kind
    from studies.dataset import Built, Request

_HELP = """Fixed datasets of episodes, from runs or imported.

A study trains on one by `data: {mode: offline, dataset: mixed}`.

wm dataset build mixed online --episodes 50 --heldout 0.1

wm dataset show mixed
"""
_OVERRIDE = re.compile(r"env\.\w+=.*")
_POOLED_EPISODES = 8

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the dataset, a folder of RUNS/datasets.")]
Heldout = Annotated[
    float | None,
    typer.Option(
        "--heldout",
        min=0,
        max=1,
        metavar="F",
        help="The probability that an episode is held out. Its content decides, whatever the dataset: with one F and "
        "one --heldout-seed no dataset trains on what another one holds out; so F is met on average only. "
        "0 and 1 are exact.",
    ),
]
HeldoutSeed = Annotated[
    int,
    typer.Option(
        "--heldout-seed",
        min=0,
        metavar="N",
        help="Holds out others; one for all datasets that belong together.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of the choice of episodes.")]


class From(StrEnum):
    """Which episodes of a run."""

    REPLAY = "replay"
    EVALUATION = "evaluation"


def register(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    verbs = typer.Typer(
        help=_HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False
    )
    verbs.command()(build)
    verbs.command()(show)
    verbs.command("list")(list_)
    verbs.command("import")(import_)
    app.add_typer(verbs, name="dataset", rich_help_panel=RESULTS)


def build(
    name: Name,
    study: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="Studies under RUNS, or their files.")
    ],
    from_: Annotated[
        From | None,
        typer.Option(
            "--from",
            metavar="replay|evaluation",
            help="Training episodes that the runs kept (default), or the noise-free ones of their final phase.",
        ),
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            "--episodes", min=1, metavar="N", help="Quota per design and return range; by default all."
        ),
    ] = None,
    returns: Annotated[
        str | None,
        typer.Option(
            "--returns",
            metavar="LO:HI,...",
            help="Return ranges with a quota each, such as 0:100,100:500,500: (LO counts, HI does not).",
        ),
    ] = None,
    heldout: Heldout = None,
    heldout_seed: HeldoutSeed = 0,
    pooled: Annotated[
        bool,
        typer.Option(
            "--pooled",
            help="An evaluation set that no design has a say in: --from evaluation --heldout 1, with "
            f"--episodes {_POOLED_EPISODES} of every design unless given.",
        ),
    ] = False,
    seed: Seed = 0,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="GLOB", help="Only these tasks; may be repeated."),
    ] = None,
    only: Only = None,
    run_: Prefix = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be taken; write nothing.")
    ] = False,
    json_: Json = False,
    runs: Runs = None,
) -> None:
    """Makes a fixed dataset from the episodes of finished runs.

    Every design gives up to N episodes of every return range, spread evenly
    over its runs; the same runs and the same --seed give the same dataset.
    Episodes that several runs share, as cold starts of one seed, are taken once.
    One dataset per task: RUNS/datasets/NAME/<task>/. The episodes are copied:
    the runs may be deleted afterwards. Frames that a run did not keep are
    rendered again from its simulator states.

        wm dataset build mixed online --episodes 50 --heldout 0.1
        wm dataset build expert online --returns 500: --only design=rssm
        wm dataset build pooled online random --pooled
    """
    from studies import dataset, store

    request = _request(
        name, study, from_, episodes, returns, heldout, pooled, seed, heldout_seed, task, only, run_
    )
    root = store.runs_root(runs)
    with _progress() as progress:
        row = progress.add_task("looking into runs", total=None)
        plans = dataset.plan_request(
            request, root, _printer(progress), lambda: progress.advance(row), strict=runs is not None
        )
    if not json_:
        print_plans(plans)
    built: list[Built] = []
    if not dry_run:
        with _progress() as progress:
            total = sum(len(plan.choice.episodes) for plan in plans if not plan.exists)
            row = progress.add_task("copying and rendering episodes", total=total, visible=total > 0)
            built += dataset.build(plans, _printer(progress), lambda: progress.advance(row))
    if not json_:
        for one in built:
            words = "exists already" if one.state == "exists" else "built"
            print(f"{words}: {one.plan.directory}  digest {one.digest[:12]}")
    else:
        digests = {one.plan.directory: (one.state, one.digest) for one in built}
        print(
            json.dumps(
                {
                    "name": name,
                    "tasks": [plan_as_json(plan, *digests.get(plan.directory, ())) for plan in plans],
                }
            )
        )


def _request(
    name: str,
    study: list[str],
    from_: From | None,
    episodes: int | None,
    returns: str | None,
    heldout: float | None,
    pooled: bool,
    seed: int,
    heldout_seed: int,
    task: list[str] | None,
    only: list[str] | None,
    run_: list[str] | None,
) -> Request:
    from harness.datasets.selection import EVERYTHING, Quota, parse_ranges
    from harness.errors import UserError
    from studies.dataset import Request

    if pooled and (from_ is From.REPLAY or heldout not in {None, 1.0}):
        raise UserError("--pooled means --from evaluation --heldout 1: leave those out")
    if pooled:
        from_, heldout, episodes = From.EVALUATION, 1.0, episodes or _POOLED_EPISODES
    ranges = parse_ranges(returns) if returns else (EVERYTHING,)
    quota = Quota(episodes, ranges, heldout or 0.0, seed, heldout_seed)
    chosen = {"only": tuple(only or ()), "prefixes": tuple(run_ or ()), "tasks": tuple(task or ())}
    kind: Kind = "evaluation" if from_ is From.EVALUATION else "replay"
    return Request(name, tuple(study), **chosen, kind=kind, quota=quota)


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the dataset, or its directory.")],
    json_: Json = False,
    runs: Runs = None,
) -> None:
    """Describes a dataset: parts, designs, returns, lengths, states, size, digest, recipe; verifies its files.

    Coverage is the k-nearest-neighbour entropy of its simulator states, in
    nats, each dimension in units of its spread in the task's probe.

        wm dataset show mixed
    """
    from harness.datasets.describe import describe
    from harness.errors import UserError
    from harness.registry import suggest
    from studies import store

    root = store.runs_root(runs) / "datasets"
    found = _directories(name, root)
    if not found:
        from harness.datasets.find import dataset_names

        known = dataset_names(root)
        have = f"; there are {', '.join(known)}" if known else "; `wm dataset build` makes one"
        raise UserError(f"no dataset {name} under {root}{suggest(name, known) or have}")
    described = [describe(path, root) for path in found]
    if json_:
        print(json.dumps({"name": name, "tasks": described}))
        return
    for one in described:
        print_description(one)


def _directories(name: str, root: Path) -> list[Path]:
    """The datasets that a name or a path means, one per task."""
    from harness.datasets.find import tasks_of
    from harness.datasets.fixed import MANIFEST

    for place in (root / name, Path(name)):
        if (place / MANIFEST).is_file():
            return [place.absolute()]
        if found := tasks_of(place.parent, place.name):
            return [path.absolute() for path in found.values()]
    return []


def list_(json_: Json = False, runs: Runs = None) -> None:
    """Lists the datasets under RUNS/datasets, with the probes that wm made itself.

    wm dataset list --json
    """
    from harness.datasets.describe import catalogue
    from studies import store

    found = catalogue(store.runs_root(runs) / "datasets")
    if json_:
        print(json.dumps(found))
        return
    if not found:
        say("no datasets yet; `wm dataset build` makes one from the episodes of runs")
        return
    print_catalogue(found)


def import_(
    name: Name,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE... [env.K=V]", help="npz files, one episode each; and fields of the environment."
        ),
    ],
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="Whose episodes these are.")],
    heldout: Heldout = None,
    heldout_seed: HeldoutSeed = 0,
    json_: Json = False,
    runs: Runs = None,
) -> None:
    """Makes a dataset of npz episodes that were made elsewhere, after checking all of them.

    A file holds, for T columns of which column 0 is the reset:
    image uint8 [T, 3, h, w], action float32 [T, A] in [-1, 1] or int64 [T],
    reward float32 [T], is_last and is_terminal bool [T], and if there is one
    the simulator state physics float64 [T, D]. Action and reward of a column
    are those that led to its image; in column 0 both are zero.

        wm dataset import human demos/*.npz --task dmc/reacher-easy env.image_size=32
    """
    from harness.datasets.find import check_name, task_slug
    from harness.datasets.holdout import one_sided
    from harness.datasets.imports import import_npz
    from harness.datasets.parts import part_of
    from harness.tasks.catalogue import find_task
    from studies import store
    from studies.dataset_words import counted

    check_name(name)
    env, paths = _env_and_files(files)
    destination = store.runs_root(runs) / "datasets" / name / task_slug(task)
    known = destination.exists()
    with _progress() as progress:
        row = progress.add_task("checking and copying episodes", total=2 * len(paths))
        made = import_npz(
            paths,
            destination,
            find_task(task, env),
            env,
            name=task,
            heldout=heldout or 0.0,
            heldout_seed=heldout_seed,
            step=lambda: progress.advance(row),
        )
    parts = [part_of(entry) for entry in made.entries]
    if empty := one_sided(parts, heldout or 0.0):
        say(empty)
    if json_:
        from harness.datasets.describe import summary

        print(json.dumps({"name": name, "tasks": [summary(destination)]}))
    else:
        count = f"{counted(len(made), 'episode')} ({parts.count('heldout')} held out)"
        what = f"exists already, {count}" if known else f"imported {count}"
        print(f"{what}: {destination}  digest {made.digest[:12]}")


def _env_and_files(arguments: list[str]) -> tuple[Any, list[Path]]:
    """The environment's section, and the paths; refuses what is meant as a field and is none of the environment's."""
    from harness.errors import UserError

    overrides = [text for text in arguments if _OVERRIDE.fullmatch(text)]
    others = [text for text in arguments if text not in overrides]
    wrong = []
    for text in others:
        if Path(text).exists():
            continue
        if "=" in text and not text.endswith(".npz"):
            wrong.append(
                f"{text}: an import takes fields of the environment alone, such as env.image_size=64"
            )
        elif text.startswith("env.") and not text.endswith(".npz"):
            wrong.append(f"{text}: write the value with it: {text}=VALUE")
    if wrong:
        raise UserError("\n".join(wrong))
    return _env_config(overrides), [Path(text) for text in others]


def _env_config(overrides: list[str]) -> Any:
    """The environment's section with ``env.field=value`` applied."""
    import yaml
    from pydantic import ValidationError

    from harness.config.sections import EnvConfig
    from harness.errors import UserError
    from harness.registry import suggest

    fields: dict[str, Any] = {}
    for text in overrides:
        key, _, value = text.partition("=")
        field = key.removeprefix("env.")
        if field not in EnvConfig.model_fields:
            raise UserError(f"{text}: no such field{suggest(field, list(EnvConfig.model_fields))}")
        fields[field] = yaml.safe_load(value)
    try:
        return EnvConfig.model_validate(fields)
    except ValidationError as error:
        lines = [f"env.{one['loc'][0]}: {one['msg']}" for one in error.errors()]
        raise UserError("\n".join(lines)) from error


def _progress() -> Progress:
    """A progress bar on standard error; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    terminal = sys.stderr.isatty()
    return Progress(
        *columns, console=Console(stderr=True, highlight=False), transient=True, disable=not terminal
    )


def _printer(progress: Progress) -> Any:
    """Prints a line above the bar."""
    from rich.markup import escape

    return lambda text: progress.console.print(escape(text), soft_wrap=True)
