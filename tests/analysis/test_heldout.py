"""Held-out errors beside scores: only of offline runs, and never mixed between datasets."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis.heldout import heldout_errors, heldout_table
from analysis.load import load
from analysis.report import build_report
from tests.analysis.synthetic import Options, write_study

OFFLINE = {"mode": "offline", "dataset": "mixed", "digest": "abc"}


@pytest.fixture(scope="module")
def offline_study(tmp_path_factory):
    return write_study(
        tmp_path_factory.mktemp("runs"), options=Options(extra={"data": OFFLINE}, random_agent=False)
    )


@pytest.fixture(scope="module")
def offline(offline_study):
    """A study whose runs have held-out errors ten times those on the probe."""
    results = load([offline_study])
    held = results.open_loop[results.open_loop["dataset"] == "probe"].assign(dataset="heldout")
    held["value"] = 10 * held["value"]
    return dataclasses.replace(results, open_loop=pd.concat([results.open_loop, held], ignore_index=True))


def test_errors_are_those_on_held_out_episodes(offline):
    frame = heldout_errors(offline)
    assert set(frame["data"]) == {"mixed"}
    assert set(frame["run"]) == set(offline.runs["run"])
    final = offline.open_loop[
        (offline.open_loop["phase"] == "final") & (offline.open_loop["dataset"] == "heldout")
    ]
    of_run = final[(final["run"] == frame["run"][0]) & (final["metric"] == "reward_error_mean")]
    assert frame["reward_error"][0] == pytest.approx(of_run["value"].mean())
    assert frame["image_error"].notna().equals(frame["predict"] == "images")


def test_a_row_is_the_mean_over_seeds_beside_the_score(offline):
    table, runs = heldout_table(offline), heldout_errors(offline)
    assert [row[1] for row in table.rows] == list(dict.fromkeys(runs["design"]))
    for line in table.data.to_dict("records"):
        own = runs[runs["design"] == line["design"]]
        assert line["score"] == pytest.approx(own["score"].mean())
        assert line["n"] == len(own) == 2
    assert "on mixed: image error" in table.caption


def test_the_rank_correlation_is_that_of_design_means(offline):
    from scipy.stats import spearmanr

    table = heldout_table(offline)
    rho = spearmanr(table.data["reward_error"], table.data["score"])[0]
    said = f"reward error {rho:.2f}".replace("-", "−")
    assert said in table.caption
    assert np.isfinite(rho)


def test_two_datasets_are_correlated_apart(offline):
    half = {run: i % 2 for i, run in enumerate(offline.runs["run"])}
    configs = {
        run: config.model_copy(update={"data": config.data.model_copy(update={"dataset": f"d{half[run]}"})})
        for run, config in offline.configs.items()
    }
    table = heldout_table(dataclasses.replace(offline, configs=configs))
    assert " on d0: " in table.caption
    assert " on d1: " in table.caption
    assert set(table.data["data"]) == {"d0", "d1"}


def test_an_online_study_has_no_such_table(results, offline):
    assert heldout_table(results) is None
    online = {
        run: c.model_copy(update={"data": c.data.model_copy(update={"mode": "online"})})
        for run, c in offline.configs.items()
    }
    assert heldout_table(dataclasses.replace(offline, configs=online)) is None


def test_the_report_of_offline_runs_that_held_nothing_out_is_whole(offline_study, tmp_path):
    report = build_report([offline_study], tmp_path / "report")
    assert not (report.index.parent / "tables" / "heldout.csv").exists()
