"""`wm submit` and `wm cancel` on a cluster that does nothing by itself: exit statuses, messages, what is written."""

import sys

import pytest

from studies.cluster import snapshot
from studies.cluster.records import Dispatch
from studies.cluster.types import Limits, Partition
from tests.studies.cluster.fakecluster import FakeCluster, empty_snapshot, write_state
from tests.studies.test_cli import write

from studies.store import StudyDir  # isort: skip


@pytest.fixture
def cluster(wm, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(snapshot, "take", lambda dispatch, own: empty_snapshot(dispatch))
    fake = FakeCluster()
    monkeypatch.setattr("studies.cluster.clusters.cluster_for", lambda _: fake)
    return fake


def profile(tmp_path, text):
    folder = tmp_path / "config" / "wm"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profile.yaml").write_text(text)


def home(tmp_path):
    return StudyDir(tmp_path / "runs" / "mine")


def test_it_submits_returns_and_says_what_comes_next(wm, tmp_path, cluster):
    status, out, err = wm("submit", write(tmp_path), "--executor", "slurm", "train.episodes=11")
    assert (status, out) == (0, "")
    assert err.splitlines() == [
        "array 1 of 1: job 100, 2 tasks, 2 runs, each task 2 cores, 8 GB, 24 h",
        "2 new",
        "job 101 then looks after them; wm status mine shows how it goes",
    ]
    assert {run.config["train"]["episodes"] for run in home(tmp_path).planned} == {11}


def test_again_by_name_submits_nothing(wm, tmp_path, cluster):
    wm("submit", write(tmp_path), "--executor", "slurm")
    status, _, err = wm("submit", "mine", "--executor", "slurm")
    assert (status, err) == (0, "nothing to submit: 2 queued\n")


def test_a_dry_run_prints_the_scripts_and_writes_nothing(wm, tmp_path, cluster):
    file = write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    status, out, err = wm("submit", file, "--executor", "slurm", "--dry-run")
    assert status == 0
    assert out.startswith("#!/bin/bash\n#SBATCH --job-name=wm-mine-")
    assert "--job-name=wm-mine-follow-up-NUMBER" in out
    assert err.splitlines() == [
        "array 1 of 1: 2 tasks, 2 runs, each task 2 cores, 8 GB, 24 h",
        "would submit 2 tasks of 2 runs, at most 48 hours in all: 2 new",
    ]
    assert sorted(tmp_path.rglob("*")) == before
    assert not cluster.orders


def test_a_selection(wm, tmp_path, cluster):
    wm("submit", write(tmp_path), "--executor", "slurm", "--only", "design=quick")
    (array,) = Dispatch(home(tmp_path).path).arrays
    assert len(array.tasks) == 1


def test_the_executor_is_the_profiles_where_none_is_given(wm, tmp_path, cluster, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err = wm("submit", write(tmp_path))
    assert status == 2
    assert "--executor local" in err
    profile(tmp_path, "executor: slurm\nresources: {default: {memory_gb: 3}}\n")
    assert wm("submit", "mine.yaml")[0] == 0
    assert cluster.arrays[0].resources.memory_gb == 3


def test_an_executor_that_does_not_exist(wm, tmp_path, cluster):
    status, _, err = wm("submit", write(tmp_path), "--executor", "slrum")
    assert status == 2
    assert "did you mean slurm" in err


def test_a_scheduler_that_does_not_answer(wm, tmp_path, cluster):
    cluster.answers = False
    status, _, err = wm("submit", write(tmp_path), "--executor", "slurm")
    assert status == 2
    assert "does not answer" in err
    assert not (tmp_path / "runs").exists()


def test_a_refusal_is_told_once_with_the_schedulers_words(wm, tmp_path, cluster):
    cluster.refuses = lambda order: True
    status, _, err = wm("submit", write(tmp_path), "--executor", "slurm")
    assert status == 2
    assert err.count("Invalid qos") == 1
    assert err.splitlines()[-1].startswith("nothing was submitted; 2 tasks of 2 runs are not.")


def test_many_jobs_need_a_yes(wm, tmp_path, cluster, monkeypatch):
    file = write(tmp_path, seeds=251)
    status, _, err = wm("submit", file, "--executor", "slurm")
    assert status == 2
    assert "502 jobs (502 runs) are to be submitted. There is no terminal to ask on: add --yes" in err
    assert not cluster.orders
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question, err: False)
    assert wm("submit", file, "--executor", "slurm")[::2] == (2, "nothing was submitted\n")
    assert wm("submit", file, "--executor", "slurm", "--yes")[0] == 0
    assert cluster.arrays[0].size == 502


def test_a_disk_too_small_for_one_run_is_refused_before_anything_is_written(
    wm, tmp_path, cluster, monkeypatch
):
    monkeypatch.setattr("studies.machine.free_gb", lambda _: 0.0)
    status, _, err = wm("submit", write(tmp_path), "--executor", "slurm", "--yes")
    assert status == 2
    assert "0.0 GB are free" in err
    assert not (tmp_path / "runs").exists()


def test_no_follow_up(wm, tmp_path, cluster):
    _, _, err = wm("submit", write(tmp_path), "--executor", "slurm", "--no-follow-up")
    assert not cluster.follow_ups
    assert err.splitlines()[-1] == "2 new"


def test_what_has_no_room_is_told(wm, tmp_path, cluster):
    cluster.granted = Limits(1000, max_queued=2)
    _, _, err = wm("submit", write(tmp_path), "--executor", "slurm")
    assert (
        "1 of them wait until the queue has room for more of your jobs; the follow-up job submits them" in err
    )


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ("partition: gpux", "partition gpux: there is none (did you mean gpu?); there are cpu, gpu"),
        ("memory_gb: 65", "memory_gb 65: a node of the default partition has at most 64"),
        ("sbatch: mem=3G", "resources.sbatch: --mem would override what wm sets; use `resources.memory_gb`"),
    ],
)
def test_what_the_cluster_has_no_place_for_is_refused_before_anything_is_written(
    wm, tmp_path, cluster, resources, words
):
    cpu = Partition("cpu", default=True, hours=12.0, nodes=4, gpus=0, memory_gb=64)
    gpu = Partition("gpu", default=False, hours=48.0, nodes=4, gpus=4, memory_gb=128)
    cluster.granted = Limits(1000, partitions={"cpu": cpu, "gpu": gpu})
    profile(tmp_path, f"resources: {{default: {{{resources}}}}}\n")
    status, out, err = wm("submit", write(tmp_path), "--executor", "slurm", "--dry-run")
    assert (status, out) == (2, "")
    assert words in err
    assert wm("submit", "mine.yaml", "--executor", "slurm")[0] == 2
    assert not (tmp_path / "runs").exists()


