"""Plans: runs with ids, merges, reuse, freezing, differences and costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
import yaml

from harness.config import RunConfig, run_hex
from harness.errors import UserError
from harness.rundir import RunDir, RunState
from studies import cost
from studies.difference import Change, compare, unreached
from studies.freeze import dispatched_from, freeze
from studies.language import StudyError
from studies.packages import code_root
from studies.plan import read_plan
from studies.store import StudyDir

TEXT = """\
# a study
name: small
base: {train.episodes: 8, env.image_size: 16}
designs:
  planet: {predict: images, space: latent, dynamics: stochastic}
grid:
  design: [planet, rewards-latent-stochastic]
  task: toy/point-mass
  seed: range(2)
include: [{agent: random, task: toy/point-mass, seed: range(2)}]
"""


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def prepare(study, overrides, root, *, adopt=False):
    """Plans and freezes."""
    return freeze(read_plan(study, root, overrides), adopt=adopt)


def finish(run, state="done"):
    """Leaves on disk what a run of a plan leaves."""
    made = RunDir.create(run.path, RunConfig.model_validate(run.config))
    made.write_state(RunState(made.id, state))
    return made


def test_a_plan_has_runs_with_ids_in_the_order_of_the_file(file, root):
    plan = read_plan(str(file), root)
    assert [(run.design, run.task, run.seed) for run in plan.runs] == [
        (design, "toy/point-mass", seed)
        for design in ("planet", "rewards-latent-stochastic", "random")
        for seed in (0, 1)
    ]
    for run in plan.runs:
        assert run.hex == run_hex(RunConfig.model_validate(run.config)) == run.id[-12:]
        assert run.path == root / "small" / "runs" / run.id
    assert set(plan.states().values()) == {"pending"}
    assert not root.exists()


def test_runs_of_equal_id_merge_with_a_note(file, root):
    file.write_text(TEXT.replace("[planet, rewards", "[planet, images-latent-stochastic, rewards"))
    plan = read_plan(str(file), root)
    assert len(plan.runs) == 6
    assert plan.notes == ["2 cells of images-latent-stochastic merged into the equal runs of planet"]


def test_of_equal_runs_that_keep_different_things_the_note_says_which_counts(file, root):
    file.write_text(
        TEXT.replace("  seed: range(2)\n", "  seed: range(2)\n  storage.training_frames: [none, states]\n")
    )
    plan = read_plan(str(file), root)
    assert {run.config["storage"]["training_frames"] for run in plan.runs[:4]} == {"none"}
    assert plan.notes[0] == (
        "2 cells of planet merged into equal runs of it; the first in the file counts: "
        "storage.training_frames stays none, not states"
    )


def test_a_run_is_found_by_its_hash_whatever_its_design_is_called(file, root):
    finish(read_plan(str(file), root).runs[0])
    file.write_text(TEXT.replace("planet", "rssm"))
    plan = read_plan(str(file), root)
    assert plan.runs[0].design == "rssm"
    assert plan.runs[0].path.name.startswith("planet-")
    assert plan.states()[plan.runs[0].hex] == "done"


def test_finished_runs_of_another_study_are_read_in_place(file, root, tmp_path):
    pilot = tmp_path / "pilot.yaml"
    pilot.write_text(TEXT.replace("name: small", "name: pilot"))
    first, second, *_ = read_plan(str(pilot), root).runs
    finish(first)
    finish(second, "failed")
    file.write_text(TEXT + "reuse: [pilot]\n")
    prepare(str(file), [], root)
    planned = StudyDir(root / "small").planned
    assert [run.reused_from for run in planned[:3]] == ["pilot", None, None]
    assert planned[0].path == first.path
    assert read_plan("small", root).states()[first.hex] == "done"
    plan = read_plan(str(file), root)
    assert cost.estimate(plan.runs, plan.states())["left"] == 5


def test_baselines_that_another_study_has_finished_are_not_run_again(file, root, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(
        TEXT.replace("name: small", "name: another").replace("train.episodes: 8", "train.episodes: 9")
    )
    theirs = read_plan(str(other), root).runs
    for run in theirs:
        finish(run, "failed" if run.seed else "done")
    for damaged in ("broken", "locked"):  # studies that cannot be read are passed over
        (root / damaged).mkdir()
        (root / damaged / "runs").write_text("") if damaged == "broken" else (root / damaged / "runs").mkdir(
            mode=0
        )
    torn = RunDir(root / "aaa" / "runs" / theirs[-2].id)
    torn.path.mkdir(parents=True)
    torn.state_file.write_text('{"state": "do')
    prepare(str(file), [], root)
    planned = StudyDir(root / "small").planned
    assert [run.reused_from for run in planned] == [None] * 4 + ["another", None]
    assert planned[4].path == theirs[4].path
    plan = read_plan(str(file), root)
    assert plan.states()[planned[4].hex] == "done"
    assert plan.notes == ["1 run of the random agent is finished in another: read there, not run again"]
    assert cost.estimate(plan.runs, plan.states())["left"] == 5


def test_a_baseline_of_other_settings_is_another_run(file, root, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(TEXT.replace("name: small", "name: another"))
    for run in read_plan(str(other), root, ["env.time_limit=20"]).runs:
        finish(run)
    plan = read_plan(str(file), root)
    assert [run.reused_from for run in plan.runs] == [None] * 6
    assert plan.notes == []


def test_a_baseline_of_its_own_is_kept(file, root, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(TEXT.replace("name: small", "name: another"))
    for run in [*read_plan(str(other), root).runs, *read_plan(str(file), root).runs]:
        finish(run)
    assert [run.reused_from for run in read_plan(str(file), root).runs] == [None] * 6


@pytest.mark.parametrize(
    ("name", "message"),
    [("piolt", r"small.yaml:11:9: reuse\[0\]: no study piolt .*pilot"), ("small", "reuse itself")],
)
def test_a_study_that_cannot_be_reused_is_a_problem(file, root, name, message):
    (root / "pilot" / "runs").mkdir(parents=True)
    file.write_text(TEXT + f"reuse: [{name}]\n")
    with pytest.raises(StudyError, match=message):
        read_plan(str(file), root)


def test_freezing_writes_the_file_and_the_plan_and_reads_back(file, root):
    home = prepare(str(file), [], root)
    assert home.study_file.read_text() == TEXT
    assert home.planned == read_plan(str(file), root).runs == read_plan("small", root).runs
    lines = [json.loads(line) for line in home.plan_file.read_text().splitlines()]
    assert set(lines[0]) == {"id", "hex", "design", "task", "seed", "config"}
    assert dispatched_from(home) == str(file)


def test_freezing_again_changes_nothing(file, root):
    home = prepare(str(file), [], root)
    before = {path: path.stat().st_mtime_ns for path in home.path.rglob("*")}
    prepare(str(file), [], root)
    prepare("small", [], root)
    assert before == {path: path.stat().st_mtime_ns for path in home.path.rglob("*")}


def test_freezing_a_change_keeps_the_earlier_version(file, root):
    prepare(str(file), [], root)
    file.write_text(TEXT.replace("range(2)", "range(3)"))
    home = prepare(str(file), [], root)
    prepare(str(file), ["train.batch=3"], root)
    assert (home.history / "0001-study.yaml").read_text() == TEXT
    assert len((home.history / "0001-plan.jsonl").read_text().splitlines()) == 6
    assert len((home.history / "0002-plan.jsonl").read_text().splitlines()) == 9
    assert len(home.planned) == 9


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT + "overrides: {train.batch: 9, size: tiny}\n",
        '{"name": "small", "grid": {"design": "images-latent-stochastic", "task": "toy/point-mass"}}',
        TEXT + "...\n",
    ],
)
def test_the_frozen_study_holds_the_overrides(file, root, text):
    file.write_text(text)
    home = prepare(str(file), ["train.batch=3", "train.learning_rate=1e-5"], root)
    again = read_plan(str(home.study_file), root)
    assert again.runs == home.planned
    assert {run.config["train"]["batch"] for run in again.runs} == {3}
    frozen = home.study_file.read_text()
    assert frozen.startswith("# Dispatched with: train.batch=3 train.learning_rate=1e-5\n")
    assert yaml.safe_load(frozen)["overrides"]["train.batch"] == 3


def test_a_frozen_plan_takes_no_overrides(file, root):
    prepare(str(file), [], root)
    with pytest.raises(UserError, match="overrides would make it another study"):
        read_plan("small", root, ["train.batch=3"])


def test_a_damaged_plan_is_written_again_and_kept(file, root):
    home = prepare(str(file), [], root)
    (home.history / "2x-point-mass-0-0123456789ab.20240101-000000").mkdir()  # an archived run is no version
    whole = home.plan_file.read_bytes()
    home.plan_file.write_bytes(whole[:-9] + b"\xff")
    with pytest.raises(UserError, match=r"plan.jsonl is damaged .*`wm run FILE` writes it again"):
        read_plan("small", root)
    prepare(str(file), [], root)
    assert home.plan_file.read_bytes() == whole
    assert (home.history / "0001-plan.jsonl").read_bytes() == whole[:-9] + b"\xff"


def test_another_file_of_the_same_name_is_refused_unless_adopted(file, root, tmp_path):
    prepare(str(file), [], root)
    other = tmp_path / "other" / "small.yaml"
    other.parent.mkdir()
    other.write_text(TEXT)
    prepare(str(other), [], root)  # the same text: the same study
    other.write_text(TEXT.replace("range(2)", "range(3)"))
    with pytest.raises(
        UserError, match=r"dispatched from another file, .*/small.yaml. Choose another name, or .*--adopt"
    ):
        prepare(str(other), [], root)
    assert len(StudyDir(root / "small").planned) == 6
    prepare(str(other), [], root, adopt=True)
    assert len(StudyDir(root / "small").planned) == 9
    assert dispatched_from(StudyDir(root / "small")) == str(other)


def test_an_unknown_study_is_refused_with_a_hint(file, root, monkeypatch):
    prepare(str(file), [], root)
    with pytest.raises(UserError, match=r"did you mean small\?"):
        read_plan("smal", root)
    monkeypatch.chdir(file.parent)
    file.rename(file.with_name("mine.yaml"))
    with pytest.raises(UserError, match=r"for the file give mine.yaml"):
        read_plan("mine", root)
    with pytest.raises(StudyError, match="cannot be read"):
        read_plan("none.yaml", root)


def test_a_difference_says_what_is_new_done_stale_orphaned_and_renamed(file, root):
    home = prepare(str(file), [], root)
    planet0, planet1, rewards0, rewards1, random0, random1 = home.planned
    for run in (planet0, rewards0, random0):
        finish(run)
    text = TEXT.replace("planet", "rssm").replace("rewards-latent-stochastic]", "rewards-latent-stochastic, "
                        "images-latent-deterministic]")  # fmt: skip
    text = text.replace("seed: range(2)}", "seed: 0}")
    file.write_text(text)
    plan = read_plan(str(file), root, ["storage.training_frames=none"])
    found = compare(plan, plan.states())
    assert found.done == [run.id.replace("planet", "rssm") for run in (planet0, rewards0, random0)]
    assert found.open == [run.id.replace("planet", "rssm") for run in (planet1, rewards1)]
    assert [name.partition("-point")[0] for name in found.new] == ["images-latent-deterministic"] * 2
    assert found.orphaned == [random1.id]
    assert found.renamed == [(run.id, run.id.replace("planet", "rssm")) for run in (planet0, planet1)]
    assert found.stale == []
    assert found.unused == [Change("storage.training_frames", "states", "none", 5)]


def test_a_changed_key_makes_runs_stale_and_is_named(file, root):
    home = prepare(str(file), [], root)
    for run in home.planned:
        finish(run)
    plan = read_plan(str(file), root, ["train.episodes=9"])
    found = compare(plan, plan.states())
    assert [old for old, _ in found.stale] == [run.id for run in home.planned[:4]]
    assert found.changed == [Change("train.episodes", 8, 9, 4)]
    assert str(found.changed[0]) == "train.episodes: 8 -> 9"
    assert len(found.done) == 2  # random agents do not train
    home.plan_file.unlink()  # the directories alone say the same
    again = compare(plan, plan.states())
    assert sorted(again.stale) == sorted(found.stale)
    assert again.changed == found.changed


def test_a_change_that_runs_which_have_begun_never_see_is_said_once(file, root):
    home = prepare(str(file), [], root)
    done, failed, running = (run for run in home.planned[:3])
    finish(done)
    finish(failed, "failed")
    finish(running, "running")
    assert unreached(read_plan(str(file), root)) == []
    changes = ["runtime.device=cpu", "resources.hours=3"]  # the second comes from the plan
    (line,) = unreached(read_plan(str(file), root, changes))
    assert line == (
        "2 runs that have begun keep runtime.device auto, not cpu; "
        "`wm retry small --fresh --run PREFIX` starts one anew with it"
    )
    prepare(str(file), changes, root)
    assert unreached(read_plan(str(file), root, changes)) == []
    assert unreached(read_plan("small", root)) == []
    finish(running, "done")
    (line,) = unreached(read_plan(str(file), root, ["runtime.device=cuda"]))
    assert line.startswith("1 run that has begun keeps runtime.device auto, not cuda; ")


def test_the_cost_says_on_what_it_rests(file, root):
    plan = read_plan(str(file), root, ["resources.hours=2", "resources.gpus=1", "resources.runs_per_gpu=4"])
    price = cost.estimate(plan.runs, plan.states())
    assert (price["runs"], price["left"], price["hours"], price["gpu_hours"]) == (6, 6, 12.0, 3.0)
    assert "upper bound, not a forecast" in price["basis"]["hours"]
    run = finish(plan.runs[0])
    record = {"kind": "cost", "wall_seconds": 3600, "train_seconds": 1800, "plan_seconds": 900}
    run.metrics.write_text(json.dumps(record) + "\n")
    price = cost.estimate(plan.runs, plan.states())
    assert (price["left"], price["hours"]) == (5, 1 + 4 * 2)
    assert price["basis"]["hours"].startswith(
        "the mean of finished runs of the same design and task for 1 of 5"
    )


def test_the_disk_follows_retention(file, root):
    def kept(retention):
        plan = read_plan(str(file), root, [f"storage.training_frames={retention}"])
        return cost.estimate(plan.runs, plan.states())["disk_gb"]

    file.write_text(TEXT.replace("train.episodes: 8", "train.episodes: 8000"))
    assert kept("all") > kept("last:4000") > kept("states") > kept("none") > 0


def big(tmp_path, runs=10_000):
    path = tmp_path / "big.yaml"
    path.write_text(
        "name: big\nbase: {size: tiny}\ngrid:\n"
        "  design: [images-latent-stochastic, rewards-latent-stochastic]\n"
        f"  task: [dmc/cheetah-run, dmc/walker-walk]\n  seed: range({runs // 20})\n"
        "  train.learning_rate: [1e-3, 3e-4, 1e-4, 3e-5, 1e-5]\n"
    )
    return path


def test_ten_thousand_runs_are_planned_without_torch_in_seconds(tmp_path):
    """The goal is 3 s on an idle machine; user time is measured, so that a busy one does not fail."""
    program = (
        "import resource, sys\n"
        "from studies.cli import app\n"
        "try:\n    app()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'mujoco', 'dm_control', 'matplotlib', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, file=sys.stderr)\n"
    )
    arguments = ["plan", str(big(tmp_path)), "--json", "--runs", str(tmp_path / "runs")]
    environment = {"PYTHONPATH": str(code_root()), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["runs"]) == 10_000
    assert float(done.stderr.splitlines()[-1]) < 3


def test_states_of_runs_that_do_not_exist_cost_one_look(tmp_path, root):
    plan = read_plan(str(big(tmp_path)), root)
    (root / "big" / "runs").mkdir(parents=True)
    finish(plan.runs[7])
    start = time.perf_counter()
    states = plan.states()
    assert time.perf_counter() - start < 1
    assert states[plan.runs[7].hex] == "done"
    assert list(states.values()).count("pending") == 9_999
