"""Requests that are refused: with what to do instead, and nothing written; and what a user can mend."""

import json

import pytest

from harness.rundir import RunDir
from studies import store
from tests.studies import fakes
from tests.studies.test_cli import states, write

CONFIG = "task: toy/point-mass\nsize: tiny\npredict: images\nspace: latent\ndynamics: stochastic\n"


def everything(folder):
    """Every file under a folder, with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_damaged_plan_is_refused_everywhere_and_mended_by_the_file(wm, tmp_path):
    file = write(tmp_path, "diverges")
    wm("run", file)
    plan = tmp_path / "runs" / "mine" / "plan.jsonl"
    whole = plan.read_bytes()
    for content in (b"", whole[:-20]):
        plan.write_bytes(content)
        before = everything(tmp_path)
        for verb in (["clean", "mine", "--yes"], ["status", "mine"], ["plan", "mine"], ["run", "mine"],
                     ["report", "mine"], ["retry", "mine"]):  # fmt: skip
            status, _, err = wm(*verb)
            assert (status, "plan.jsonl is damaged" in err) == (2, True), err
            assert "`wm run FILE` writes it again" in err
        assert everything(tmp_path) == before
        assert wm("run", file)[0] == 0
        assert plan.read_bytes() == whole
        assert states(tmp_path) == ["done", "diverged"]


def test_a_refused_run_writes_nothing(wm, tmp_path):
    file = write(tmp_path, "diverges")
    for arguments in (["--only", "seed=77"], ["--run", "fff"], ["--run", ""], ["--only", "sed=0"]):
        assert wm("run", file, *arguments)[0] == 2
    assert not (tmp_path / "runs").exists()
    assert wm("run", file)[0] == 0
    before = everything(tmp_path)
    status, _, err = wm("run", file, "train.episodes=7", "--only", "seed=77")
    assert status == 2
    assert "seed is 0 there" in err
    assert wm("run", file, "--debug")[0] == 2  # nothing is left
    assert everything(tmp_path) == before


@pytest.mark.parametrize("verb", ["status", "report", "clean", "retry"])
def test_a_file_that_was_never_run(wm, tmp_path, verb):
    write(tmp_path)
    status, _, err = wm(verb, "mine.yaml")
    assert status == 2
    assert "mine.yaml has not been run yet: wm run mine.yaml" in err


def test_a_missing_study_or_run_lists_what_there_is(wm, tmp_path):
    status, _, err = wm("status")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("wm status needs a STUDY: wm status STUDY; there is no study under")
    wm("run", write(tmp_path), "--only", "design=quick")
    root = tmp_path / "runs"
    assert wm("submit")[2] == f"wm submit needs a STUDY: wm submit STUDY; the studies under {root} are mine\n"
    assert wm("logs")[2].endswith("are mine; `wm status mine` lists the runs of one\n")
    assert "there is no study under /nowhere yet" in wm("clean", "--runs", "/nowhere")[2]
    assert "Missing argument" in wm("train")[2]


def test_an_empty_runs_directory_is_refused(wm, tmp_path):
    status, _, err = wm("plan", write(tmp_path), "--runs", "")
    assert status == 2
    assert "is empty" in err
    assert wm("plan", "mine.yaml", "--runs", "elsewhere")[0] == 0


def test_logs_of_a_planned_run(wm, tmp_path):
    wm("run", write(tmp_path), "--only", "design=quick")
    run = store.StudyDir(tmp_path / "runs" / "mine").planned[1]
    status, _, err = wm("logs", run.hex)
    assert status == 2
    assert f"{run.id} has not begun yet: wm run mine --run {run.hex}" in err


def test_show_of_a_run_without_iterations(wm, tmp_path):
    wm("run", write(tmp_path), "--only", "design=quick")
    run = RunDir(store.StudyDir(tmp_path / "runs" / "mine").planned[0].path)
    assert "iteration 5 of 5" in wm("show", run.path)[1]
    state = run.read_state()
    state.iteration = state.iterations = 0
    run.write_state(state)
    assert "iteration 0" not in wm("show", run.path)[1]


def test_a_claim_that_nobody_can_read_is_taken_over(wm, tmp_path):
    wm("run", write(tmp_path, "diverges"), "--only", "design=quick")
    run = store.StudyDir(tmp_path / "runs" / "mine").planned[1]
    run.path.mkdir()
    (run.path / "claim.1").write_text("garbage")
    command = f"wm retry --take-over --run {run.hex}"
    assert command in wm("status", "mine")[1]
    status, _, err = wm(*command.split()[1:])
    assert status == 0, err
    assert "1 run freed; wm run mine" in err
    assert wm("run", "mine")[0] == 0
    assert states(tmp_path) == ["done", "diverged"]


def test_a_finished_run_is_started_anew_only_by_name(wm, tmp_path):
    wm("run", write(tmp_path, "quick2"))
    assert wm("retry", "mine", "--fresh")[0] == 2
    run = store.StudyDir(tmp_path / "runs" / "mine").planned[0]
    status, _, err = wm("retry", "mine", "--run", run.hex)
    assert status == 2
    assert "`--fresh --run PREFIX` starts a finished run anew" in err
    assert wm("retry", "mine", "--fresh", "--run", run.hex)[0] == 0
    assert states(tmp_path) == ["pending", "done"]
    assert "finished runs that --run names" in " ".join(wm("retry", "--help")[1].replace("│", " ").split())


def test_train_refuses_what_is_no_directory_of_its_own(wm, tmp_path):
    config = tmp_path / "one.yaml"
    config.write_text(CONFIG)
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    before = everything(tmp_path)
    for target, message in (
        (config, "one.yaml is no directory"),
        (config / "below" / "it", "one.yaml is no directory"),
        (full, "holds other files and no run"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        status, _, err = wm("train", config, "--output-dir", target)
        assert status == 2
        assert message in err
        assert "Traceback" not in err
    assert everything(tmp_path) == before
    (full / "notes.txt").rename(full / "run.yaml")
    status, _, err = wm("train", config, "--output-dir", full)
    assert status == 2
    assert "run.yaml is damaged" in err
    (full / "run.yaml").unlink()
    assert wm("train", config, "--output-dir", full)[0] == 0  # an empty directory will do


@pytest.mark.parametrize("fresh", [[], ["--fresh"]])
def test_a_run_of_its_own_is_retried_by_its_directory(wm, tmp_path, fresh):
    config, out = tmp_path / "one.yaml", tmp_path / "there" / "one"
    config.write_text(CONFIG + "design: fails\n")
    status, _, err = wm("train", config, "--output-dir", out)
    assert status == 1
    assert f"wm retry {out}" in err
    status, _, err = wm("retry", out, *fresh)
    assert status == 0, err
    assert f"1 run to do again; wm train CONFIG --output-dir {out}" in err
    assert len(list(out.parent.glob("one.2*"))) == len(fresh)  # to its side, with the time
    assert not (tmp_path / "history").exists()
    assert wm("train", config, "--output-dir", out)[0] == 1
    attempts = json.loads((out / "state.json").read_text())["attempt"]
    assert attempts == 1
    assert len(fakes.counted(RunDir(out))) == (1 if fresh else 2)


def test_retry_knows_a_run_of_a_study_by_its_directory(wm, tmp_path):
    wm("run", write(tmp_path, "fails"))
    run = store.StudyDir(tmp_path / "runs" / "mine").planned[1]
    status, _, err = wm("retry", run.path)
    assert status == 0
    assert "1 run to do again; wm run mine" in err
    assert states(tmp_path) == ["done", "pending"]
