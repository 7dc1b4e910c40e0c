"""A run that leaves the records of one whose parts took known times, in place of `harness.entry.execute`."""

from __future__ import annotations

import json

from harness.rundir import RunDir, RunState

EXECUTE = "fake_probes:execute"
CODE = "c0de"
STARTED = 1000.0  # of the process, unix seconds
TIMES = {
    "first": 7.0,
    "cold": 2.0,
    "collect": 4.0,
    "coverage": 0.5,
    "update": 0.25,
    "play": 3.0,
    "play_final": 6.0,
}
OPEN_LOOP = 1.0  # of each of two datasets
STARTUP = 10.0  # half of it before the attempt's record, half after the loop
WARM_UP = 5.0  # of the first update and the first plan


def execute(run: RunDir, *, stop, owns, datasets) -> str:
    """Writes metrics.jsonl and attempts.jsonl; the design `fails` fails."""
    del stop, owns, datasets
    if run.read_config().design == "fails":
        raise ValueError("a bug")
    leave(run)
    return "done"


def leave(run: RunDir, code: str = CODE) -> None:
    """Leaves what a run that is done leaves, as far as its costs are concerned."""
    config = run.read_config()
    lines = _lines(config) if config.agent == "model" else []
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    spent = (lines[-1]["wall_seconds"] if lines else 12.0) + STARTUP / 2
    start = {
        "event": "start",
        "attempt": 1,
        "time": STARTED + STARTUP / 2,
        "code": code,
        "host": "n1",
        "device": "cpu",
    }
    end = {"event": "end", "attempt": 1, "time": start["time"] + spent, "peak_memory_mb": 1500.0}
    run.attempts.write_text(f"{json.dumps(start)}\n{json.dumps(end)}\n")
    run.write_state(RunState(run.id, "done", started=STARTED, progress=1.0))


class _Clock(list):
    """Lines of metrics.jsonl, each so many seconds after the one before."""

    now = 0.0

    def add(self, took: float, iteration: int, kind: str, **fields: object) -> None:
        self.now += took
        self.append({"kind": kind, "iteration": iteration, "wall_seconds": self.now} | fields)


def _lines(config) -> list[dict]:
    lines, cold = _Clock(), 0 if config.offline else config.exploration.cold_start
    trained = 0 if config.offline else cold - 1
    episodes = config.train.episodes
    for i in range(episodes):
        if not config.offline:
            random = i < cold
            late = {0: TIMES["first"], cold: WARM_UP}.get(i, 0.0)
            took = TIMES["cold" if random else "collect"] + late
            lines.add(took, i, "episode", behaviour="random" if random else "noise", length=50)
            lines.add(TIMES["coverage"], i, "coverage")
        if i >= trained:
            updates = config.train.updates_per_episode
            lines.add(updates * TIMES["update"] + (i == trained) * WARM_UP, i, "train", seconds=0.0)
        if i >= trained and i + 1 < episodes and (i + 1) % config.evaluation.every == 0:
            first = TIMES["first"] * (i == trained)
            _measured(lines, i, TIMES["play"] + first, config.evaluation.episodes, "scheduled")
    _measured(lines, episodes, TIMES["play_final"], config.evaluation.final_episodes, "final")
    lines.add(0.0, episodes, "cost", plan_seconds=20.0)
    return lines


def _measured(lines: _Clock, iteration: int, play: float, episodes: int, phase: str) -> None:
    """All lines of a measurement are written at its end."""
    for number in range(episodes):
        took = play + 2 * OPEN_LOOP if number == 0 else 0.0
        lines.add(took, iteration, "evaluation", phase=phase, length=50)
    for name in ("probe", "own"):
        lines.add(0.0, iteration, "open_loop", phase=phase, dataset=name, seconds=OPEN_LOOP)
