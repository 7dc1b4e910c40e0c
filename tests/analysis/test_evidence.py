"""One row a run: on which scale its score is, and what a diverged run counts as."""

import numpy as np
import pytest

from analysis.evidence import evidence
from analysis.load import load
from tests.analysis.synthetic import FIVE, Options, write_study

TASK = "dmc/cartpole-swingup"
DESIGN = FIVE[0].name


def study(tmp_path, rule=None, **options):
    path = write_study(tmp_path, options=Options(designs=FIVE[:2], episodes=20, forecasts=False, **options))
    if rule:
        content = (path / "study.yaml").read_text()
        (path / "study.yaml").write_text(content.replace("report:\n", f"report:\n  diverged: {rule}\n"))
    return load([path])


def of_models(found):
    return found.runs[found.runs["agent"] == "model"].set_index("design")


def test_scores_are_between_the_random_agent_and_the_oracle(tmp_path):
    found = evidence(study(tmp_path, oracle=({},), every=1))
    runs = found.runs
    assert set(runs["basis"]) == {"oracle"}
    means = runs.groupby("agent")["final"].mean()
    assert means["random"] == pytest.approx(0)
    assert means["oracle"] == pytest.approx(1)
    models = of_models(found)
    assert models["value"].to_numpy() == pytest.approx(
        ((models["windowed"] - models["zero"]) / models["unit"]).to_numpy()
    )
    assert not np.allclose(models["value"], models["final"])
    assert set(found.horizon["error"]) == {"image", "reward"}


def test_a_window_without_evaluations_leaves_the_final_phase(tmp_path):
    models = of_models(
        evidence(study(tmp_path))
    )  # the last scheduled evaluation is at 15 of 20, the window from 18 on
    assert models["windowed"].isna().all()
    assert models["value"].tolist() == models["final"].tolist()


def test_without_an_oracle_the_unit_is_the_range_of_returns(tmp_path):
    runs = evidence(study(tmp_path)).runs
    assert set(runs["basis"]) == {"range"}
    assert runs["value"].notna().all()
    assert runs.loc[runs["agent"] == "random", "final"].mean() == pytest.approx(0)


@pytest.mark.parametrize(("rule", "counted"), [(None, True), ("random", True), ("exclude", False)])
def test_a_diverged_run_counts_by_the_rule_of_its_study(tmp_path, rule, counted):
    results = study(tmp_path, rule, states={(DESIGN, TASK, 0): "diverged"}, oracle=({},))
    run = of_models(evidence(results)).loc[DESIGN].iloc[0]
    assert run["state"] == "diverged"
    assert bool(run["diverged"]) == counted
    for name in ("value", "final"):
        assert run[name] == 0 if counted else np.isnan(run[name])


def test_where_scores_have_no_scale_a_diverged_run_has_none_either(tmp_path):
    results = study(
        tmp_path, states={(DESIGN, "atari/Pong", 0): "diverged"}, tasks=("atari/Pong",), random_agent=False
    )
    runs = evidence(results).runs
    assert set(runs["basis"]) == {""}
    assert runs["diverged"].sum() == 1
    assert runs[["value", "final"]].isna().all().all()


def test_a_run_that_is_not_finished_has_a_row_and_no_score(tmp_path):
    found = evidence(study(tmp_path, states={(DESIGN, TASK, 1): "running"}))
    run = of_models(found).loc[DESIGN].iloc[1]
    assert run["state"] == "running"
    assert np.isnan(run["value"])
    assert len(found.models()) == 4
    assert found.models(offline=True).empty
    assert len(found.models(offline=None)) == 4
