import json

import pytest

from harness.datasets import Dataset, Label, build, dataset_names, find_dataset, manifest_digest, task_slug
from harness.datasets.find import check_name
from harness.errors import RunError, UserError
from tests.harness.replays import make_episode

EPISODES = [make_episode(4, 0), make_episode(6, 1), make_episode(5, 2)]
# Computed before datasets had parts: probes and imports keep their digests.
OLD_DIGEST = "108c96f01bdb0e8ba8574cab1d7a65088d4c9fa3a56dc40b484b7f614cbadcef"


def make(directory, task="toy/test", labels=None, episodes=EPISODES):
    return build(directory, episodes, {"kind": "test", "task": task}, labels)


def test_the_slug_is_one_folder():
    assert task_slug("dmc/cheetah-run") == "dmc-cheetah-run"
    assert task_slug("my.package:Task") == "my-package-Task"


def test_a_name_means_the_folder_of_the_task(tmp_path):
    root = tmp_path / "datasets"
    made = make(root / "mine" / "toy-test")
    other = make(root / "mine" / "toy-else", "toy/else")
    assert find_dataset("mine", "toy/test", root) == made.directory
    assert find_dataset("mine", "toy/else", root) == other.directory
    assert find_dataset(str(made.directory), "toy/test", root) == made.directory
    assert find_dataset(str(root / "mine"), "toy/test", root / "elsewhere") == made.directory
    assert dataset_names(root) == ["mine"]


def test_a_relative_path_is_taken_as_it_is(tmp_path, monkeypatch):
    made = make(tmp_path / "d")
    monkeypatch.chdir(tmp_path)
    assert find_dataset("d", "toy/test", tmp_path / "none") == made.directory


def test_what_there_is_not_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"no dataset mine .*none yet.*wm dataset build mine STUDY"):
        find_dataset("mine", "toy/test", tmp_path)
    make(tmp_path / "mine" / "toy-test")
    with pytest.raises(UserError, match=r"mine.*only of toy/test; `wm dataset build mine .*--task toy/else`"):
        find_dataset("mine", "toy/else", tmp_path)
    with pytest.raises(UserError, match="did you mean mine"):
        find_dataset("mien", "toy/test", tmp_path)
    with pytest.raises(UserError, match="holds episodes of toy/test, not of toy/else"):
        find_dataset(str(tmp_path / "mine" / "toy-test"), "toy/else", tmp_path)
    with pytest.raises(UserError, match="empty"):
        find_dataset(" ", "toy/test", tmp_path)


def test_no_message_contradicts_itself(tmp_path):
    make(tmp_path / "probe" / "abc")
    with pytest.raises(UserError, match="cannot be called probe"):
        find_dataset("probe", "toy/test", tmp_path)
    make(tmp_path / "mine" / "renamed")
    with pytest.raises(UserError, match="mine/renamed holds episodes of toy/test: call that folder toy-test"):
        find_dataset("mine", "toy/test", tmp_path)


def test_a_dataset_that_is_being_built_is_none(tmp_path):
    make(tmp_path / "mine" / ".toy-test.1234.tmp")
    make(tmp_path / "probe" / "abc")
    assert dataset_names(tmp_path) == []
    assert find_dataset("probe/abc", "toy/test", tmp_path) == tmp_path / "probe" / "abc"


@pytest.mark.parametrize("name", ["probe", "own", "", ".", "..", "a/b", ".hidden", "a b", "-x"])
def test_names_that_a_dataset_cannot_have(name):
    with pytest.raises(UserError, match="cannot be called"):
        check_name(name)


def test_the_digest_is_that_of_the_manifest(tmp_path):
    made = make(tmp_path / "d")
    assert manifest_digest(made.directory) == made.digest
    (made.directory / "episode-00000.npz").unlink()
    assert manifest_digest(made.directory) == made.digest
    content = json.loads((made.directory / "manifest.json").read_text())
    content["digest"] = "0" * 64
    (made.directory / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match="contradict"):
        manifest_digest(made.directory)
    with pytest.raises(RunError, match="missing"):
        manifest_digest(tmp_path)


def test_a_dataset_without_parts_keeps_its_digest(tmp_path):
    made = make(tmp_path / "d")
    assert made.digest == OLD_DIGEST
    manifest = json.loads((made.directory / "manifest.json").read_text())
    for entry in manifest["episodes"]:  # as they were written before there were parts
        del entry["part"], entry["length"]
    (made.directory / "manifest.json").write_text(json.dumps(manifest))
    assert Dataset(made.directory).digest == OLD_DIGEST
    assert len(Dataset(made.directory).part("train")) == 3
    assert made.part("train").digest == OLD_DIGEST


def test_the_digest_is_of_the_parts_too(tmp_path):
    labels = {
        name: [Label(part) for part in parts]
        for name, parts in (
            ("a", ("train", "train", "heldout")),
            ("b", ("heldout", "train", "train")),
            ("c", ("heldout", "heldout", "heldout")),
        )
    }
    made = {name: make(tmp_path / name, labels=given) for name, given in labels.items()}
    assert len({one.digest for one in made.values()} | {OLD_DIGEST}) == 4
    assert made["c"].part("heldout").digest == OLD_DIGEST  # a part's digest is of its content alone
    assert len(made["c"].part("train")) == 0
    assert made["a"].part("train").columns == [4, 6]
    assert made["a"].part("heldout").columns == [5]
    assert [e.columns for e in made["b"].part("train")] == [6, 5]


def test_a_part_that_does_not_exist_is_damage(tmp_path):
    made = make(tmp_path / "d")
    path = made.directory / "manifest.json"
    path.write_text(path.read_text().replace('"part": "train"', '"part": "test"', 1))
    with pytest.raises(RunError, match="no part is called 'test'"):
        Dataset(made.directory)


def test_labels_say_where_an_episode_came_from(tmp_path):
    source = {"study": "s", "run": "r", "index": 3}
    made = make(tmp_path / "d", labels=[Label("train", source), Label(), Label("heldout")])
    assert [entry.get("source") for entry in made.entries] == [source, None, None]
    assert [entry["part"] for entry in made.entries] == ["train", "train", "heldout"]
    assert [entry["length"] for entry in made.entries] == [3, 5, 4]
    with pytest.raises(ValueError, match="shorter"):
        make(tmp_path / "e", labels=[Label()])
