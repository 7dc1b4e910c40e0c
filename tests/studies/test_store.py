"""Studies on disk, selections, and what `wm retry` and `wm clean` do to them."""

import json
import shutil
from dataclasses import asdict, replace

import pytest

from harness import claim
from harness.config import run_hex, run_id
from harness.errors import UserError
from harness.rundir import Failure, RunDir, RunState
from studies import dispatch, retrying, store
from studies.machine import divide, free_gb
from studies.pool import Report
from studies.survey import survey
from tests.studies import fakes


def plan(root, name, designs=("quick",), seeds=(0,), reused=None):
    """A study with a frozen plan; no run directory is made."""
    study = store.StudyDir(root / name)
    study.path.mkdir(parents=True)
    with study.plan_file.open("w") as file:
        for design in designs:
            for seed in seeds:
                config = fakes.config(design, seed)
                line = {"id": run_id(config), "hex": run_hex(config), "design": design, "task": config.task}
                line |= {"seed": seed, "config": config.model_dump(mode="json")}
                file.write(json.dumps(line | ({"reused_from": reused} if reused else {})) + "\n")
    return study


def record(run, state, **more):
    """Makes a planned run's directory and what its owner would have written."""
    directory = RunDir.create(run.path, fakes.config(run.design, run.seed))
    directory.write_state(RunState(id=run.id, state=state, **more))
    return directory


@pytest.fixture
def study(tmp_path):
    return plan(tmp_path, "mine", designs=("quick", "slow"), seeds=(0, 1, 2))


