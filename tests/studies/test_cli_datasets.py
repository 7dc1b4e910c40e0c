import json
import re

import pytest

from harness.config.sections import EnvConfig
from harness.datasets import Dataset, probe_dataset
from harness.datasets.holdout import episode_key, part_by_key
from harness.episodes import save_npz
from harness.tasks import find_task
from tests.harness.finished import finished_run, play

A, B = "images-latent-stochastic", "rewards-latent-deterministic"
ENV = {"image_size": 16, "time_limit": 12}
TASK = "toy/point-mass"


@pytest.fixture
def root(tmp_path):
    for seed in range(2):
        finished_run(tmp_path / "runs" / "mini", seed, A)
    return tmp_path / "runs"


def test_a_dataset_is_planned_built_shown_and_listed(wm, root):
    arguments = ("dataset", "build", "mixed", "mini", "--episodes", 5, "--heldout", 0.2)
    status, planned, _ = wm(*arguments, "--dry-run")
    assert status == 0
    assert re.search(r"5 episodes \([0-5] held out\), 60 steps; 5 to render", planned)
    assert not (root / "datasets").exists()
    status, out, _ = wm(*arguments)
    assert out.startswith(planned)
    assert status == 0
    assert "built: " in out
    status, out, _ = wm(*arguments)
    assert status == 0
    assert "exists already: " in out
    status, out, _ = wm("dataset", "show", "mixed")
    assert status == 0
    heldout = int(re.search(r"\((\d) held out", planned)[1])
    assert f"train:    {5 - heldout} episodes, {12 * (5 - heldout)} steps" in out
    assert "no probe of the task" in out
    assert "from replay, episodes 5" in out
    status, out, _ = wm("dataset", "list")
    assert status == 0
    assert "mixed" in out
    assert TASK in out


def test_json_is_alone_on_standard_output(wm, root):
    arguments = ("dataset", "build", "mixed", "mini", "--json")
    planned = json.loads(wm(*arguments, "--dry-run")[1])["tasks"][0]
    assert (planned["state"], planned["digest"]) == ("planned", None)
    built = json.loads(wm(*arguments)[1])["tasks"][0]
    assert built["state"] == "built"
    assert json.loads(wm(*arguments)[1])["tasks"][0] == built | {"state": "exists"}
    assert built["quotas"] == [
        {"design": A, "returns": ":", "wanted": None, "found": 8, "taken": 8, "twins": 0}
    ]
    assert built["twins_left_out"] == 0
    shown = json.loads(wm("dataset", "show", "mixed", "--json")[1])["tasks"][0]
    assert shown["digest"] == built["digest"] == Dataset(root / "datasets/mixed/toy-point-mass").digest
    assert shown["designs"][A]["runs"] == 2
    assert sum(shown["returns"]["train"]) == 8
    (listed,) = json.loads(wm("dataset", "list", "--json")[1])
    assert (listed["name"], listed["digest"]) == ("mixed", built["digest"])


def test_what_designs_share_is_reported(wm, tmp_path):
    for design in (A, B):
        finished_run(tmp_path / "runs" / "twins", 0, design, cold=3)
    arguments = ("dataset", "build", "mixed", "twins", "--heldout-seed", 3)
    status, out, _ = wm(*arguments, "--dry-run")
    assert status == 0
    assert "3 twins left out" in out
    assert "5 episodes" in out
    status, out, _ = wm(*arguments, "--json")
    built = json.loads(out)["tasks"][0]
    assert (built["episodes"], built["twins_left_out"], built["recipe"]["heldout_seed"]) == (5, 3, 3)
    assert sum(one["twins"] for one in built["quotas"]) == 3
    assert [one["found"] + one["twins"] for one in built["quotas"]] == [4, 4]


def test_a_dataset_that_holds_nothing_out_says_so(wm, root, tmp_path):
    status, out, err = wm("dataset", "build", "mixed", "mini", "--heldout", 1e-9, "--json")
    assert status == 0
    assert json.loads(out)["tasks"][0]["heldout"] == 0
    assert "all 8 episodes are left for training: none is held out" in err
    assert "another --heldout-seed" in err
    save_npz(play(find_task(TASK, EnvConfig(**ENV)), 1, 1)[0], tmp_path / "0.npz")
    overrides = ("env.image_size=16", "env.time_limit=12", "--task", TASK, "--heldout", 1e-9)
    status, out, err = wm("dataset", "import", "mine", tmp_path / "0.npz", *overrides)
    assert status == 0
    assert "imported 1 episode (0 held out)" in out
    assert "none is held out" in err


def test_coverage_is_measured_in_units_of_the_probe(wm, root):
    env = EnvConfig(**ENV)
    probe_dataset(root / "datasets", find_task(TASK, env), env, 4)
    wm("dataset", "build", "mixed", "mini")
    states = json.loads(wm("dataset", "show", "mixed", "--json")[1])["tasks"][0]["states"]
    assert (states["count"], states["measured"]) == (8 * 13, 8 * 13)
    assert -20 < states["entropy"] < 20
    assert len(states["low"]) == 4
    assert "nats" in wm("dataset", "show", "mixed")[1]
    assert "probe/" in wm("dataset", "list")[1]