def test_jobs_of_runs_that_the_plan_lost_are_named_and_cancelled(wm, tmp_path, cluster):
    file = write(tmp_path)
    wm("submit", file, "--executor", "slurm")
    gone, _ = home(tmp_path).planned
    text = (tmp_path / "mine.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("[quick, slow]", "[slow]"))
    said = "1 run that the plan no longer has is still in the queue (100_0): wm cancel mine --unplanned"
    assert said in wm("submit", file, "--executor", "slurm", "--dry-run")[2]
    assert said in wm("submit", file, "--executor", "slurm")[2]
    assert said in wm("status", "mine")[1]
    assert wm("cancel", "mine", "--unplanned")[2] == (
        "1 run that the plan no longer has cancelled, 1 task ended\n"
    )
    assert cluster.cancelled == ["100_0"]
    assert Dispatch(home(tmp_path).path).marks[gone.hex].name == "cancelled"
    assert "no longer has" not in wm("status", "mine")[1]


def test_cancel_all_asks_first(wm, tmp_path, cluster):
    wm("submit", write(tmp_path), "--executor", "slurm")
    cluster.runs("100_0")
    write_state(home(tmp_path).planned[0], "done")
    status, _, err = wm("cancel", "mine")
    assert status == 2
    assert "1 run of mine is to stop. There is no terminal to ask on: add --yes" in err
    assert not cluster.cancelled
    status, _, err = wm("cancel", "mine", "--yes")
    assert status == 0
    assert err.splitlines() == [
        "1 waiting run cancelled, 2 tasks ended",
        "1 not cancelled: done",
        "the job that was to look after the study is cancelled too",
        "continue with: wm submit mine",
    ]


def test_cancel_a_selection_does_not_ask(wm, tmp_path, cluster):
    wm("submit", write(tmp_path), "--executor", "slurm")
    status, _, err = wm("cancel", "mine", "--only", "design=quick")
    assert status == 0
    assert err.splitlines()[0] == "1 waiting run cancelled, 1 task ended"
    assert cluster.cancelled == ["100_0"]


def test_cancel_by_a_kind_that_does_not_exist(wm, tmp_path, cluster):
    wm("submit", write(tmp_path), "--executor", "slurm")
    status, _, err = wm("cancel", "mine", "--kind", "host-memroy")
    assert status == 2
    assert "did you mean host-memory" in err
