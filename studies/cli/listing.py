"""`wm list`: what a study can name."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studies.cli.options import PLAN, Json, console, plain_table, say

if TYPE_CHECKING:
    from studies.components import Setting

_OWN = "Your own: a class in an installed package, named package.module:Name where a study names a {}."
_KNOWN = (
    "Any study can name these; globs reach only what a study writes itself. A fragment of the same name under "
    "designs: changes single fields."
)
_ALL_PLANNERS = (
    "All heed planner.objective, planner.discount and planner.particles. The oracle's planner is configured alike, "
    "under `oracle`, with a smaller budget."
)
_GYM = textwrap.fill(
    "gym/<id>, such as gym/CartPole-v1 or gym/package.module:Id-v0: any environment that is registered with Gymnasium "
    "and draws rgb_array frames (extra gym for classic control).",
    100,
)
_WIDEST = 100  # columns of a text


class Kind(StrEnum):
    """What `wm list` lists."""

    MODELS = "models"
    DESIGNS = "designs"
    PLANNERS = "planners"
    TASKS = "tasks"


def _kind(text: str) -> Kind:
    """What to list, by its name."""
    from harness.registry import suggest

    if text not in list(Kind):
        raise typer.BadParameter(f"nothing is called {text[:80]!r}{suggest(text, list(Kind))}")
    return Kind(text)


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("list", rich_help_panel=PLAN)(list_)


def list_(
    kind: Annotated[
        Kind,
        typer.Argument(
            metavar="models|designs|planners|tasks",
            help="What to list.",
            show_default=False,
            parser=_kind,
            autocompletion=lambda: list(Kind),
        ),
    ],
    size: Annotated[
        str | None,
        typer.Option(
            "--size", metavar="PRESET", help="models: tiny, small, paper (default), large or bench."
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size", min=8, max=512, help="models: side of the frames in pixels (default 64)."
        ),
    ] = None,
    actions: Annotated[
        int | None, typer.Option("--actions", min=1, help="models: dimensions of an action (default 6).")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option("--context", min=1, max=32, help="models: columns that pixel designs see (default 2)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Lists what a study can name.

    models: every design that can be built, and what it costs at one preset,
    frame size, number of actions and context: parameters in training,
    parameters that planning needs, FLOPs per candidate and predicted step.

    designs: names that a study need not write: the eight corners, and the
    designs of google-research/world_models with their budgets and weights.

    planners: the built-in ones, whether they plan discrete actions, and
    the fields of `planner` that each heeds, with their defaults.

    tasks: every dm_control suite task, every Atari game, the toy tasks,
    and sets of tasks; whether the oracle can plan on them.

        wm list models --size small --image-size 32 --actions 1
    """
    from studies import components

    given = {"size": size, "image_size": image_size, "actions": actions, "context": context}
    given = {name: value for name, value in given.items() if value is not None}
    setting = _setting(kind, given)
    listed: dict[Kind, Callable[[], Iterable[dict[str, Any]]]] = {
        Kind.MODELS: lambda: components.models(setting),
        Kind.DESIGNS: components.designs,
        Kind.PLANNERS: components.planners,
        Kind.TASKS: components.tasks,
    }
    rows = list(listed[kind]())
    if as_json:
        print(json.dumps(rows, indent=1))
    elif kind is Kind.MODELS:
        _show_models(rows, setting)
    elif kind is Kind.DESIGNS:
        _show_designs(rows)
    elif kind is Kind.PLANNERS:
        _show_planners(rows)
    else:
        _show_tasks(rows)


def _setting(kind: Kind, given: dict[str, Any]) -> Setting:
    """What models are counted for.

    Raises:
        UserError: there is no such size, or another list was asked for, which does not depend on it.
    """
    from harness.errors import UserError
    from harness.registry import suggest
    from studies.components import Setting
    from studies.language.fields import find

    if given and kind is not Kind.MODELS:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UserError(f"{options}: for `wm list models` only; the list of {kind} depends on nothing")
    field = find("size")
    assert field is not None
    if "size" in given and given["size"] not in field.choices:
        have = ", ".join(field.choices)
        raise UserError(
            f"unknown size {given['size'][:80]!r}{suggest(given['size'], field.choices)}; there are {have}"
        )
    return Setting(**given)


def _show_models(rows: list[dict[str, Any]], setting: Setting) -> None:
    """A line for each design; those whose reward gradient is stopped have the size of the one they belong to."""
    side = setting.image_size
    print(f"size {setting.size}, frames of {side} x {side} pixels, {setting.actions} action dimensions\n")
    stopped = {_place(row) for row in rows if row["reward_gradient"] == "stopped"}
    table = plain_table("design", "form", "training", "planning", "FLOPs/step", "context")
    for row in rows:
        if row["reward_gradient"] == "stopped":
            continue
        mark = " *" if _place(row) in stopped and row["reward_gradient"] == "shared" else ""
        counts = [_count(row[name]) for name in ("training_parameters", "parameters", "flops_per_step")]
        context = "all" if row["context"] is None else str(row["context"])
        table.add_row(row["design"], _form(row) + mark, *counts, context)
    console().print(table)
    for words in _legend(rows):
        print(words)
    say(textwrap.fill(f"{_OWN.format('model')} `wm check-model` checks one.", _WIDEST))


