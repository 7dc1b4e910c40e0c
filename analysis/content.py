"""Which tables a report has, and how their cells read."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from analysis.correlations import ALL, NAMES, correlations
from analysis.differences import differences
from analysis.inference.estimate import FEW_SEEDS
from analysis.kin import of_families
from analysis.load import COSTS, Results
from analysis.prediction import DATASET, common_data, horizon_table
from analysis.scales import Place, Scale, compared, scales
from analysis.scores import BASIS, SCALED, normalised_means, run_scores, score_cells
from analysis.tables import Table, fixed, interval, number
from analysis.words import (
    FINAL,
    WINDOWED,
    brackets,
    capital,
    few_tasks,
    interval_words,
    plural,
    short_count,
    short_task,
)


def score_table(results: Results) -> Table:
    """Score of each design on each task; of several tasks, in one column each. Both normalised scores where
    both baselines are there: of the task, or in the last columns the means over all tasks.
    """
    cells, overall = score_cells(results), normalised_means(results)
    wide, most = len(results.tasks) == 1, int(max(cells["n"], default=0))
    scaled = SCALED if len(overall) else ()
    rows, designs = [], []
    for design in dict.fromkeys(cells["design"]):
        row = [design]
        for task in results.tasks:
            cell = cells[(cells["design"] == design) & (cells["task"] == task)]
            parts = _score(cell.iloc[0]) if len(cell) else ["", "not planned", ""]
            row += parts if wide else [_joined(parts, f"{most}/{most}")]
        at = 3 if wide else len(row)
        row[at:at] = [_normalised(overall, design, name, results.baselines) for name in scaled]
        rows.append(row)
        designs.append(str(design))
    header = ["design"]
    for task in results.tasks:
        header += [short_task(task), "95 % interval", "seeds"] if wide else [short_task(task)]
    at = 3 if wide else len(header)
    header[at:at] = (FINAL, WINDOWED)[: len(scaled)]
    seeds = "Seeds: with a score / planned." if wide else f"{plural(most, 'seed')} unless stated."
    caption = f"Score: {BASIS}; higher is better. {seeds} {_intervals(cells)}{_lost(cells)}{_scaled(results)}"
    data = cells if wide or overall.empty else pd.concat([cells, overall], ignore_index=True)
    return Table("scores", "Score by design and task", caption, header, rows, data, 1, designs)


def _normalised(overall: pd.DataFrame, design: str, name: str, baselines: list[str]) -> str:
    """A normalised score and its interval; of a baseline, from which the scale comes, the score alone."""
    row = overall[overall["design"] == design].iloc[0]
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    ends = "" if design in baselines or not math.isfinite(low) else f" {interval(low, high, 2)}"
    return f"{fixed(value)}{ends}"


def _scaled(results: Results) -> str:
    """What normalised scores are, with a blank before it; nothing where there are none."""
    found = {place: scale for place, scale in scales(results).items() if math.isfinite(scale.unit)}
    if not found:
        return ""
    oracles = " or ".join(dict.fromkeys(scale.oracle for scale in found.values()))
    counts = [sorted({scale.n[i] for scale in found.values()}) for i in range(2)]
    random, oracle = ("-".join(map(str, dict.fromkeys((seen[0], seen[-1])))) for seen in counts)
    several = len({task for task, _ in compared(results)}) < len(compared(results))
    own = ", each of the design's own environment" if several else ""
    agents = f"0 is the random agent ({random} seeds), 1 the {oracles} ({oracle} seeds){own}"
    both = (
        f"{capital(FINAL)}: of this score (H4 and H6 are of it); {WINDOWED}: of the evaluations in the final window "
        f"of training, or of this score where it holds none (all other claims are of it). "
        f"{capital(agents)}, both taken as known: intervals are of the "
        "design's seeds."
    )
    words = [f" {both}"]
    if any(scale.oracles > 1 for scale in found.values()):
        words.append("Of several oracles the one with the highest mean is 1.")
    tasks = {task for task, _ in found}
    if len(results.tasks) > 1:
        words.append(f"Mean over {plural(len(tasks), 'task')}, of seeds with a score on each.")
    return " ".join([*words, *_ranged(found)])


def _ranged(found: dict[Place, Scale]) -> list[str]:
    """Where the range of returns is the unit, and why."""
    tasks = list(dict.fromkeys(short_task(task) for (task, _), scale in found.items() if scale.by_range))
    return [f"By the range of returns, 0 still the random agent (see the notes): {', '.join(tasks)}."] * bool(
        tasks
    )


def _score(cell: pd.Series) -> list[str]:
    mean, low, high = (float(cell[name]) for name in ("mean", "low", "high"))
    missing = [f"{int(cell[state])} {state}" for state in ("diverged", "failed") if cell[state]]
    seeds = ", ".join([f"{int(cell['n'])}/{int(cell['planned'])}", *missing])
    if not math.isfinite(mean):
        return ["—", "none", seeds]
    mark = " t" if cell["interval"] == "t" and cell["n"] < FEW_SEEDS else ""
    return [number(mean), interval(low, high) + mark if math.isfinite(low) else "none", seeds]


def _joined(parts: list[str], all_seeds: str) -> str:
    """Mean, interval and seeds in one cell; the seeds only where some are missing."""
    mean, interval, seeds = parts
    told = [mean, "" if interval == "none" else interval, "" if seeds in {all_seeds, ""} else f"({seeds})"]
    return " ".join(part for part in told if part)


def _intervals(cells: pd.DataFrame) -> str:
    kinds = set(cells["interval"])
    words = []
    if kinds & {"t", "bootstrap"}:
        words.append(f"Intervals: {interval_words(kinds)}.")
    if ((cells["interval"] == "t") & (cells["n"] < FEW_SEEDS)).any():
        words.append(f"t: of fewer than {FEW_SEEDS} seeds.")
    if "none" in kinds:
        words.append("No interval from a single seed.")
    return " ".join(words)


def _lost(cells: pd.DataFrame) -> str:
    diverged = int(cells["diverged"].sum())
    if not diverged:
        return ""
    return (
        f" {plural(diverged, 'run')} diverged: a result, but without a score, so the means here flatter those designs "
        "(claims count them by the rule `report.diverged`)."
    )


def correlation_table(results: Results) -> Table:
    """Correlation of the prediction errors with the score."""
    data, common = correlations(results), common_data(results)
    rows = []
    for line in data.to_dict("records"):
        found = [_with_interval(line, name) for name in NAMES.values()]
        several = f"{plural(int(line['tasks']), 'task')}, pooled"
        task = several if line["task"] == ALL else short_task(str(line["task"]))
        if line["why"]:
            found = [str(line["why"]), *[""] * (len(found) - 1)]
        over = of_families(line["designs"], line["families"]) if line["level"] == "designs" else "runs"
        which = [str(line["error"]), str(line["sample"]), over, task]
        rows.append([*which, *found, fixed(line["detectable"]), str(line["n"])])
    header = ["error", "of", "over", "task", "Pearson r", "Spearman ρ", "Kendall τ", "detectable ρ", "points"]
    caption = (
        "Correlation with the score of the error of the mean forecast, averaged over the horizon, on the "
        f"{common.dataset} data{common.kept}, both of the same frozen weights. Negative: better forecasts go with "
        "better scores. The sample of the comparison is designs; runs are shown beside it. "
        f"{brackets(results.tasks)} Detectable: the smallest correlation over designs that would be found, "
        "two-sided at 5 % with a power of 80 %; — : not defined (fewer than 3 points). Points: design means, or runs."
    )
    if len(results.tasks) > 1:
        caption += f" Pooled: within tasks, and averaged; points of all tasks.{few_tasks(data['tasks'])}"
    return Table("correlations", "Correlation of prediction error and score", caption, header, rows, data, 4)


def _with_interval(line: Mapping[Hashable, Any], name: str) -> str:
    value, low, high = (float(line[f"{name}{end}"]) for end in ("", "_low", "_high"))
    if not math.isfinite(value):
        return "—"
    return f"{fixed(value)} [{fixed(low)}, {fixed(high)}]" if math.isfinite(low) else fixed(value)


def horizon_error_table(results: Results) -> Table:
    """Open-loop errors against "repeat the last"."""
    data = horizon_table(results)
    rows, designs = [], []
    for line in data.to_dict("records"):
        cells = [number(line[name]) for name in ("first", "last", "mean", "baseline")]
        seeds = f"{line['n']}" + (f" ({line['unfinished']} unfinished)" if line["unfinished"] else "")
        rows.append(
            [line["error"], short_task(line["task"]), line["design"], *cells, fixed(line["ratio"]), seeds]
        )
        designs.append(line["design"])
    header = ["error", "task", "design", "step 1", "last step", "mean", "repeat the last", "ratio", "seeds"]
    caption = (
        f"Mean absolute error of the mean forecast on the {DATASET} data (images 0–255, rewards per step), and its "
        'ratio to "repeat the last frame / reward" over the whole horizon: below 1 beats it. Means over seeds.'
    )
    return Table(
        "horizon_error", "Open-loop error against the baseline", caption, header, rows, data, 3, designs
    )


def confound_table(results: Results) -> Table:
    """What differs between the designs beyond their names: size, cost, context."""
    models = results.runs[results.runs["agent"] == "model"]
    rows, lines = [], []
    for design, cell in models.groupby("design", sort=False):
        costs = {name: cell[name].median() for name in COSTS}
        lines.append({"design": design, "runs": int(cell["parameters"].notna().sum())} | costs)
        seconds = [number(costs[name], 3) for name in ("train_seconds", "plan_seconds", "collect_seconds")]
        counts = [_count(costs[name]) for name in ("parameters", "training_parameters", "flops_per_step")]
        rows.append(
            [
                str(design),
                *counts,
                sees(cell.iloc[0], cell["context"]),
                *seconds,
                number(costs["peak_memory_mb"]),
                str(lines[-1]["runs"]),
            ]
        )
    header = [
        "design",
        "parameters",
        "in training",
        "FLOPs / step",
        "sees when planning",
        "train s",
        "plan s",
        "collect s",
        "peak MB",
        "runs",
    ]
    caption = (
        "What differs between designs beyond their names; medians over finished runs. Parameters in use and in "
        "training; FLOPs per candidate and predicted step. A latent design plans from all frames and actions of the "
        "episode, or of a window, and never sees rewards; a pixel design from its last frames and the actions between "
        "them, and from the rewards between them if it reads rewards from frames that it forecasts. "
        "Planning is a part of collecting and evaluating."
    )
    other = ", ".join(dict.fromkeys(difference.field for difference in differences(results)))
    if other:
        caption += f" Mixed, as the designs differ in it as well (see the notes): {other}."
    data = pd.DataFrame(lines, columns=["design", "runs", *COSTS])
    return Table(
        "confounds", "Size and cost of the designs", caption, header, rows, data, 1, [row[0] for row in rows]
    )


def sees(run: pd.Series, contexts: pd.Series) -> str:
    """What a design knows of an episode when it plans; of the oldest column it sees, the frame alone.

    Args:
        run: one of its runs: predict, space, variant, reward_from, reward_gradient, own_model, legacy.
        contexts: `model.context` of all its runs.
    """
    if run["own_model"] or run["space"] not in {"latent", "pixel"}:
        return "its own"
    if run["variant"] == "actions":
        return "its actions alone, no past"
    if run["space"] == "latent" and run["variant"] != "window":
        return "all frames, actions"
    counts = sorted({int(count) for count in contexts.dropna()})
    past = counts != [1]
    if "blind_inputs" in str(run["legacy"]).split("+"):
        return _blind(run, past=past)
    if not past:
        return "1 frame"
    from_images = run["predict"] == "images" and run["reward_from"] == "image"
    rewards = ", rewards" if run["space"] == "pixel" and from_images else ""
    return f"{'/'.join(map(str, counts))} frames, actions{rewards}"


def _blind(run: pd.Series, *, past: bool) -> str:
    """With frames of about 1e-7: SV2P's tower still sees them, through its layer norms; nets of the reward do not."""
    from_tower = run["reward_from"] == "state" and run["reward_gradient"] != "separate"
    if run["predict"] == "images" and from_tower:
        return f"frames of about 1e-7{', actions' if past else ''}"
    return f"{'actions' if past else 'nothing'} (frames of about 1e-7)"


def _count(value: float) -> str:
    return short_count(value) if math.isfinite(value) else "—"


def run_table(results: Results) -> Table:
    """Every planned run: how it ended and what it cost."""
    scores = run_scores(results).set_index("run")
    data = results.runs.drop(columns=["path", "source"]).copy()
    data["score"] = data["run"].map(scores["score"])
    rows = []
    for run in data.to_dict("records"):
        ended = str(run["state"]) + (f" ({run['error']})" if isinstance(run["error"], str) else "")
        code = run["code"] if isinstance(run["code"], str) else ""
        rows.append(
            [
                run["design"],
                short_task(run["task"]),
                str(run["seed"]),
                ended,
                _hex(run["run"]),
                f"{100 * run['progress']:.0f} %",
                number(run["score"]),
                number(run["wall_seconds"]),
                "+".join(part[:8] for part in code.split("+")),
            ]
        )
    header = ["design", "task", "seed", "state", "id", "progress", "score", "seconds", "code"]
    caption = f"Every planned run ({len(rows)}). Seconds: of all attempts, by the clock."
    return Table("runs", "Runs", caption, header, rows, data, 5, [row[0] for row in rows])


def _hex(run: str) -> str:
    return run.rpartition("-")[2]