def test_the_pooled_set_is_all_held_out(wm, root):
    finished_run(root / "mini", 0, "random")
    status, out, err = wm("dataset", "build", "pooled", "mini", "--pooled", "--episodes", 4)
    assert (status, err) == (0, "toy/point-mass: 1 of 2 quotas could not be filled (see above)\n")
    assert "7 episodes (7 held out)" in out
    status, _, err = wm("dataset", "build", "pooled", "mini", "--pooled", "--heldout", 0.5)
    assert status == 2
    assert "--pooled means --from evaluation --heldout 1" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "mixd"), "no dataset mixd"),
        (("build", "own", "mini"), "cannot be called own"),
        (("build", "a/b", "mini"), "cannot be called 'a/b'"),
        (("build", "d", "mini", "--returns", "-5"), "'-5' is no range"),
        (("build", "d", "mini", "--task", "dmc/*"), "selects none"),
        (("build", "d", "nothing"), "no study nothing"),
        (("build", "d", "mini", "--heldout", 2), "Invalid value for '--heldout'"),
        (("import", "d", "none.npz", "--task", TASK), "none.npz: missing"),
        (("import", "d", "env.image_size=7", "none.npz", "--task", TASK), "env.image_size: Input should be"),
        (("import", "d", "env.imagesize=7", "none.npz", "--task", TASK), "did you mean image_size"),
        (("import", "d", "train.episodes=3", "--task", TASK), "fields of the environment alone"),
        (("import", "d", "env.image_size", "--task", TASK), "env.image_size=VALUE"),
        (("import", "d", "none.npz", "--task", "toy/pointmass"), "did you mean toy/point-mass"),
    ],
)
def test_wrong_requests_end_with_2_and_write_nothing(wm, root, arguments, message):
    status, out, err = wm("dataset", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not (root / "datasets").exists()


def test_an_import_is_checked_and_split(wm, tmp_path):
    episodes = play(find_task(TASK, EnvConfig(**ENV)), 4, 1)
    for index, episode in enumerate(episodes):
        save_npz(episode, tmp_path / f"{index}.npz")
    files = [tmp_path / f"{index}.npz" for index in range(4)]
    overrides = ("env.image_size=16", "env.time_limit=12")
    status, _, err = wm("dataset", "import", "mine", *files, "--task", TASK)
    assert status == 2
    assert err.count("image is [3, 16, 16] per column") == 4
    parts = [
        part_by_key(episode_key(TASK, 1, one.action, one.reward, one.state[0]), 0.25, 1) for one in episodes
    ]
    split = ("--heldout", 0.25, "--heldout-seed", 1)
    status, out, _ = wm("dataset", "import", "mine", *files, *overrides, "--task", TASK, *split)
    assert status == 0
    assert f"imported 4 episodes ({parts.count('heldout')} held out)" in out
    dataset = Dataset(tmp_path / "runs/datasets/mine/toy-point-mass")
    assert [entry["part"] for entry in dataset.entries] == parts
    assert dataset.recipe["env"]["image_size"] == 16
    status, out, _ = wm("dataset", "show", "mine")
    assert status == 0
    assert "recipe:   kind import" in out
    status, out, _ = wm("dataset", "import", "mine", *files, *overrides, "--task", TASK, *split)
    assert status == 0
    assert "exists already, 4 episodes" in out
    status, _, err = wm("dataset", "import", "mine", *files, *overrides, "--task", TASK)
    assert status == 2
    assert "exists and was made with another heldout, heldout_seed" in err
    status, _, err = wm("dataset", "import", "twice", files[0], files[0], *overrides, "--task", TASK)
    assert status == 2
    assert f"the same file as {files[0]}" in err


def test_a_damaged_dataset_is_listed_as_such(wm, root):
    wm("dataset", "build", "mixed", "mini")
    (root / "datasets/mixed/toy-point-mass/manifest.json").write_text("{}")
    status, out, _ = wm("dataset", "list")
    assert status == 0
    assert "damaged" in out
    status, _, err = wm("dataset", "show", "mixed")
    assert status == 2
    assert "missing or damaged" in err


def test_a_damaged_episode_is_refused_alike_by_every_verb(wm, root):
    wm("dataset", "build", "mixed", "mini")
    assert "files:    all verified" in wm("dataset", "show", "mixed")[1]
    path = root / "datasets/mixed/toy-point-mass/episode-00002.npz"
    path.write_bytes(path.read_bytes()[:-3])
    for arguments in (("show", "mixed"), ("show", "mixed", "--json"), ("build", "mixed", "mini", "--json")):
        status, out, err = wm("dataset", *arguments)
        assert (status, out) == (2, "")
        assert f"{path}: " in err
        assert "Restore that file from a copy" in err
        assert "Traceback" not in err


def test_clean_leaves_datasets_alone(wm, root):
    wm("dataset", "build", "mixed", "mini")
    before = sorted((root / "datasets").rglob("*"))
    assert wm("clean", "mini", "--checkpoints", "--frames", "--yes")[0] == 0
    assert sorted((root / "datasets").rglob("*")) == before
    assert wm("dataset", "show", "mixed")[0] == 0


def test_help_teaches_with_an_example(wm):
    for verb in ("build", "show", "list", "import"):
        status, out, _ = wm("dataset", verb, "--help")
        assert status == 0
        assert f"wm dataset {verb}" in out.split("Usage", 1)[1].split("\n", 1)[1]