def _legend(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        "form        variant, reward_from, reward_gradient; *: also stopped, at the same cost",
        "training    parameters that are trained; planning: those of them that planning needs",
        "FLOPs/step  per candidate and predicted step; a plan has iterations x proposals x horizon of them",
        "context     columns of the past that a forecast depends on; all: every one of the episode",
    ]
    lines += [
        f"{row['variant']}: forecasts of at most train.forecast ({row['horizon_limit']}) steps"
        for row in rows
        if row["horizon_limit"] is not None
    ]
    refused = {(row["design"], row["refused"]) for row in rows if row["refused"]}
    lines += [f"{design}: {why}" for design, why in sorted(refused)]
    classes: dict[str, list[str]] = {row["class"]: [] for row in rows}
    for row in rows:
        corner = row["design"].rpartition("-")[0]
        name = corner if row["variant"] == "standard" else f"{corner} {row['variant']}"
        if name not in classes[row["class"]]:
            classes[row["class"]].append(name)
    return [*lines, "", *(f"{path}: {', '.join(names)}" for path, names in classes.items())]


def _place(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["design"], row["variant"], row["reward_from"]


def _show_tasks(rows: list[dict[str, Any]]) -> None:
    """A line for each task, the Atari games in one paragraph since they differ in their actions alone; then the
    sets, and how to name what no list holds.
    """
    from studies.language.tasksets import task_sets

    games = [row for row in rows if row["task"].startswith("atari/")]
    table = plain_table("task", "actions", "action repeat", "time limit", "terminates", "oracle")
    for row in rows:
        if row not in games:
            actions = f"{row['actions']} choices" if row["discrete"] else str(row["actions"])
            words = [_word(row[name]) for name in ("action_repeat", "time_limit", "terminates", "simulates")]
            table.add_row(row["task"], actions, *words)
    console().print(table)
    first = games[0]
    atari = (
        f"atari/<Game>, such as atari/Pong (extra atari): action repeat {first['action_repeat']}, time limit "
        f"{first['time_limit']:,} frames, terminates. Games, with their numbers of choices:"
    )
    print(f"\n{textwrap.fill(atari, _WIDEST)}\n")
    print(_wrapped(_items({row["task"].removeprefix("atari/"): row["actions"] for row in games}), _WIDEST))
    print(f"\n{_GYM}\n\nSets, with the action repeats of their members:\n")
    for one in task_sets().values():
        print(f"{one.name}: {one.about}")
        print(textwrap.indent(_wrapped(_items(one.repeats), _WIDEST - 4), "    "))
    say("\n" + textwrap.fill(_OWN.format("task"), _WIDEST))


def _form(row: dict[str, Any]) -> str:
    """How a row differs from the ordinary form of its corner."""
    words = [row["variant"]] * (row["variant"] != "standard")
    words += ["reward from image"] * (row["reward_from"] == "image")
    words += ["separate reward"] * (row["reward_gradient"] == "separate")
    return ", ".join(words) or "ordinary"


def _show_designs(rows: list[dict[str, Any]]) -> None:
    """The corners, then the reference's designs by how they differ from one; what all of those set stands below."""
    from rich.text import Text

    width = min(console().width, _WIDEST)
    reference = [row["fields"] for row in rows if row["fields"]]
    shared = {
        name: value
        for name, value in reference[0].items()
        if all(name in fields and fields[name] == value for fields in reference)
    }
    table = plain_table("design", "is")
    beside = max(len(row["design"]) for row in rows) + 4
    for row in rows:
        table.add_row(row["design"], Text(_wrapped(_meaning(row, shared), max(width - beside, 20))))
    console().print(table)
    print("\n" + _wrapped(["all of the reference-* designs:", *_items(shared)], width))
    say("\n" + textwrap.fill(_KNOWN, width))


def _show_planners(rows: list[dict[str, Any]]) -> None:
    """What each planner is, its budget and options, and where it comes from; then what all of them heed."""
    from rich.text import Text

    width = min(console().width, _WIDEST)
    beside = max(len(row["planner"]) for row in rows) + len("discrete") + 4
    table = plain_table("planner", "discrete", "is")
    for row in rows:
        options = [f"{name} {_literal(value)}," for name, value in row["options"].items()] or ["none,"]
        parts = [
            f"{row['summary']};".split(),
            ["budget:", *(f"{name}," for name in row["budget"][:-1]), f"{row['budget'][-1]};"],
            ["options:", *options[:-1], options[-1].replace(",", ";")],
            f"after {row['source']}".split(),
        ]
        text = "\n".join(_wrapped(words, max(width - beside, 20)) for words in parts)
        table.add_row(row["planner"], _word(row["discrete"]), Text(text))
    console().print(table)
    for words in (_ALL_PLANNERS, _OWN.format("planner")):
        say(textwrap.fill(words, width))


def _meaning(row: dict[str, Any], shared: dict[str, Any]) -> list[str]:
    """What a known name stands for, in words that a line ends between."""
    axes = {name: value for name, value in row.items() if name not in {"design", "fields"}}
    corner = "-".join(str(axes.pop(axis)) for axis in ("predict", "space", "dynamics"))
    if row["design"] == corner:
        return ["the corner itself: its three axes, everything else by default"]
    ordinary = {"reward_from": "state", "reward_gradient": "shared", "model.variant": "standard"}
    special = {name: value for name, value in axes.items() if value != ordinary[name]}
    own = {name: value for name, value in row["fields"].items() if name not in shared}
    return [f"as {corner}, with", *_items(special | own)]


def _items(fields: dict[str, Any]) -> list[str]:
    items = [f"{name} {_short(value)}" for name, value in fields.items()]
    return [f"{item}," for item in items[:-1]] + items[-1:]


def _wrapped(parts: list[str], width: int) -> str:
    """Lines of whole parts: none breaks between the name of a field and its value."""
    tied = " ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)
    lines = textwrap.wrap(tied, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _literal(value: Any) -> str:
    """A value as YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _count(value: float | None) -> str:
    from analysis.words import short_count

    return "-" if value is None else short_count(value)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
