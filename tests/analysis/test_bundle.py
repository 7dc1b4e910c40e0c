"""A bundle gives the results that it was exported from, on any machine; one that was changed is refused."""

import hashlib
import json
import shutil
import zipfile
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

from analysis.bundle import INDEX, export, index_digest
from analysis.compared import version_table
from analysis.load import load
from analysis.manifest import manifest
from analysis.material import Material
from analysis.report import build_report
from harness.errors import UserError
from tests.analysis.synthetic import FIVE, Options, write_study
from tests.analysis.test_versions import two

FRAMES = ("runs", "episodes", "evaluations", "open_loop", "coverage", "evaluated")
TASK = "dmc/cartpole-swingup"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    states = {
        (FIVE[0].name, TASK, 1): "running",
        (FIVE[1].name, TASK, 0): "diverged",
        (FIVE[2].name, TASK, 0): "pending",
    }
    options = Options(episodes=12, seeds=3, states=states, oracle=({"horizon": 12},))
    made = write_study(tmp_path_factory.mktemp("runs"), options=options)
    history = made / "history"
    history.mkdir()
    versions = [
        {"time": 1.6e9, "report": {"final_window": 0.2}},
        {"time": 1.8e9, "report": {"final_window": 0.1}},
    ]
    (history / "versions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in versions))
    run = next((made / "runs").glob("*s2*"))
    (run / "eval").mkdir()
    content = {"schema": 1, "dataset": "pooled", "part": "train", "digest": "d" * 12}
    content["open_loop"] = {"reward_error_mean": [0.1, None]}
    (run / "eval" / "pooled.json").write_text(json.dumps(content))
    return made


@pytest.fixture(scope="module")
def results(study):
    loaded = load([study])
    for run in loaded.runs["run"]:
        pictures = loaded.forecasts(run)
        if pictures is not None:
            _ = np.asarray(pictures["start"]), pictures["truth"][1], pictures["reward"][1]
    return loaded


@pytest.fixture(scope="module")
def bundle(results, tmp_path_factory):
    file = tmp_path_factory.mktemp("bundle") / "demo.zip"
    export(results, None, file)
    return file


def equal(found, results):
    for name in FRAMES:
        expected, frame = getattr(results, name), getattr(found, name)
        if name == "runs":
            expected, frame = expected.drop(columns="path"), frame.drop(columns="path")
        pd.testing.assert_frame_equal(frame, expected)
    assert found.notes == results.notes
    assert found.configs == results.configs
    assert found.versions == results.versions
    assert [study.name for study in found.studies] == [study.name for study in results.studies]
    for one, other in zip(found.studies, results.studies, strict=True):
        assert (one.spec, one.defined, one.digests, one.notes) == (
            other.spec,
            other.defined,
            other.digests,
            other.notes,
        )
        assert [run.id for run in one.runs] == [run.id for run in other.runs]
    assert manifest(found) == manifest(results)


def test_a_bundle_gives_equal_results(bundle, results):
    equal(load([bundle]), results)


def test_it_needs_nothing_of_the_machine_that_made_it(bundle, results, study, tmp_path):
    moved = study.rename(study.with_name("elsewhere"))
    try:
        found = load([shutil.copy(bundle, tmp_path / "copy.zip")])
        equal(found, results)
        run = next(run for run in results.runs["run"] if results.forecasts(run))
        np.testing.assert_array_equal(found.forecasts(run)["truth"][1], results.forecasts(run)["truth"][1])
        assert all(not path.startswith(str(study)) for path in found.runs["path"])
    finally:
        moved.rename(study)
    content = bundle.read_bytes()
    assert b"node1" not in content
    with zipfile.ZipFile(bundle) as opened:
        texts = [opened.read(name) for name in opened.namelist()]
    assert not any(str(study.parent).encode() in text or b"node1" in text for text in texts)


def test_claims_and_their_stamps_are_those_of_the_study(bundle, results):
    found, expected = Material(load([bundle])).findings, Material(results).findings
    assert found == expected or repr(found) == repr(expected)  # NaN differs from itself
    assert any(finding.changed for finding in found)


def test_equal_contents_make_equal_bytes(bundle, results, tmp_path):
    digest = export(results, None, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == bundle.read_bytes()
    assert json.loads(zipfile.ZipFile(tmp_path / "a.zip").read(INDEX))["sha256"] == digest
    again = load([bundle])
    for run, dataset in results.pictures.opened:
        pictures = again.forecasts(run, dataset)
        if pictures is not None:
            _ = np.asarray(pictures["start"]), pictures["truth"][1], pictures["reward"][1]
    assert export(again, None, tmp_path / "b.zip") == digest


@pytest.mark.slow
def test_the_report_of_a_bundle_is_that_of_the_study(study, tmp_path):
    file = tmp_path / "demo.zip"
    made = build_report([study], tmp_path / "report", formats=["png"], bundle=file)
    again = build_report([file], tmp_path / "again", formats=["png"]).index.parent
    names = sorted(path.relative_to(again) for path in again.rglob("*.csv"))
    assert len(names) > 10
    assert names == sorted(path.relative_to(made.index.parent) for path in made.index.parent.rglob("*.csv"))
    for name in (*names, "claims.json", "numbers.tex"):
        assert (again / name).read_bytes() == (made.index.parent / name).read_bytes(), name
    with zipfile.ZipFile(file) as opened:
        assert opened.read("report/index.html") == made.index.read_bytes()


def test_two_versions_stay_two_versions(tmp_path):
    studies = two(tmp_path, ("aaaaaaaaaaaa", "bbbbbbbbbbbb"), change=3.0)
    results = load(studies)
    export(results, None, tmp_path / "both.zip")
    found = load([tmp_path / "both.zip"])
    equal(found, results)
    pd.testing.assert_frame_equal(version_table(found).data, version_table(results).data)


def test_a_bundle_beside_a_study_and_beside_a_bundle(tmp_path):
    old, new = two(tmp_path, ("aaaaaaaaaaaa", "bbbbbbbbbbbb"), change=3.0)
    for study, name in ((old, "old"), (new, "new")):
        export(load([study]), None, tmp_path / f"{name}.zip")
    expected = load([old, new])
    for given in (
        [tmp_path / "old.zip", new],
        [old, tmp_path / "new.zip"],
        [tmp_path / "old.zip", tmp_path / "new.zip"],
    ):
        found = load(given)
        assert found.versions == expected.versions
        assert [study.name for study in found.studies] == ["old/online", "new/online"]
        pd.testing.assert_frame_equal(found.evaluations, expected.evaluations)


def test_runs_read_in_place_are_in_it(tmp_path):
    old = write_study(tmp_path, "pilot", Options(episodes=8, seeds=1, designs=FIVE[:2], forecasts=False))
    new = write_study(tmp_path, "online", Options(episodes=8, seeds=1, designs=FIVE[:2], forecasts=False))
    lines = [
        json.loads(line) | {"reused_from": "pilot"} for line in (new / "plan.jsonl").read_text().splitlines()
    ]
    (new / "plan.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.rmtree(new / "runs")
    for given in ([new], [new, old]):
        results = load(given)
        export(results, None, tmp_path / "demo.zip")
        equal(load([tmp_path / "demo.zip"]), results)


def changed(bundle, target, change):
    """A copy whose files a function changed, by name; it may add and remove some."""
    with zipfile.ZipFile(bundle) as opened:
        contents = {name: opened.read(name) for name in opened.namelist()}
    change(contents)
    with zipfile.ZipFile(target, "w") as opened:
        for name, content in contents.items():
            opened.writestr(name, content)
    return target


def _edit(contents):
    contents["runs.json"] = contents["runs.json"].replace(b"diverged", b"done", 1)


def _remove(contents):
    del contents["frames/coverage.parquet"]


def _add(contents):
    contents["frames/more.parquet"] = b"x"


def _edit_index(contents):
    contents[INDEX] = contents[INDEX].replace(b'"dirty": ', b'"dirtier": ')


def _edit_both(contents):
    contents["README.md"] += b"!"
    index = json.loads(contents[INDEX])
    index["files"]["README.md"] = "0" * 64
    contents[INDEX] = json.dumps(index | {"sha256": index_digest(index)}).encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_edit, r"runs\.json is changed"),
        (_remove, r"frames/coverage\.parquet is missing"),
        (_add, r"frames/more\.parquet is not of it"),
        (_edit_index, "does not have its own digest"),
        (_edit_both, r"README\.md is changed"),
        (lambda contents: contents.pop(INDEX), "is no bundle of wm"),
        (lambda contents: contents.update({INDEX: b"{"}), "is no bundle of wm"),
        (lambda contents: contents.update({INDEX: b"[]"}), "is no bundle of wm"),
    ],
)
def test_a_bundle_that_was_changed_is_refused(bundle, tmp_path, change, words):
    with pytest.raises(UserError, match=words):
        load([changed(bundle, tmp_path / "changed.zip", change)])