def test_runs_root(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WM_RUNS", raising=False)
    assert store.runs_root(None) == tmp_path / "runs"
    monkeypatch.setenv("WM_RUNS", "elsewhere")
    assert store.runs_root(None) == tmp_path / "elsewhere"
    assert store.runs_root(tmp_path / "given") == tmp_path / "given"


def test_a_study_is_found_by_name_and_by_file(study, tmp_path):
    assert store.open_study("mine", tmp_path).path == study.path
    assert store.open_study(str(study.path), tmp_path).path == study.path
    assert store.open_study("some/where/mine.yaml", tmp_path).path == study.path
    with pytest.raises(UserError, match="did you mean mine"):
        store.open_study("mien", tmp_path)


def test_a_plan_without_runs_and_a_broken_one(tmp_path):
    empty = store.StudyDir(tmp_path / "empty")
    with pytest.raises(UserError, match="no plan yet; `wm run FILE` makes it"):
        _ = empty.planned
    broken = plan(tmp_path, "broken")
    whole = broken.plan_file.read_bytes()
    for content, why in [
        (b"", "it is empty"),
        (whole[:-1], "its last line is not whole"),
        (whole + whole[:50], "its last line is not whole"),
        (whole + b'{"id": 1}\n', "line 2 is no planned run"),
        (whole + b"null\n", "line 2 is no planned run"),
        (whole + b"\n", "line 2 is no planned run"),
        (b"\xff\n" + whole, "line 1 is no planned run"),
        (b"[" * 100_000 + b"\n", "line 1 is no planned run"),
        (whole.replace(b'"seed": 0', b'"seed": "0"'), "line 1 is no planned run"),
        (whole.replace(b'"design"', b'"reused_from": 3, "design"', 1), "line 1 is no planned run"),
    ]:
        broken.plan_file.write_bytes(content)
        with pytest.raises(
            UserError, match=rf"plan.jsonl is damaged \({why}\); `wm run FILE` writes it again"
        ):
            _ = store.StudyDir(broken.path).planned


def test_a_study_file_means_the_study_that_it_names(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "another.yaml"
    file.write_text("name: mine\nnonsense: 1\n")
    assert store.open_study("another.yaml", tmp_path).path == study.path
    for text in ("name: other\n", "name: [\n", "name: ../mine\n", ""):
        file.write_text(text)
        with pytest.raises(UserError, match=r"^another.yaml has not been run yet: wm run another.yaml$"):
            store.open_study("another.yaml", tmp_path)


def test_an_explicit_root_wins_over_a_folder_here(study, tmp_path, monkeypatch):
    run = record(study.planned[0], "done").path
    monkeypatch.chdir(study.root)
    elsewhere = tmp_path / "elsewhere"
    assert store.open_study("mine", elsewhere).path == study.path
    with pytest.raises(UserError, match="no study mine under"):
        store.open_study("mine", elsewhere, strict=True)
    assert store.open_study("./mine", elsewhere, strict=True).path == study.path
    monkeypatch.chdir(run.parent)
    assert store.find_run(run.name, elsewhere) == run
    with pytest.raises(UserError, match="no run under"):
        store.find_run(run.name, elsewhere, strict=True)


def test_a_run_that_has_not_begun_is_told_from_one_that_does_not_exist(study, tmp_path):
    run = study.planned[0]
    plan(tmp_path, "broken").plan_file.write_text("")
    with pytest.raises(UserError, match=f"{run.id} has not begun yet: wm run mine --run {run.hex}"):
        store.find_run(run.hex[:8], tmp_path)
    with pytest.raises(UserError, match=f"quick could mean 3 runs(.|\n)*mine/{run.id}  .not begun."):
        store.find_run("quick", tmp_path)


def test_a_run_that_two_studies_have_is_named_with_its_study(study, tmp_path):
    """Equal configurations have equal ids; that only one of them has begun does not make the text mean it."""
    other = plan(tmp_path, "other", designs=("quick",))
    run, same = study.planned[0], other.planned[0]
    assert run.id == same.id
    path = record(run, "done").path
    for text in (run.hex, run.id):
        with pytest.raises(UserError, match="2 runs") as refused:
            store.find(text, tmp_path)
        assert str(refused.value).splitlines()[1:] == [f"  mine/{run.id}", f"  other/{run.id}  (not begun)"]
        assert store.find_run(f"mine/{text}", tmp_path) == path
        assert store.find(f"other/{text[:-2]}", tmp_path) == same
        with pytest.raises(UserError, match=f"{run.id} has not begun yet: wm run other --run {run.hex}"):
            store.find_run(f"other/{text}", tmp_path)
    assert store.called(run, study) == f"mine/{run.hex}"
    inner = plan(study.path, "estimate")
    assert store.called(inner.planned[0], inner) == str(inner.planned[0].path)
    with pytest.raises(UserError, match=r"no study ohter under .* .did you mean other"):
        store.find_run(f"ohter/{run.hex}", tmp_path)
    both = [*study.planned, *other.planned]
    assert store.select(both, [], [f"other/{run.hex}"]) == [same]
    assert store.select(both, [], [f"{other.path}/runs/{run.id}"]) == [same]
    assert store.select(both, [], [run.hex]) == [run, same]


def test_a_run_that_is_read_in_place_is_one_run(study, tmp_path):
    run = record(study.planned[0], "done")
    other = plan(tmp_path, "other", designs=("quick",), reused="mine")
    hexadecimal = study.planned[0].hex
    for text in (hexadecimal, f"mine/{hexadecimal}", f"other/{hexadecimal}"):
        assert store.find_run(text, tmp_path) == run.path
    assert store.select(other.planned, [], [f"other/{hexadecimal}"]) == other.planned


def test_a_renamed_design_keeps_its_runs(study):
    run = study.planned[0]
    record(run, "done")
    run.path.rename(run.path.with_name(f"another-name-{run.hex}"))
    again = store.StudyDir(study.path)
    assert again.planned[0].path.name == f"another-name-{run.hex}"
    assert survey(again.planned)[0].condition.name == "done"


def test_a_reused_run_is_read_in_place_and_not_run_here(study, tmp_path):
    record(study.planned[0], "done")
    other = plan(tmp_path, "other", designs=("quick",), seeds=(0, 1), reused="mine")
    assert other.planned[0].path == study.planned[0].path
    seen = survey(other.planned)
    assert [one.condition.name for one in seen] == ["done", "pending"]
    assert dispatch.to_do(seen) == []


def test_seed_by_seed(study):
    todo = dispatch.to_do(survey(study.planned))
    assert [(run.seed, run.design) for run in todo] == [
        (seed, design) for seed in range(3) for design in ("quick", "slow")
    ]


def test_selection(study):
    runs = study.planned
    assert {run.design for run in store.select(runs, ["design=q*"], [])} == {"quick"}
    assert {run.seed for run in store.select(runs, ["seed=0,2"], [])} == {0, 2}
    assert len(store.select(runs, ["train.episodes=11", "design=slow"], [])) == 1
    assert len(store.select(runs, ["runtime.threads=null"], [])) == 6
    assert len(store.select(runs, ["storage.tensorboard=false"], [])) == 6
    assert store.select(runs, [], [runs[3].hex[:6]]) == [runs[3]]
    assert store.select(runs, [], [f"mine/{runs[3].id}"]) == [runs[3]]


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("design", "field=value"),
        ("desing=quick", "did you mean design"),
        ("train.x=1", "no such"),
        ("seed=9", "seed=9: selects none of the 6 runs; seed is 0, 1, 2 there"),
        ("storage.tensorboard=yes", "storage.tensorboard is false there"),
    ],
)
def test_a_wrong_selection(study, only, message):
    with pytest.raises(UserError, match=message):
        store.select(study.planned, [only], [])


