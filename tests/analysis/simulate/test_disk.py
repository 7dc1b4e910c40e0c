"""Simulated runs on disk are read as runs that were trained, say that they are not, and hold what was drawn."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.evidence import evidence
from analysis.inference.estimate import generator
from analysis.load import load
from analysis.simulate.effects import Effects
from analysis.simulate.memory import Fast, results
from analysis.simulate.reached import Reached
from analysis.simulate.records import lines, records
from analysis.simulate.rundirs import write_run
from analysis.simulate.world import World, draw
from analysis.simulate.writing import write_studies
from harness.config import RunConfig
from harness.errors import UserError
from harness.metrics import MetricsLog
from harness.rundir import RunDir
from harness.summary import write_summary
from tests.analysis.simulate.plans import paper

CONFIG = RunConfig.model_validate(
    {
        "task": "dmc/cartpole-swingup",
        "predict": "images",
        "space": "latent",
        "dynamics": "stochastic",
        "train": {"episodes": 60},
        "evaluation": {"every": 3, "episodes": 2, "final_episodes": 5},
    }
)
RUN = Reached(
    state="done",
    steps=125,
    first=80.0,
    windowed=640.0,
    final=655.0,
    spread=30.0,
    errors={"probe": {"image": 6.0, "reward": 0.2}, "own": {"reward": 0.1, "image": 4.0}},
    baselines={"image": 9.0, "reward": 0.3},
    coverage=4.0,
    cost={"parameters": 1000, "plan_seconds": 12.5, "probe": "simulated"},
)
MIXED = Effects(diverged=0.1, failed=0.1, nonfinite=0.1)


def small():
    """One task and one seed of two studies."""
    studies = [
        replace(study, runs=tuple(r for r in study.runs if r.task == "dmc/cartpole-swingup" and r.seed < 1))
        for study in paper("online", "offline").studies
    ]
    return World.of(studies)


def test_the_means_of_a_run_are_exact_and_its_curve_rises():
    kinds = records(CONFIG, RUN, generator("a"))
    evaluation = kinds["evaluation"]
    final = evaluation["phase"] == "final"
    late = ~final & (evaluation["iteration"] >= 54)
    assert evaluation["return"][final].mean() == pytest.approx(655.0, abs=1e-3)
    assert final.sum() == 5
    assert evaluation["return"][late].mean() == pytest.approx(640.0, abs=1e-3)
    assert evaluation["iteration"][late].tolist() == [
        56,
        56,
    ]  # after 57 iterations; after 60 is the final phase
    early = evaluation["iteration"] < 10
    assert evaluation["return"][early].mean() < 300
    errors = kinds["open_loop"]
    last = (errors["phase"] == "final") & (errors["dataset"] == "probe")
    assert errors["image_error_mean"][last].mean() == pytest.approx(6.0, abs=1e-5)
    assert errors["reward_error_baseline"][last].mean() == pytest.approx(0.3, abs=1e-5)
    assert np.all(np.diff(errors["image_error_mean"][last][0]) > 0)
    first = errors["iteration"] == 2
    assert errors["image_error_mean"][first].mean() > errors["image_error_mean"][last].mean()
    assert kinds["coverage"]["entropy"][-1] == pytest.approx(4.0)
    assert np.all(np.diff(kinds["coverage"]["entropy"]) > 0)


@pytest.mark.parametrize("finite", [True, False])
def test_files_are_those_of_the_harness(tmp_path, finite):
    run = write_run(tmp_path / "run", CONFIG, replace(RUN, finite=finite), generator("a"))
    mine = dict(np.load(run.summary))
    write_summary(run, "done")
    harness = dict(np.load(run.summary))
    assert mine.keys() == harness.keys()
    for name in mine.keys() - {"meta"}:
        np.testing.assert_array_equal(mine[name], harness[name], err_msg=name)
        assert mine[name].dtype.kind == harness[name].dtype.kind, name
    text = run.metrics.read_bytes()
    log = MetricsLog(tmp_path / "again.jsonl", 0)
    for record in map(json.loads, text.splitlines()):
        values = {
            name: [np.nan if x is None else x for x in value] if isinstance(value, list) else value
            for name, value in record.items()
            if name not in {"kind", "nonfinite"}
        }
        log.write(record["kind"], values)
    log.close()
    assert (tmp_path / "again.jsonl").read_bytes() == text
    assert (b"nonfinite" in text) == (not finite)
    state = run.read_state()
    assert (state.state, state.iteration, state.extra) == ("done", 60, {"simulated": True})
    assert run.read_config() == CONFIG


@pytest.mark.parametrize("state", ["done", "diverged", "failed", "running", "preempted"])
def test_a_run_that_stopped_has_no_final_phase(tmp_path, state):
    run = write_run(tmp_path / "run", CONFIG, replace(RUN, state=state), generator("a"))
    phases = {record.get("phase") for record in run.read_metrics({"evaluation", "open_loop"})}
    assert ("final" in phases) == (state == "done")
    assert run.summary.exists() == (state in {"done", "diverged"})
    assert run.forecasts.exists() == (state == "done")
    assert run.read_attempts()[-1]["event"] == ("start" if state == "running" else "end")


@pytest.mark.slow
def test_what_is_read_from_disk_is_the_evidence_in_memory(tmp_path):
    world = small()
    studies = [replace(study, path=tmp_path / study.name) for study in world.studies]
    studies = [
        replace(s, runs=tuple(replace(r, path=s.path / "runs" / r.id) for r in s.runs)) for s in studies
    ]
    world = World.of(studies)
    drawn = draw(world, MIXED, generator("disk"))
    told = []
    files = {study.name: f"name: {study.name}\nreport: {{final_window: 0.1}}\n" for study in studies}
    write_studies(world, drawn, files, {"seed": 1}, pictures=False, progress=told.append)
    assert told[-1] == len(told) == 2 * len(studies[0].runs)
    read = load([study.path for study in studies])
    disk = evidence(read)
    memory = evidence(results(world, drawn))
    fast = Fast.of(world).evidence(drawn)
    assert set(drawn.state) == {"done", "diverged", "failed"}
    for other in (memory, fast):
        compared = other.runs.drop(columns=["twin", "unit_error"])  # a file has one final episode a run
        pd.testing.assert_frame_equal(
            disk.runs.drop(columns="twin")[compared.columns],
            compared,
            rtol=1e-5,
            atol=1e-6,
            check_dtype=False,
        )
        pd.testing.assert_frame_equal(
            disk.horizon, other.horizon, rtol=1e-4, check_dtype=False, check_categorical=False
        )
    simulated = len(read.runs)
    assert read.notes[0] == f"simulated data: {simulated} of {simulated} runs were made up by `wm simulate`"
    assert RunDir(studies[0].runs[0].path).read_attempts()[0]["simulated"] is True
    with pytest.raises(UserError, match="exists and is simulated: nothing is written into it"):
        write_studies(world, drawn, files, {"seed": 1})


def test_nothing_is_written_where_a_study_is(tmp_path):
    world = small()
    home = replace(world.studies[0], path=tmp_path / "online", runs=())
    (tmp_path / "online" / "runs").mkdir(parents=True)
    world = replace(world, studies=(home,))
    with pytest.raises(UserError, match="exists and was not simulated"):
        write_studies(world, draw(world, Effects(), generator("x")), {"online": ""}, {})
    assert [path.name for path in home.path.iterdir()] == ["runs"]


def test_forecasts_share_what_happened_and_differ_in_what_was_foreseen(tmp_path):
    good = write_run(tmp_path / "good", CONFIG, RUN, generator("a"))
    poor = replace(
        RUN, errors={"probe": {"image": 8.9, "reward": 0.29}, "own": {"image": 8.0, "reward": 0.2}}
    )
    other = CONFIG.model_copy(update={"seed": 1})
    bad = write_run(tmp_path / "bad", other, poor, generator("b"))
    (a, b) = (dict(np.load(run.forecasts / "probe.npz")) for run in (good, bad))
    assert a["truth"].shape == (4, 12, 3, 32, 32)
    assert a["context"].shape[1] == CONFIG.evaluation.context
    for name in ("context", "truth", "reward", "start"):
        np.testing.assert_array_equal(a[name], b[name])
    miss = [np.abs(each["image"].astype(float) - each["truth"]).mean() for each in (a, b)]
    assert miss[0] < miss[1]
    assert len(lines(records(CONFIG, RUN, generator("a"))).splitlines()) > 200
