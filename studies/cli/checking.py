"""`wm check-model`: whether a model keeps what every world model promises."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from studies.cli.options import PLAN, Json, Overrides, console, say

if TYPE_CHECKING:
    from harness.contract import Result

_DOC = "docs/adding-a-model.md"


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("check-model", rich_help_panel=PLAN)(check_model)


def check_model(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="package.module:Name, or the name of a known design.")
    ],
    overrides: Overrides = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail for an optional promise that is not kept, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Checks a model of your own: shapes, noise, causality, gradients, checkpoints, and that it learns.

    The model is built as a run would build it, and its fields are given as a study gives them:

        wm check-model my_models.flow:Flow predict=images model.options.units=64 env.image_size=32

    A broken promise ends with status 1, a model that cannot be built with 2. In a test of your own:
    harness.contract.check_model. How to write a model: docs/adding-a-model.md.
    """
    from studies.language import config_of_model

    config = config_of_model(model, overrides or [])
    from harness.build import make_device
    from harness.contract import check_subject, subject_of
    from harness.tasks import find_task

    task = find_task(config.task, config.env).spec
    subject = subject_of(config, task, make_device(config.runtime.device))
    asked = "images and rewards" if subject.spec.predict_images else "rewards"
    side = subject.spec.image_shape[1]
    say(f"{model}, asked for {asked} from {side} x {side} pixels and {subject.spec.action_dim} actions\n")
    results = []
    for result in check_subject(subject, (model,)):
        results.append(result)
        if not as_json:
            _print(result)
    if as_json:
        print(json.dumps([asdict(result) for result in results]))
    raise typer.Exit(_conclude(results, strict=strict))


def _print(result: Result) -> None:
    """One promise: kept, or how it is broken."""
    from rich.text import Text

    words = {
        "kept": "kept",
        "skipped": "not checked",
        "broken": "BROKEN" if result.fails else "not kept (optional)",
    }
    style = {"kept": "green", "skipped": "yellow", "broken": "red" if result.fails else "yellow"}
    out = console()
    out.print(Text(f"{words[result.outcome]:>20}", style=style[result.outcome]), Text(f" {result.promise}"))
    if result.message:
        out.print(Text(f"{'':>22}{result.name}: {result.message}", style=style[result.outcome]))


def _conclude(results: list[Result], *, strict: bool) -> int:
    """Says how many promises are kept and what follows; returns the exit status."""
    from harness.contract import CHECKS

    kept = sum(result.outcome == "kept" for result in results)
    failed = sum(result.fails for result in results)
    optional = sum(result.outcome == "broken" for result in results) - failed
    words = [f"{kept} of {len(results)} promises kept"]
    if failed:
        words.append(
            f"{failed} broken: runs would fail, or their numbers would not mean what they say ({_DOC})"
        )
    if optional:
        words.append(f"{optional} optional not kept: runs work, some ways of making them fast do not")
    if len(results) < len(CHECKS):
        words.append(f"the other {len(CHECKS) - len(results)} are checked once this one is kept")
    say("\n" + "; ".join(words))
    return int(bool(failed or (strict and optional)))
