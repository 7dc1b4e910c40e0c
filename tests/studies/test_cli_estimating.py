"""`wm estimate`: which short runs it executes, what it shows, and what other verbs make of it."""

from __future__ import annotations

import json
import shutil

import pytest

from harness.errors import UserError
from harness.rundir import RunDir
from studies import cost
from studies.estimate import running
from studies.estimate.probes import Probe, probes_for
from studies.estimating import forecaster
from studies.plan import read_plan
from studies.status import Condition
from studies.store import StudyDir
from studies.survey import Seen
from studies.worker import EXECUTE
from tests.studies import fake_probes

TEXT = """\
name: priced
base: {train: {episodes: 100, updates_per_episode: 40}, size: tiny}
designs:
  works: {predict: images, space: latent, dynamics: stochastic}
  fails: {predict: rewards, space: latent, dynamics: stochastic}
grid: {design: [DESIGNS], task: toy/point-mass, seed: range(3)}
include: [{agent: random, task: toy/point-mass}]
"""


@pytest.fixture
def here(wm, tmp_path, monkeypatch):
    """`wm` with runs that leave known times, and code whose digest is known."""
    monkeypatch.setattr("studies.dispatch.EXECUTE", fake_probes.EXECUTE)
    monkeypatch.setattr(Probe, "code", lambda _: fake_probes.CODE)

    def call(*arguments, designs="works"):
        (tmp_path / "priced.yaml").write_text(TEXT.replace("DESIGNS", designs))
        return wm("estimate", "priced.yaml", "--executor", "local", *arguments)

    return call


def test_short_runs_are_measured_once_and_priced(here, wm, tmp_path):
    status, out, err = here("--json")
    assert status == 0, err
    found = json.loads(out)
    assert [len(one["runs"]) for one in found["probes"]] == [3, 1]
    assert [one["limit_hours"] for one in found["probes"]] == [0.75, 0.25]
    assert found["cost"]["basis"]["runs"] == {"estimate": 4}
    assert "2 short runs to measure here" in err

    predict = forecaster(StudyDir(tmp_path / "runs" / "priced"))
    runs = read_plan("priced.yaml", tmp_path / "runs").runs
    expected = sum(predict(run.config).seconds for run in runs) / 3600
    assert found["cost"]["hours"] == round(expected, 4)

    status, out, err = here()
    assert (status, "0 short runs to measure here (2 measured before)" in err) == (0, True)
    assert "wm estimate on n1" in out
    assert "(measured by wm estimate)" in wm("plan", "priced.yaml")[1]
    _, out, err = wm("plan", "priced.yaml", "resources.hours=0.1", "resources.parallel=2")
    assert "several allocations, one after another, carry it (3 runs)" in err
    assert " with 2 at a time" in out


def test_other_code_or_fresh_measures_again(here, monkeypatch, tmp_path):
    here("--only", "design=random")
    probe = tmp_path / "runs" / "priced" / "estimate" / "runs"
    (first,) = probe.iterdir()
    (first / "mark").touch()
    monkeypatch.setattr(Probe, "code", lambda _: "other")
    _, _, err = here("--only", "design=random", "--dry-run")
    assert "1 short run to measure" in err
    assert (first / "mark").exists()
    here("--only", "design=random")
    assert not (first / "mark").exists()
    monkeypatch.setattr(Probe, "code", lambda _: fake_probes.CODE)
    (first / "mark").touch()
    here("--only", "design=random")
    assert (first / "mark").exists()
    here("--only", "design=random", "--fresh")
    assert not (first / "mark").exists()


def test_a_short_run_that_fails_is_named_and_the_others_count(here):
    status, out, err = here(designs="works, fails")
    assert status == 1
    assert "fails on toy/point-mass told nothing: failed:code: ValueError: a bug" in err
    assert "wm logs" in err
    rows = {line.split()[0]: line for line in out.splitlines() if "point-mass" in line}
    assert rows["fails"].split()[-9:] == ["toy/point-mass", *"------", "not", "measured"]
    assert "measure what a run takes" not in out
    assert "wm estimate on n1" in rows["works"]


def test_wrong_requests(here, wm):
    assert here("--only", "design=nothing")[0] == 2
    assert here("--episodes", "0")[0] == 2
    assert here("--profile", "nobody")[0] == 2
    assert wm("estimate", "missing")[0] == 2


def test_an_interrupted_call_goes_on_with_what_is_there(here, tmp_path):
    """A short run that was done when the call ended is taken in without being executed."""
    here("--only", "design=works")
    folder = tmp_path / "runs" / "priced"
    (folder / "estimate.json").unlink()
    (run,) = (folder / "estimate" / "runs").iterdir()
    (run / "mark").touch()
    status, _, err = here()
    assert (status, (run / "mark").exists()) == (0, True)
    assert "2 short runs to measure" in err


