"""What is kept of finished runs is what their files say, or is read again."""

import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis import cache
from analysis.load import load
from harness.rundir import RunDir
from tests.analysis.synthetic import FIVE, Options, write_study, write_summary

TASK = "dmc/cartpole-swingup"
RETURN = re.compile(r'"return": ?')
FRAMES = ("runs", "episodes", "evaluations", "open_loop", "coverage", "evaluated")


@pytest.fixture(autouse=True)
def _files_are_old(monkeypatch):
    monkeypatch.setattr(cache, "SETTLED", -1.0)


@pytest.fixture
def read(monkeypatch):
    """Names of the runs whose files were read."""
    names: list[str] = []

    def reading(directory):
        names.append(directory.id)
        return read_run(directory)

    read_run = cache.read_run
    monkeypatch.setattr(cache, "read_run", reading)
    return names


@pytest.fixture
def study(tmp_path):
    states = {
        ("rewards-latent-stochastic", TASK, 1): "running",
        ("rewards-latent-deterministic", TASK, 0): "diverged",
    }
    return write_study(
        tmp_path, options=Options(episodes=8, designs=FIVE[:4], states=states, forecasts=False)
    )


def equal(one, other):
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))
    assert one.notes == other.notes


def run_of(results, state="done"):
    return RunDir(results.runs.loc[results.runs["state"] == state, "path"].iloc[0])


def snapshot(study):
    (folder,) = (study / cache.FOLDER).iterdir()
    return folder


def test_a_second_load_reads_running_runs_alone_and_is_equal(study, read):
    first = load([study])
    assert len(read) == 10
    read.clear()
    second = load([study])
    assert read == [run_of(first, "running").id]
    equal(first, second)
    equal(first, load([study], cache=False))


def test_ten_reports_are_as_one(study):
    first = load([study])
    for _ in range(3):
        equal(first, load([study]))
    assert len(list((study / cache.FOLDER).iterdir())) == 1


@pytest.mark.parametrize("change", ["metrics", "summary", "state", "attempts", "eval", "same size and mtime"])
def test_a_run_whose_files_changed_is_read_again(study, read, change):
    run = run_of(load([study]))
    read.clear()
    if change == "metrics":
        run.metrics.write_text(RETURN.sub(r"\g<0>9", run.metrics.read_text(), count=1))
    elif change == "summary":
        run.summary.unlink()
    elif change == "state":
        run.state_file.write_text(run.state_file.read_text().replace('"done"', '"failed"'))
    elif change == "attempts":
        with run.attempts.open("a") as file:
            file.write('{"event": "start", "code": "c0de00000002"}\n')
    elif change == "eval":
        run.evaluation.mkdir()
        content = {"schema": 1, "dataset": "pooled", "part": "train", "digest": "d" * 12}
        content["open_loop"] = {"reward_error_mean": [0.1, 0.2]}
        (run.evaluation / "pooled.json").write_text(json.dumps(content))
    else:
        before = run.metrics.stat()
        text = run.metrics.read_text()
        place = RETURN.search(text).end()
        digit = "1" if text[place] != "1" else "2"
        run.metrics.write_text(text[:place] + digit + text[place + 1 :])
        os.utime(run.metrics, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = load([study])
    assert run.id in read
    assert len(read) == 2  # and the one that is running
    equal(found, load([study], cache=False))
    read.clear()
    equal(found, load([study]))
    assert len(read) == 1


def test_a_changed_run_keeps_its_place(study):
    run = run_of(load([study]))
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    run.metrics.write_text("".join(json.dumps(record) + "\n" for record in records[1:]))
    write_summary(run)
    again = load([study])
    equal(again, load([study], cache=False))
    assert again.runs["run"].tolist() == load([study]).runs["run"].tolist()


@pytest.mark.parametrize("damage", ["cut", "flipped", "no names", "gone", "another kind", "no JSON"])
def test_a_damaged_cache_counts_as_absent(study, read, damage):
    first = load([study])
    folder = snapshot(study)
    file = folder / "evaluation.parquet"
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[60] ^= 0xFF
        file.write_bytes(content)
    elif damage == "gone":
        file.unlink()
    elif damage == "another kind":
        shutil.copy(folder / "episode.parquet", file)
    else:
        (folder / "runs.json").write_text("{" if damage == "no JSON" else '{"names": {}, "runs": {}}')
    read.clear()
    equal(first, load([study]))
    assert len(read) == 10
    read.clear()
    load([study])
    assert len(read) == 1


def test_code_that_changed_reads_everything_again(study, read, monkeypatch):
    load([study])
    monkeypatch.setattr(cache, "_version", lambda: "0" * 12)
    read.clear()
    load([study])
    assert len(read) == 10
    assert snapshot(study).name.startswith("0" * 12)


def test_files_that_were_just_written_are_not_kept(study, read, monkeypatch):
    monkeypatch.setattr(cache, "SETTLED", 3600.0)
    load([study])
    assert not (study / cache.FOLDER).exists()
    assert len(read) == 10


def test_a_study_that_cannot_be_written_to_is_read(study, monkeypatch):
    first = load([study])
    shutil.rmtree(study / cache.FOLDER)

    def refused(*_, **__):
        raise PermissionError

    monkeypatch.setattr(Path, "mkdir", refused)
    equal(first, load([study]))


def test_another_report_may_take_the_snapshot_away_while_this_one_reads(study):
    first = load([study])
    found = cache.read_runs([Path(path) for path in first.runs["path"]])
    shutil.rmtree(study / cache.FOLDER)
    for path, run in zip(first.runs["path"], first.runs["run"], strict=True):
        data = found[Path(path)]
        rows = first.episodes[first.episodes["run"] == run]
        assert (
            data.columns["episode"]["return"].tolist() == rows["return"].tolist()
            if data.rows["episode"]
            else rows.empty
        )


def test_runs_read_in_place_are_kept_where_they_are(tmp_path, read):
    old = write_study(tmp_path, "pilot", Options(episodes=8, seeds=1, designs=FIVE[:2], forecasts=False))
    new = write_study(tmp_path, "online", Options(episodes=8, seeds=1, designs=FIVE[:2], forecasts=False))
    lines = [
        json.loads(line) | {"reused_from": "pilot"} for line in (new / "plan.jsonl").read_text().splitlines()
    ]
    (new / "plan.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.rmtree(new / "runs")
    load([new])
    assert not (new / cache.FOLDER).exists()
    read.clear()
    load([old])
    assert not read


def test_progress_is_told_of_every_run(study):
    told = []
    load([study], lambda done, total: told.append((done, total)))
    assert told == [(i, 10) for i in range(1, 11)]