def test_a_newer_bundle_is_refused(bundle, tmp_path):
    def newer(contents):
        index = json.loads(contents[INDEX]) | {"schema": 2}
        contents[INDEX] = json.dumps(index | {"sha256": index_digest(index)}).encode()

    with pytest.raises(UserError, match="schema 2; this version of wm reads 1"):
        load([changed(bundle, tmp_path / "newer.zip", newer)])


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "/out.txt",
        "studies/../../out.txt",
        "studies\\..\\out.txt",
        "C:/out.txt",
        "studies//x",
        "./x",
        "studies/demo/",
    ],
)
def test_no_file_leads_out_of_the_folder(bundle, tmp_path, name):
    with pytest.raises(UserError, match="is not as wm writes a bundle, and is not opened"):
        load([changed(bundle, tmp_path / "evil.zip", lambda contents: contents.update({name: b"x"}))])
    assert not (tmp_path / "out.txt").exists()


def test_links_and_doubles_are_refused(bundle, tmp_path):
    link = zipfile.ZipInfo("studies/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    for name in (link, "README.md"):
        copy = tmp_path / "evil.zip"
        shutil.copy(bundle, copy)
        with (
            zipfile.ZipFile(copy, "a") as opened,
            pytest.warns(UserWarning, match="Duplicate") if name == "README.md" else nullcontext(),
        ):
            opened.writestr(name, "/etc/passwd")
        with pytest.raises(UserError, match="is not opened"):
            load([copy])


def test_runs_that_lead_out_of_the_folder_are_refused(bundle, tmp_path):
    def evil(contents):
        runs = json.loads(contents["runs.json"])
        name = next(iter(runs["directories"]))
        runs["directories"]["../../out"] = runs["directories"].pop(name)
        contents["runs.json"] = json.dumps(runs).encode()
        index = json.loads(contents[INDEX])
        index["files"]["runs.json"] = hashlib.sha256(contents["runs.json"]).hexdigest()
        contents[INDEX] = json.dumps(index | {"sha256": index_digest(index)}).encode()

    with pytest.raises(UserError, match="is no directory of a run"):
        load([changed(bundle, tmp_path / "evil.zip", evil)])


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_bundle_is_refused(bundle, tmp_path, damage):
    content = bytearray(bundle.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[content.index(b"PAR1") + 1000] ^= 0xFF
    copy = tmp_path / "damaged.zip"
    copy.write_bytes(b"" if damage == "empty" else b"words" if damage == "text" else content)
    with pytest.raises(UserError, match=r"is no bundle|was changed or damaged"):
        load([copy])


def test_nothing_is_left_behind(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = load([bundle])
    assert len(list(tmp_path.iterdir())) == 1
    del found
    assert not list(tmp_path.iterdir())
    (tmp_path / "bad.zip").write_bytes(b"bad")
    with pytest.raises(UserError):
        load([tmp_path / "bad.zip"])
    assert [path.name for path in tmp_path.iterdir()] == ["bad.zip"]


def test_a_report_of_other_data_is_not_exported(results, tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    with pytest.raises(UserError, match="holds no report to export"):
        export(results, folder, tmp_path / "x.zip")
    (folder / "manifest.json").write_text(json.dumps(manifest(results) | {"runs_sha256": "0" * 64}))
    with pytest.raises(UserError, match="made from other data"):
        export(results, folder, tmp_path / "x.zip")
    (folder / "manifest.json").write_text(json.dumps(manifest(results)))
    export(results, folder, tmp_path / "x.zip")
    assert "report/manifest.json" in zipfile.ZipFile(tmp_path / "x.zip").namelist()


def test_where_it_cannot_be_written_is_said(results, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        export(results, None, tmp_path / "file" / "x.zip")