@pytest.mark.parametrize("prefix", ["", " ", "mine/"])
def test_an_empty_prefix_does_not_select_everything(study, prefix):
    with pytest.raises(UserError, match="write the start of a run's id or hex"):
        store.select(study.planned, [], [prefix])


def test_a_selection_that_is_empty_together_says_what_is_left(study):
    with pytest.raises(UserError, match="none of the 1 runs left by the others; seed is 0 there"):
        store.select(study.planned, ["seed=1"], [study.planned[0].hex])
    with pytest.raises(UserError, match="--run fff: selects none of the 6 runs"):
        store.select(study.planned, [], ["fff"])


def test_a_run_is_found_by_the_start_of_its_hex_or_id(study, tmp_path):
    first, second = (record(run, "done").path for run in study.planned[:2])
    assert store.find_run(first.name[-12:-4], tmp_path) == first
    assert store.find_run(second.name, tmp_path) == second
    assert store.find_run(str(second), tmp_path) == second
    with pytest.raises(UserError, match=f"3 runs(.|\n)*mine/{first.name}"):
        store.find_run("quick", tmp_path)
    with pytest.raises(UserError, match="no run"):
        store.find_run("ffffffffffff0", tmp_path)


def test_retry_makes_failed_runs_pending_and_keeps_the_rest(study):
    runs = study.planned
    record(runs[0], "failed", error=Failure("disk", "full"))
    record(runs[1], "failed", error=Failure("code", "bug"))
    record(runs[2], "done")
    (runs[0].path / "checkpoint").mkdir()
    assert retrying.reset(runs, kinds=["disk"]) == [runs[0]]
    names = [one.condition.name for one in survey(runs)]
    assert names == ["pending", "failed", "done", "pending", "pending", "pending"]
    assert (runs[0].path / "checkpoint").exists()
    assert json.loads((runs[0].path / "state.previous.json").read_text())["error"]["kind"] == "disk"
    with pytest.raises(UserError, match="no selected run has failed as disk; `--fresh --run PREFIX` starts"):
        retrying.reset(runs, kinds=["disk"])
    with pytest.raises(UserError, match="did you mean disk"):
        retrying.reset(runs, kinds=["disc"])


def test_retry_fresh_archives(study):
    runs = study.planned
    record(runs[0], "diverged")
    record(runs[1], "done")
    (runs[0].path / "metrics.jsonl").write_text("{}\n")
    assert retrying.reset(runs, kinds=[], fresh=True) == [runs[0]]
    assert not runs[0].path.exists()
    (archived,) = study.history.iterdir()
    assert (archived / "metrics.jsonl").read_text() == "{}\n"
    assert retrying.reset(runs[1:2], kinds=[], fresh=True, by_name=True) == [runs[1]]
    assert len(list(study.history.iterdir())) == 2


def test_retry_refuses_a_run_whose_owner_may_live(study):
    run = study.planned[0]
    record(run, "failed", error=Failure("code", "bug"))
    (run.path / "claim.1").write_text(json.dumps(asdict(replace(claim.this_process(), host="elsewhere"))))
    with pytest.raises(claim.OwnedElsewhere):
        retrying.reset([run], kinds=[])
    with pytest.raises(UserError, match="add --run"):
        retrying.take_over([run], by_name=False)
    assert retrying.take_over([run], by_name=True) == [run]
    assert retrying.reset([run], kinds=[]) == [run]


def test_take_over_never_takes_from_the_living(study):
    run = study.planned[0]
    record(run, "running")
    claim.acquire(run.path)
    with pytest.raises(UserError, match="alive"):
        retrying.take_over([run], by_name=True)


def test_a_claim_that_nobody_can_read_is_freed(study):
    run = study.planned[0]
    RunDir.create(run.path, fakes.config())
    (run.path / "claim.1").write_text("garbage")
    condition = survey([run])[0].condition
    assert condition.name == "running"
    assert f"wm retry --take-over --run {run.hex}" in condition.note
    assert retrying.take_over([run], by_name=True) == [run]
    assert survey([run])[0].condition.name == "pending"
    assert retrying.take_over([run], by_name=True) == []


