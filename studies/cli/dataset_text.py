"""How `wm dataset` prints: what would be taken, and what a dataset holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from studies.cli.options import console, plain_table, say
from studies.dataset_words import counted

if TYPE_CHECKING:
    from studies.dataset import TaskPlan

_BAR = 40  # characters of the longest bar


def print_plans(plans: Sequence[TaskPlan]) -> None:
    """What is taken, design by design, and where less is there than was asked for."""
    from rich.markup import escape

    from harness.datasets.selection import EVERYTHING

    for plan in plans:
        twins = ["twins"] if plan.choice.left_out else []
        table = plain_table("design", "returns", "wanted", "found", "taken", *twins)
        for cell in plan.choice.cells:
            wanted = "all" if cell.wanted is None else str(cell.wanted)
            bounds = "all" if cell.range == EVERYTHING else str(cell.range)
            taken = f"[yellow]{cell.taken}[/]" if cell.short else str(cell.taken)
            row = [escape(cell.design), bounds, wanted, str(cell.found), taken, str(cell.twins)]
            table.add_row(*row[: len(table.columns)])
        heldout = plan.choice.parts.count("heldout")
        console().print(escape(str(plan.recipe["task"])))
        console().print(table)
        print(
            f"{counted(len(plan.choice.episodes), 'episode')} ({heldout} held out), {counted(plan.steps, 'step')}; "
            f"{len(plan.to_render)} to render; about {size(plan.disk_bytes)}, and "
            f"{size(plan.raw_bytes)} more once a run trains on it"
        )
        if plan.choice.left_out:
            print(
                f"{counted(plan.choice.left_out, 'twin')} left out: another run contributes the same episode (designs "
                "share the cold start of a seed)"
            )
        short = sum(cell.short for cell in plan.choice.cells)
        if short:
            say(
                f"{plan.recipe['task']}: {short} of {len(plan.choice.cells)} quotas could not be filled (see above)"
            )


def plan_as_json(plan: TaskPlan, state: str = "planned", digest: str | None = None) -> dict[str, Any]:
    """What is taken of a task, for `--json`."""
    return {
        "task": plan.recipe["task"],
        "path": str(plan.directory),
        "state": "exists" if plan.exists else state,
        "digest": digest,
        "episodes": len(plan.choice.episodes),
        "steps": plan.steps,
        "heldout": plan.choice.parts.count("heldout"),
        "twins_left_out": plan.choice.left_out,
        "to_render": len(plan.to_render),
        "bytes": round(plan.disk_bytes),
        "raw_bytes": plan.raw_bytes,
        "quotas": [
            {
                "design": cell.design,
                "returns": str(cell.range),
                "wanted": cell.wanted,
                "found": cell.found,
                "taken": cell.taken,
                "twins": cell.twins,
            }
            for cell in plan.choice.cells
        ],
        "recipe": plan.recipe,
    }


def print_description(one: dict[str, Any]) -> None:
    from rich.text import Text

    out = console()
    out.print(Text(str(one["task"]), style="bold"))
    for part, counts in one["parts"].items():
        print(
            f"  {part + ':':<9} {counted(counts['episodes'], 'episode')}, {counted(counts['steps'], 'step')}"
        )
    lengths, returns, states = one["lengths"], one["returns"], one["states"]
    print(f"  lengths:  {lengths['min']} to {lengths['max']} steps")
    print(
        f"  size:     {one['bytes'] / 1e6:.1f} MB, and {one['mapped_bytes'] / 1e6:.1f} MB mapped for training"
    )
    print(f"  path:     {one['path']}")
    print(f"  digest:   {one['digest']}")
    print("  files:    all verified against their digests")
    print(f"  returns:  {returns['min']:.4g} to {returns['max']:.4g}, mean {returns['mean']:.4g}")
    _print_histogram(returns)
    _print_states(states)
    if one["designs"]:
        table = plain_table("  design", "runs", "train", "heldout", "mean return")
        for design, row in one["designs"].items():
            mean = f"{row['mean_return']:.4g}"
            table.add_row(f"  {design}", *(str(row[key]) for key in ("runs", "train", "heldout")), mean)
        out.print(table)
    recipe = {key: value for key, value in one["recipe"].items() if key not in {"task", "sources", "env"}}
    print("  recipe:   " + ", ".join(f"{key} {_plain(value)}" for key, value in recipe.items()))


def _print_histogram(returns: dict[str, Any]) -> None:
    """A bar per bin: train full, held-out hatched."""
    train, heldout, edges = returns["train"], returns["heldout"], returns["edges"]
    most = max(a + b for a, b in zip(train, heldout, strict=True))
    for index, (a, b) in enumerate(zip(train, heldout, strict=True)):
        bar = "█" * round(_BAR * a / most) + "▒" * round(_BAR * b / most)
        print(f"    {edges[index]:>9.4g} to {edges[index + 1]:<9.4g} {bar} {a + b}")
    if any(heldout):
        print("    (▒: held out)")


def _print_states(states: dict[str, Any]) -> None:
    if not states["count"]:
        print(f"  states:   none: {states['why']}")
        return
    if states["entropy"] is None:
        words = f"no entropy: {states.get('why', 'too few states')}"
    else:
        words = f"entropy {states['entropy']:.3f} nats, mean neighbour distance {states['knn_distance']:.3g}"
    print(f"  states:   {states['count']}; {words}")
    pairs = zip(states["low"], states["high"], strict=True)
    print("    range of each dimension: " + "  ".join(f"[{low:.3g}, {high:.3g}]" for low, high in pairs))


def _plain(value: Any) -> str:
    """A value of a recipe; digests are cut."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    text = "null" if value is None else str(value)
    return text[:12] if re.fullmatch(r"[0-9a-f]{64}", text) else text


def print_catalogue(found: Sequence[dict[str, Any]]) -> None:
    """A row per dataset and task."""
    table = plain_table("dataset", "task", "train", "heldout", "steps", "size", "digest")
    for one in found:
        if "error" in one:
            table.add_row(one["name"], "damaged", "", "", "", "", one["error"])
            continue
        parts = one["parts"]
        numbers = [str(part["episodes"]) for part in parts.values()]
        steps = str(sum(part["steps"] for part in parts.values()))
        table.add_row(one["name"], str(one["task"]), *numbers, steps, size(one["bytes"]), one["digest"][:12])
    console().print(table)


def size(count: float) -> str:
    """`96 kB`, `3.4 MB`, `12.0 GB`."""
    for unit, power in (("GB", 1e9), ("MB", 1e6)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
