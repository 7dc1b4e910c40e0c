"""What a probe that is done tells: seconds of the parts of a run, from the clock of its records, and its memory.

Every line of metrics.jsonl has the clock of its loop (`wall_seconds`), so a part took the time since the line before::

    iteration      0         1        ...   cold start
    lines      episode coverage | episode coverage | ... | episode coverage train evaluation open_loop | ...

The first of several is left out where it warms up or waits for what later ones find ready.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.rundir import RunDir
from studies.estimate.probes import Probe
from studies.estimating import Probed, Seconds


def measure(probe: Probe, run: RunDir, executor: str) -> Probed:
    """What a probe that is done tells.

    Raises:
        ValueError: its records do not say it.
    """
    records = list(run.read_metrics())
    attempts = run.read_attempts()
    starts = [record for record in attempts if record["event"] == "start"]
    ends = [record for record in attempts if record["event"] == "end"]
    if not starts or not ends:
        raise ValueError("attempts.jsonl says neither when it began nor when it ended")
    state = run.read_state()
    before = max(0.0, starts[-1]["time"] - state.started) if state and state.started else 0.0
    lengths = [record["length"] for record in records if record["kind"] in {"episode", "evaluation"}]
    config = probe.config
    return Probed(
        key=probe.key,
        run=run.id,
        design=config.label,
        size=config.size or "",
        task=config.task,
        code=starts[-1]["code"],
        where=probe.where(executor),
        host=starts[-1]["host"],
        device=next((record["gpu"] for record in reversed(ends) if "gpu" in record), starts[-1]["device"]),
        time=ends[-1]["time"],
        seconds=_seconds(probe, records, before, _spent(starts, ends)),
        steps=sum(lengths) / len(lengths) if lengths else 0.0,
        final_episodes=config.evaluation.final_episodes,
        memory_mb=max(record["peak_memory_mb"] for record in ends),
        gpu_memory_mb=_largest(ends, "peak_gpu_memory_mb"),
        gpu_total_mb=_largest(ends, "gpu_memory_mb"),
    )


def _spent(starts: list[dict[str, Any]], ends: list[dict[str, Any]]) -> float:
    """Seconds of all attempts that recorded their end."""
    begun = {record["attempt"]: float(record["time"]) for record in starts}
    return sum(float(record["time"]) - begun[record["attempt"]] for record in ends)


def _largest(records: list[dict[str, Any]], name: str) -> float | None:
    return max((float(record[name]) for record in records if record.get(name)), default=None)


def _seconds(probe: Probe, records: list[dict[str, Any]], before: float, spent: float) -> Seconds:
    """Seconds of the parts of a run.

    Args:
        probe: with the configuration that ran.
        records: of metrics.jsonl.
        before: from the process's first moment to the start of its attempt.
        spent: from there to the end.
    """
    config = probe.config
    if config.agent != "model":
        groups = 1 if config.agent == "random" else config.evaluation.final_episodes
        return Seconds(startup=before, collect=spent / groups)
    parts = durations(records)
    if not parts["final"]:
        raise ValueError("metrics.jsonl has no line of a final phase")
    clock = float(records[-1]["wall_seconds"])
    open_loop = _open_loop(records)
    updates = config.train.updates_per_episode
    return Seconds(
        startup=before + max(0.0, spent - clock),
        once=_excess(parts["collect"]) + _excess(parts["train"]),
        cold=typical(parts["cold"]),
        collect=typical(parts["collect"]),
        coverage=typical(parts["coverage"]),
        update=typical(parts["train"]) / updates if updates else 0.0,
        play=max(0.0, typical(parts["evaluate"]) - open_loop),
        play_final=max(0.0, parts["final"][0] - open_loop),
        open_loop=open_loop,
        plan=_plan(records),
    )


def durations(records: Iterable[dict[str, Any]]) -> dict[str, list[float]]:
    """Seconds of each part of a run, one an iteration, by its name.

    cold, collect: an episode, random or planned; coverage; train; evaluate: playing and open-loop errors; final.
    """
    found: defaultdict[str, dict[int, float]] = defaultdict(dict)
    before = 0.0
    for record in records:
        part, now = _part(record), float(record["wall_seconds"])
        same = found[part]
        same[record["iteration"]] = same.get(record["iteration"], 0.0) + now - before
        before = now
    return defaultdict(list, {part: list(seconds.values()) for part, seconds in found.items()})


def typical(seconds: Sequence[float]) -> float:
    """The mean, without the first if there are others; 0 of nothing."""
    kept = seconds[1:] or seconds
    return sum(kept) / len(kept) if kept else 0.0


def _excess(seconds: Sequence[float]) -> float:
    """How much longer the first took than later ones do."""
    return max(0.0, seconds[0] - typical(seconds)) if seconds else 0.0


def _part(record: Mapping[str, Any]) -> str:
    kind = record["kind"]
    if kind == "episode":
        return "cold" if record["behaviour"] == "random" else "collect"
    if kind in {"coverage", "train"}:
        return str(kind)
    return "final" if kind == "cost" or record.get("phase") == "final" else "evaluate"


def _open_loop(records: Iterable[Mapping[str, Any]]) -> float:
    """Seconds of the open-loop errors of the final phase, which are those of any evaluation."""
    final = (record for record in records if record["kind"] == "open_loop" and record["phase"] == "final")
    return sum(float(record["seconds"]) for record in final)


def _plan(records: Iterable[Mapping[str, Any]]) -> float:
    """Seconds of planning per step; episodes that are played side by side are planned together."""
    calls: dict[tuple[Any, ...], int] = {}
    total = 0.0
    for record in records:
        if record.get("behaviour") == "noise" or record["kind"] == "evaluation":
            group = record["kind"], record["iteration"], record.get("phase")
            calls[group] = max(calls.get(group, 0), record["length"])
        total = float(record.get("plan_seconds") or total)
    return total / sum(calls.values()) if calls else 0.0
