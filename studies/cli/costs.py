"""What a plan costs, in words."""

from __future__ import annotations

from typing import Any

_SHORT = 1.5  # hours up to which a time is told in minutes or seconds


def show_hours(price: dict[str, Any], name: str | None) -> None:
    """What is left to do of a study, and how long it takes.

    Args:
        price: as `studies.cost.estimate` returns it.
        name: of the study, for the command that measures what is not known; None: that was just called.
    """
    basis = price["basis"]
    print(f"\n{price['left']:,} run{'s' * (price['left'] != 1)} of {price['runs']} to do")
    print(f"  {hours_in_words(price['hours'])} one after another ({basis['hours']})")
    if price["gpu_hours"]:
        print(f"  {hours_in_words(price['gpu_hours'])} of a GPU")
    if price["eta_hours"] is not None:
        print(f"  {hours_in_words(price['eta_hours'])} with {price['at_once']} at a time")
    if name and basis["runs"].get("limit"):
        print(f"  measure what a run takes with: wm estimate {name}")


def hours_in_words(hours: float) -> str:
    """`1,200.5 hours`, `48 hours` or `21 s`."""
    from studies.progress import duration

    if 0 < hours <= _SHORT:
        return duration(3600 * hours)
    return f"{hours:,.1f}".removesuffix(".0") + " hours"


def show_cost(price: dict[str, Any], name: str) -> None:
    """What is left to do of a study: hours, disk and files, each with its basis."""
    basis = price["basis"]
    show_hours(price, name)
    print(f"  {price['disk_gb']:,.2f} GB kept ({basis['disk_gb']})")
    print(f"  {price['disk_running_gb']:,.2f} GB more for each run in progress ({basis['disk_running_gb']})")
    print(f"  {price['files']:,} files ({basis['files']})")