def test_clean_refuses_a_damaged_plan(study, tmp_path):
    record(study.planned[0], "done")
    other = plan(tmp_path, "other")
    for damaged in (other, study):  # also of a study that may read runs of this one in place
        damaged.plan_file.write_bytes(damaged.plan_file.read_bytes()[:-9])
        with pytest.raises(UserError, match=f"{damaged.name}/plan.jsonl is damaged"):
            retrying.rubbish(store.StudyDir(study.path), checkpoints=False, frames=False)


def test_clean_lists_what_no_plan_needs_and_deletes_nothing_else(study, tmp_path):
    kept, orphan, owned, borrowed = study.planned[:4]
    for run in (kept, orphan, owned, borrowed):
        directory = record(run, "done")
        (directory.path / "checkpoint").mkdir()
        (directory.path / "checkpoint" / "model.pt").write_bytes(b"x" * 1000)
    claim.acquire(owned.path)
    lines = study.plan_file.read_text().splitlines(keepends=True)
    study.plan_file.write_text(lines[0])
    other = plan(tmp_path, "other", designs=(borrowed.design,), seeds=(borrowed.seed,), reused="mine")
    fresh = store.StudyDir(study.path)
    assert [(item.path, item.why) for item in retrying.rubbish(fresh, checkpoints=False, frames=False)] == [
        (orphan.path, "in no plan")
    ]
    found = retrying.rubbish(fresh, checkpoints=True, frames=True)
    assert {item.path for item in found} == {orphan.path, kept.path / "checkpoint"}
    assert all(item.bytes >= 1000 for item in found)
    retrying.delete(found)
    assert sorted(path.name for path in study.runs.iterdir()) == sorted(
        run.id for run in (kept, owned, borrowed)
    )
    assert not (kept.path / "checkpoint").exists()
    assert other.planned[0].path.exists()


def test_threads_do_not_depend_on_how_many_runs_are_left(study, monkeypatch):
    monkeypatch.setattr("studies.machine.cores", lambda: 8)
    monkeypatch.setattr("studies.machine.gpus", lambda: ())
    configs = [run.config for run in study.planned]
    assert divide(configs, 3) == divide(configs[:1], 3)
    assert divide(configs, 3).threads == 2
    assert divide(configs, 100).threads == 1
    monkeypatch.setattr("studies.machine.memory_gb", lambda: 64.0)
    assert (divide(configs).workers, divide(configs).threads) == (8, 1)
    monkeypatch.setattr("studies.machine.memory_gb", lambda: 4.0)
    assert (divide(configs).workers, divide(configs).threads) == (2, 4)


def test_gpus_are_shared_in_turn(study, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    configs = [run.config for run in study.planned]
    division = divide(configs)
    assert division.workers == 2
    assert [division.environment(slot)["CUDA_VISIBLE_DEVICES"] for slot in range(3)] == ["2", "5", "2"]
    on_cpu = [config | {"runtime": {"device": "cpu"}} for config in configs]
    assert divide(on_cpu, 1).gpus == ()
    assert division.environment(0, threads=3)["OMP_NUM_THREADS"] == "3"


def test_what_another_process_leaves_undone_is_continued(study, tmp_path, monkeypatch):
    """A run that was running elsewhere at first is done once the pool has time for it; nothing is done twice."""
    runs = study.planned[:3]
    record(runs[0], "running")
    elsewhere = claim.acquire(runs[0].path)
    rounds = []

    def run_pool(seen, todo, workers, datasets):
        rounds.append([run.id for run in todo])
        elsewhere.release()
        for run in todo:
            record(run, "failed" if run == runs[1] else "running")
        return Report()

    monkeypatch.setattr(dispatch, "run_pool", run_pool)
    seen, _ = dispatch.run_all(runs, 1, tmp_path)
    assert rounds == [[runs[1].id, runs[2].id], [runs[0].id]]
    assert [one.condition.name for one in seen] == ["lost", "failed", "lost"]


def test_too_little_disk_is_said_before_anything_starts(study, tmp_path, monkeypatch):
    monkeypatch.setattr("studies.dispatch.machine.free_gb", lambda _: 1000.0)
    dispatch.check_disk(tmp_path, study.planned, 2)
    monkeypatch.setattr("studies.dispatch.machine.free_gb", lambda _: 0.0)
    dispatch.check_disk(tmp_path, [], 2)
    with pytest.raises(UserError, match=r"0.0 GB are free at .*fewer --workers"):
        dispatch.check_disk(tmp_path, study.planned, 2)


def test_free_space_of_a_directory_that_is_yet_to_be_made(tmp_path):
    assert free_gb(tmp_path / "not" / "yet") == pytest.approx(shutil.disk_usage(tmp_path).free / 1e9, rel=0.1)