@pytest.fixture
def planned(tmp_path):
    (tmp_path / "priced.yaml").write_text(TEXT.replace("DESIGNS", "works"))
    plan = read_plan(str(tmp_path / "priced.yaml"), tmp_path / "runs")
    return running.Estimation(plan.home, probes_for(plan.runs), "slurm")


def test_jobs_are_waited_for_until_the_queue_lists_none(planned, monkeypatch):
    submitted, said = [], []
    runs = planned.prepare()
    waiting = Condition("pending", queued=True)
    states = iter(
        [
            [waiting, waiting],
            [Condition("running"), waiting],
            [Condition("done"), Condition("running", note="unconfirmed for 3 min")],
            [Condition("done"), Condition("failed", "node")],
        ]
    )

    def submit(study, runs, options, cluster):
        submitted.append((study.path.name, study.root, len(runs), options.follow_up, cluster.name))
        return type("Outcome", (), {"handed": None})

    monkeypatch.setattr("studies.cluster.submitting.submit", submit)
    monkeypatch.setattr(running, "survey", lambda runs: list(map(Seen, runs, next(states))))
    monkeypatch.setattr(running.time, "sleep", lambda _: None)
    running.execute_on("slurm", planned.place, runs, None, said.append)
    assert submitted == [("estimate", planned.home.root, 2, False, "slurm")]
    assert said[-1] == "2 probes: 2 ended, 0 running, 0 queued"
    assert next(states, None) is None


def test_what_the_scheduler_refuses_is_said(planned, monkeypatch):
    handed = type("Handed", (), {"error": "no such partition"})
    monkeypatch.setattr(
        "studies.cluster.submitting.submit", lambda *_: type("Outcome", (), {"handed": handed})
    )
    with pytest.raises(UserError, match="no such partition"):
        running.execute_on("slurm", planned.place, planned.prepare(), None, print)


def test_numbers_of_another_place_are_not_taken_for_this_one(planned, tmp_path):
    """What ran here tells nothing of the cluster: it is deleted, and measured there."""
    here = running.Estimation(planned.home, planned.probes, "local")
    for run in here.prepare():
        path = run.path
        fake_probes.leave(RunDir.create(path, planned.probes[0].config), here.probes[0].code())
    assert here.prepare() == [run for _, run in here.to_do()]
    assert path.exists()
    planned.prepare()
    assert not path.exists()


def test_the_prices_of_a_study_prefer_what_finished(here, tmp_path):
    here()
    plan = read_plan("priced.yaml", tmp_path / "runs")
    states = plan.states()
    works = [run for run in plan.runs if run.design == "works"]
    path = works[0].path
    path.mkdir(parents=True)
    (path / "metrics.jsonl").write_text('{"kind": "cost", "wall_seconds": 500.0}\n')
    states[works[0].hex] = "done"
    prices = cost.prices_of(plan.runs, states)
    assert [prices[run.hex].seconds for run in works[1:]] == [500.0, 500.0]
    assert [prices[run.hex].source for run in plan.runs[1:]] == ["finished", "finished", "estimate"]
    shutil.rmtree(tmp_path / "runs" / "priced" / "estimate")
    assert cost.prices_of(plan.runs, states) == prices  # the file is enough


@pytest.mark.slow
def test_a_real_run_takes_about_what_its_short_run_foretold(wm, tmp_path, monkeypatch):
    """By a factor that a busy machine explains; the parts are tested one by one with times that are known."""
    monkeypatch.setattr("studies.dispatch.EXECUTE", EXECUTE)
    fields = "env: {image_size: 16}, planner: {horizon: 4, iterations: 2, proposals: 50}"
    text = TEXT.replace("DESIGNS", "works").replace("size: tiny", f"size: tiny, {fields}")
    (tmp_path / "priced.yaml").write_text(text.replace("episodes: 100", "episodes: 14").replace("(3)", "(1)"))
    chosen = ("priced.yaml", "--only", "design=works")
    assert wm("estimate", *chosen, "--executor", "local")[0] == 0
    assert wm("run", *chosen)[0] == 0
    study = StudyDir(tmp_path / "runs" / "priced")
    (run,) = [run for run in study.planned if run.design == "works"]
    attempts, state = RunDir(run.path).read_attempts(), RunDir(run.path).read_state()
    took = attempts[-1]["time"] - state.started
    assert 1 / 3 < forecaster(study)(run.config).seconds / took < 3
