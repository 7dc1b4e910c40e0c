"""What a reader must know before the numbers: how much of the study is there, and what it can support."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from analysis.differences import differences
from analysis.inference.estimate import FEW_SEEDS
from analysis.load import Results
from analysis.prediction import FLAT, chosen, common_data, run_errors
from analysis.scales import scale_notes
from analysis.scores import score_cells
from analysis.words import capital, plural

ENOUGH_IMAGE_DESIGNS = 8
"""Below this many designs that predict images, H4 cannot be tested (SCIENCE 16)."""
_STATES = ("running", "preempted", "failed", "diverged", "unreadable", "pending")
_CONFOUNDS = {
    "code": "code versions",
    "environment": "environments",
    "rendering": "rendering backends",
    "threads": "numbers of threads",
    "device": "devices",
    "precision": "precisions",
}
_FAULTS = {
    "blind_inputs": "they see frames of about 1e-7",
    "leaking_reward": "they are trained with the reward they predict among their inputs",
    "shifted_evaluation": "their forecasts are compared with the frame and reward of the step before",
}
"""What each legacy switch means for what a reader sees."""
_MAY_IGNORE = "a model of its own may ignore it"


def sentence(results: Results) -> str:
    """Completeness in one sentence: `12 of 12 runs done, 2 seeds per cell; 5 designs on 1 task.`"""
    runs = results.runs
    done = int((runs["state"] == "done").sum())
    states = Counter(runs["state"])
    rest = ", ".join(f"{states[state]} {state}" for state in _STATES if states[state])
    cells = score_cells(results)
    seeds = _per_cell(cells)
    empty = int((cells["n"] == 0).sum())
    words = [f"{done} of {plural(len(runs), 'run')} done{f' ({rest})' if rest else ''}", f"{seeds} per cell"]
    if empty:
        words.append(f"{empty} of {plural(len(cells), 'cell')} empty")
    agents = plural(len(results.designs), "design")
    randoms = [name.replace("random", "random agent", 1) for name in results.agents("random")]
    baselines = [f"the {name}" for name in [*randoms, *results.agents("oracle")]]
    agents = ", ".join([agents, *baselines[:-1]]) + "".join(f" and {name}" for name in baselines[-1:])
    return f"{', '.join(words)}; {agents} on {plural(len(results.tasks), 'task')}."


def _per_cell(cells: pd.DataFrame) -> str:
    counts = sorted(set(cells["n"])) or [0]
    if counts[0] == counts[-1]:
        return plural(int(counts[0]), "seed")
    return f"{counts[0]} to {counts[-1]} seeds"


def too_small(results: Results) -> str:
    """Why nothing can be concluded yet, or the empty string.

    `This study is too small to conclude from: 2 seeds, 5 designs, 1 task.` and what follows from that.
    """
    cells = score_cells(results)
    cells = cells[~cells["design"].isin(results.baselines)]
    seeds = min(cells["n"], default=0)
    errors = run_errors(results)
    measured = chosen(errors, "image", "image designs").dropna(subset=["image_error", "score"])
    images = int(measured["form"].nunique())
    why = []
    if seeds < FEW_SEEDS:
        why.append(f"with fewer than {FEW_SEEDS} seeds intervals are wide, and rest on normal scores")
    if images < ENOUGH_IMAGE_DESIGNS:
        why.append(
            f"{plural(images, 'design')} that {'predicts' if images == 1 else 'predict'} images "
            f"{'is' if images == 1 else 'are'} measured, and whether image or reward error correlates more with the "
            f"score (H4) is not testable with fewer than {ENOUGH_IMAGE_DESIGNS}"
        )
    if not why:
        return ""
    size = (
        f"{_per_cell(cells)}, {plural(len(results.designs), 'design')}, {plural(len(results.tasks), 'task')}"
    )
    return f"This study is too small to conclude from: {size}. {capital('; '.join(why))}."


def notes(results: Results) -> list[str]:
    """What is missing, mixed or odd, one sentence each."""
    common = common_data(results).note
    return [
        *_missing(results),
        *mixed(results),
        *_faults(results),
        *([common] if common else []),
        *results.notes,
    ]


def mixed(results: Results) -> list[str]:
    """Comparisons of runs that were not made alike, each stamped `mixed`: of machines, code, configurations."""
    return mixed_makes(results.runs) + [str(difference) for difference in differences(results)]


def mixed_makes(runs: pd.DataFrame) -> list[str]:
    """What `mixed` says of how some of `Results.runs` were made."""
    runs = runs[runs["attempts"] > 0]
    found = []
    for name, words in _CONFOUNDS.items():
        values = Counter(str(value) for value in runs[name].dropna())
        parts = {part for value in values for part in value.split("+")}
        if len(parts) > 1:
            counts = ", ".join(f"{value[:24]} ({count})" for value, count in values.most_common(4))
            found.append(f"mixed {words}: {counts}{', ...' if len(values) > 4 else ''}; runs in brackets")
    for task, cell in runs.groupby("task", sort=False):
        if len(set(cell["probe"].dropna())) > 1:
            found.append(f"mixed probe data on {task}: errors of these runs are not on common data")
    return found


def _faults(results: Results) -> list[str]:
    """Faults of google-research/world_models that runs restore on purpose, each with its designs."""
    found = []
    for switch, words in _FAULTS.items():
        ids = {run for run, config in results.configs.items() if config and getattr(config.legacy, switch)}
        runs = results.runs[results.runs["run"].isin(ids) & (results.runs["agent"] == "model")]
        of_models = runs["own_model"] & (switch != "shifted_evaluation")
        for here, meaning in ((runs[~of_models], f", so {words}"), (runs[of_models], f" ({_MAY_IGNORE})")):
            if len(here):
                count = plural(len(here), "run")
                found.append(f"legacy.{switch} is on in {count}{meaning}: {_names(here)}")
    return found


def _names(runs: pd.DataFrame) -> str:
    return ", ".join(dict.fromkeys(runs["design"]))


def _missing(results: Results) -> list[str]:
    runs, found = results.runs, []
    for state, words in (
        ("diverged", "diverged: a result, counted in the tables, without a score"),
        ("failed", "failed"),
        ("running", "still running"),
        ("preempted", "preempted, to be continued"),
        ("unreadable", "in a state that cannot be read"),
        ("pending", "not begun"),
    ):
        chosen = runs[runs["state"] == state]
        if len(chosen):
            cells = Counter(f"{row.design} on {row.task}" for row in chosen.itertuples())
            listed = "; ".join(f"{cell} ({count})" for cell, count in list(cells.items())[:6])
            found.append(f"{plural(len(chosen), 'run')} {words}: {listed}{'; ...' if len(cells) > 6 else ''}")
    lost = runs[(runs["state"] == "done") & ~runs["final"].astype(bool)]
    if len(lost):
        count = f"{plural(len(lost), 'run')} {'is' if len(lost) == 1 else 'are'} done"
        listed = "; ".join(f"{row.design} on {row.task}, seed {row.seed}" for row in lost[:6].itertuples())
        more = "; ..." if len(lost) > 6 else ""
        found.append(f"{count} without a score, as no final evaluation is among the records: {listed}{more}")
    errors = run_errors(results)
    done = errors[errors["score"].notna()]
    found += _left_out(results, done)
    odd = done[done["reward_error"].isna() | ((done["predict"] == "images") & done["image_error"].isna())]
    if len(odd):
        names = ", ".join(dict.fromkeys(f"{row.design} on {row.task}" for row in odd.itertuples()))
        found.append(f"{plural(len(odd), 'run')} without finite errors left out of the correlations: {names}")
    found += scale_notes(results)
    reused = runs["reused_from"].dropna()
    if len(reused):
        found.append(
            f"{plural(len(reused), 'run')} reused from {', '.join(sorted(set(reused)))}, read in place"
        )
    return found


def _left_out(results: Results, done: pd.DataFrame) -> list[str]:
    """Measured errors that the correlations do not use, and why."""
    found = []
    parts = done[done["image_error"].notna() & ~done["whole_image"]]
    for here, words in (
        (parts[~parts["own_model"]], "trained on a part of the image (image_fraction below 1)"),
        (parts[parts["own_model"]], f"with image_fraction below 1 ({_MAY_IGNORE})"),
    ):
        if len(here):
            found.append(
                f"{plural(len(here), 'run')} {words} left out of the correlation of image error and score: "
                f"{_names(here)}"
            )
    faulty = done[done["legacy"] != ""]
    if len(faulty):
        switches = sorted({name for names in faulty["legacy"] for name in names.split("+")})
        found.append(
            f"{plural(len(faulty), 'run')} with {', '.join(f'legacy.{name}' for name in switches)} left out of the "
            f"correlations: {_names(faulty)}"
        )
    twins = done[(done["legacy"] == "") & (done["twin"] != "")]
    if len(twins):
        pairs = dict.fromkeys(f"{row.design} (as {row.twin})" for row in twins.itertuples())
        found.append(
            f"{plural(len(twins), 'run')} of designs with reward_gradient separate that plan with the same model as "
            f"another, so that their scores are not independent, left out of the correlations: {', '.join(pairs)}"
        )
    flat = set(done.loc[~done["reward_varies"], "task"])
    if flat:
        names = ", ".join(task for task in results.tasks if task in flat)
        found.append(f"{FLAT} of {names}: left out of the correlation of reward error and score")
    return found
