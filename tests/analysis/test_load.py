"""Run directories become exact tidy frames, however complete they are."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from analysis.load import load
from analysis.records import read_records
from analysis.study import read_study
from harness.errors import UserError
from harness.rundir import RunDir
from tests.analysis.synthetic import FIVE, HORIZON, Options, write_study, write_summary

TASK = "dmc/cartpole-swingup"


def run_of(results, design, seed=0):
    runs = results.runs
    return runs[(runs["design"] == design) & (runs["seed"] == seed)].iloc[0]


def test_frames_hold_every_record_exactly(results):
    run = run_of(results, "images-latent-stochastic", 1)
    records = list(RunDir(run["path"]).read_metrics())
    for kind, frame in (("episode", results.episodes), ("evaluation", results.evaluations)):
        expected = pd.DataFrame([record for record in records if record["kind"] == kind])
        found = frame[frame["run"] == run["run"]].reset_index(drop=True)
        columns = [name for name in found.columns if name in expected.columns]
        pd.testing.assert_frame_equal(found[columns].astype(expected[columns].dtypes), expected[columns])
        assert {"run", "design", "task", "seed", "return", "env_steps"} <= set(found.columns)
    final = next(
        r for r in records if r["kind"] == "open_loop" and r["phase"] == "final" and r["dataset"] == "own"
    )
    found = results.open_loop[
        (results.open_loop["run"] == run["run"]) & (results.open_loop["phase"] == "final")
    ]
    found = found[(found["dataset"] == "own") & (found["metric"] == "image_error_mean")]
    assert found["step"].tolist() == list(range(1, HORIZON + 1))
    assert found["value"].tolist() == final["image_error_mean"]


def test_open_loop_keeps_the_final_and_the_last_scheduled_record(results):
    run = run_of(results, "rewards-latent-stochastic")
    records = [r for r in RunDir(run["path"]).read_metrics({"open_loop"}) if r["phase"] == "scheduled"]
    found = results.open_loop[
        (results.open_loop["run"] == run["run"]) & (results.open_loop["phase"] == "scheduled")
    ]
    assert set(found["iteration"]) == {records[-1]["iteration"]}
    assert len(records) > 1
    assert not found["metric"].str.startswith("image").any()


def test_runs_frame_says_what_ran_and_what_it_cost(results):
    run = run_of(results, "rewards-pixel-deterministic", 1)
    assert run["state"] == "done"
    assert run["final"]
    assert (run["predict"], run["space"], run["dynamics"]) == ("rewards", "pixel", "deterministic")
    assert run["parameters"] == 95_000
    assert run["train_seconds"] == 90
    assert (run["code"], run["rendering"], run["threads"]) == ("c0de00000001", "osmesa", "1")
    assert run["source"] == "summary.npz"
    random = results.runs[results.runs["agent"] == "random"]
    assert len(random) == 2
    assert results.designs == [design.name for design in FIVE]
    assert results.image_designs == ["images-latent-stochastic", "images-latent-deterministic"]


def test_summary_and_metrics_give_the_same_frames(tmp_path):
    with_summary = load([write_study(tmp_path / "a", options=Options(episodes=8))])
    without = load([write_study(tmp_path / "b", options=Options(episodes=8, summaries=False))])
    assert set(without.runs["source"]) == {"metrics.jsonl"}
    for name in ("episodes", "evaluations", "open_loop"):
        pd.testing.assert_frame_equal(getattr(with_summary, name), getattr(without, name))


def test_summary_is_used_without_metrics_and_not_when_it_is_stale(tmp_path):
    study = write_study(tmp_path, options=Options(episodes=8, designs=FIVE[:1], seeds=2, random_agent=False))
    first, second = (RunDir(run.path) for run in read_study(study).runs)
    digest = read_records(first).digest
    first.metrics.unlink()
    assert read_records(first).source == "summary.npz"
    assert read_records(first).digest == digest
    with second.metrics.open("a") as file:
        file.write(json.dumps({"kind": "episode", "return": 1.0, "iteration": 99}) + "\n")
    stale = read_records(second)
    assert stale.source == "metrics.jsonl"
    assert "not of this metrics.jsonl" in stale.note
    assert stale.column("episode", "return")[-1] == 1.0
    write_summary(second)
    assert read_records(second).source == "summary.npz"


@pytest.mark.parametrize("damage", ["emptied", "cut", "broken"])
def test_a_summary_stands_in_for_metrics_that_were_damaged(tmp_path, damage):
    study = write_study(tmp_path, options=Options(episodes=8, designs=FIVE[:1], seeds=1, random_agent=False))
    run = RunDir(read_study(study).runs[0].path)
    whole = read_records(run)
    lines = run.metrics.read_text().splitlines(keepends=True)
    kept = {"emptied": [], "cut": lines[:3], "broken": [*lines[:3], "{broken\n", *lines[3:]]}[damage]
    run.metrics.write_text("".join(kept))
    found = read_records(run)
    assert found.source == "summary.npz"
    assert "damaged since the run ended" in found.note
    assert list(found.column("evaluation", "return")) == list(whole.column("evaluation", "return"))


@pytest.mark.parametrize("damage", ["summary", "metrics", "half line", "state", "attempts"])
def test_damaged_files_are_notes_not_failures(tmp_path, damage):
    study = write_study(
        tmp_path, options=Options(episodes=8, designs=FIVE[:1], seeds=1, summaries=damage == "summary")
    )
    run = RunDir(read_study(study).runs[0].path)
    if damage == "summary":
        run.summary.write_bytes(run.summary.read_bytes()[:100])
    elif damage == "metrics":
        lines = run.metrics.read_text().splitlines(keepends=True)
        run.metrics.write_text("".join(lines[:5]) + "{broken\n" + "".join(lines[5:]))
    elif damage == "half line":
        run.metrics.write_text(run.metrics.read_text()[:-7])
    elif damage == "state":
        run.state_file.write_text("{")
    else:
        run.attempts.write_text("{}\nnot json\n")
    results = load([study])
    assert len(results.episodes) > 0
    noted = any(run.id in note for note in results.notes)
    assert noted == (damage in {"summary", "metrics", "state"})


def test_partial_runs_are_read_as_far_as_they_go(tmp_path):
    cells = {
        ("images-latent-stochastic", TASK, 0): "running",
        ("images-latent-deterministic", TASK, 0): "diverged",
        ("rewards-latent-stochastic", TASK, 0): "failed",
        ("rewards-latent-deterministic", TASK, 0): "pending",
    }
    results = load([write_study(tmp_path, options=Options(episodes=20, seeds=1, states=cells))])
    assert dict(zip(results.runs["design"], results.runs["state"], strict=True)) == {
        "images-latent-stochastic": "running",
        "images-latent-deterministic": "diverged",
        "rewards-latent-stochastic": "failed",
        "rewards-latent-deterministic": "pending",
        "rewards-pixel-deterministic": "done",
        "random": "done",
    }
    episodes = results.episodes.groupby("design").size()
    assert episodes["images-latent-stochastic"] == 10
    assert "rewards-latent-deterministic" not in episodes
    assert not run_of(results, "images-latent-stochastic")["final"]
    assert run_of(results, "rewards-latent-stochastic")["error"] == "disk: No space left on device"
    assert np.isnan(run_of(results, "images-latent-stochastic")["parameters"])


def test_a_reused_run_is_read_in_place_and_counts_once(tmp_path):
    old = write_study(tmp_path, "pilot", Options(episodes=8, seeds=1, designs=FIVE[:2]))
    new = write_study(tmp_path, "online", Options(episodes=8, seeds=2, designs=FIVE[:2]))
    lines = [json.loads(line) for line in (new / "plan.jsonl").read_text().splitlines()]
    for line in lines:
        if line["seed"] == 0:
            line["reused_from"] = "pilot"
            shutil.rmtree(new / "runs" / line["id"])
    (new / "plan.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    results = load([new])
    assert set(results.runs["state"]) == {"done"}
    reused = results.runs[results.runs["reused_from"] == "pilot"]
    assert len(reused) == 3
    assert all("/pilot/runs/" in path for path in reused["path"])
    both = load([old, new])
    assert len(both.runs) == len(results.runs)
    assert not both.runs["run"].duplicated().any()


def test_a_renamed_run_is_found_by_its_hex(tmp_path):
    study = write_study(tmp_path, options=Options(episodes=8, seeds=1, designs=FIVE[:1], random_agent=False))
    run = read_study(study).runs[0]
    run.path.rename(run.path.with_name(f"another-name-{run.id.rpartition('-')[2]}"))
    assert load([study]).runs["state"].tolist() == ["done"]


def test_configurations_under_one_name_are_told_apart(tmp_path):
    options = Options(episodes=8, seeds=1, designs=FIVE[:2], horizons=(6, 12))
    results = load([write_study(tmp_path, options=options)])
    assert results.designs == [
        f"{design.name} (planner.horizon={horizon})" for design in FIVE[:2] for horizon in (6, 12)
    ]


def test_equal_names_in_two_studies_are_told_apart(tmp_path):
    one = write_study(tmp_path, "one", Options(episodes=8, seeds=1, designs=FIVE[:1]))
    two = write_study(tmp_path, "two", Options(episodes=12, seeds=1, designs=FIVE[:1]))
    results = load([one, two])
    assert results.designs == [f"{FIVE[0].name} (train.episodes={n})" for n in (8, 12)]
    assert set(results.runs.loc[results.runs["agent"] == "random", "design"]) == {"random"}


def test_a_study_without_a_plan_is_what_is_on_disk(tmp_path):
    study = write_study(tmp_path, options=Options(episodes=8, seeds=1))
    planned = load([study])
    (study / "plan.jsonl").unlink()
    found = load([study])
    assert set(found.runs["run"]) == set(planned.runs["run"])
    assert any("no plan.jsonl" in note for note in found.notes)


def test_what_cannot_be_read_is_an_error_with_its_place(tmp_path):
    with pytest.raises(UserError, match="no such study"):
        load([tmp_path / "nothing"])
    with pytest.raises(UserError, match="at least one study"):
        load([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no runs"):
        load([tmp_path / "empty"])
    (tmp_path / "empty" / "plan.jsonl").write_text('{"id": "x"}\n')
    with pytest.raises(UserError, match=r"plan\.jsonl is damaged \(line 1 is no planned run\)"):
        load([tmp_path / "empty"])
