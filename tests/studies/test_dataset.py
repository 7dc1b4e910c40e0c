"""Datasets from runs that are made by hand, on the toy task."""

import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import time

import pytest

from harness.datasets import Dataset, find_dataset
from harness.datasets.fixed import content_digest
from harness.datasets.holdout import one_sided, part_by_key
from harness.datasets.selection import Quota, Range, parse_ranges
from harness.entry import execute
from harness.errors import RunError, UserError
from studies.dataset import Request, build, plan_request
from tests.harness.finished import add_to_plan, finished_run
from tests.harness.replays import same
from tests.harness.runs import make_run, tiny_config

A, B = "images-latent-stochastic", "rewards-latent-deterministic"
TASK = "toy/point-mass"


def quiet(*_):
    pass


def study(root, name="mini", designs=(A, B), seeds=2, **changes):
    return {
        (design, seed): finished_run(root / name, seed, design, **changes)
        for design in designs
        for seed in range(seeds)
    }


def make(request, root):
    (one,) = build(plan_request(request, root, quiet), quiet, quiet)
    return one


def test_a_dataset_holds_copies_of_the_chosen_episodes(tmp_path):
    runs = study(tmp_path)
    request = Request("mixed", ("mini",), quota=Quota(3, heldout=0.5))
    (plan,) = plan_request(request, tmp_path, quiet)
    assert not (tmp_path / "datasets").exists()
    one = make(request, tmp_path)
    assert one.state == "built"
    assert [cell.taken for cell in plan.choice.cells] == [3, 3]
    shutil.rmtree(tmp_path / "mini")  # they are copies
    dataset = Dataset(find_dataset("mixed", TASK, tmp_path / "datasets"))
    assert [entry["part"] for entry in dataset.entries] == plan.choice.parts
    assert plan.choice.parts == [part_by_key(entry["source"]["key"], 0.5, 0) for entry in dataset.entries]
    played = {(runs[key][0].id, i): e for key in runs for i, e in enumerate(runs[key][1])}
    for entry, episode in zip(dataset.entries, dataset, strict=True):
        source = entry["source"]
        assert same(episode, played[source["run"], source["index"]])
        assert source["study"] == "mini"
        assert source["return"] == entry["return"] == episode.total_return
    manifest = json.loads((dataset.directory / "manifest.json").read_text())
    assert manifest["recipe"]["studies"] == ["mini"]
    assert manifest["notes"]["rendered"] == 6
    assert manifest["notes"]["rendered_otherwise"] == {}


def test_the_same_recipe_gives_the_same_bytes_and_is_built_once(tmp_path):
    study(tmp_path)
    request = Request("mixed", ("mini",), quota=Quota(3, heldout=0.3, seed=7))
    first = make(request, tmp_path)
    again = make(request, tmp_path)
    assert (again.state, again.digest) == ("exists", first.digest)
    entries = Dataset(first.plan.directory).entries
    shutil.rmtree(tmp_path / "datasets")
    rebuilt = make(request, tmp_path)
    assert (rebuilt.state, rebuilt.digest) == ("built", first.digest)
    assert Dataset(first.plan.directory).entries == entries


def test_another_recipe_of_the_same_name_is_refused(tmp_path):
    study(tmp_path)
    make(Request("mixed", ("mini",), quota=Quota(3)), tmp_path)
    with pytest.raises(
        UserError, match=r"made differently: episodes was 3, now 4\. .*another name than mixed"
    ):
        plan_request(Request("mixed", ("mini",), quota=Quota(4)), tmp_path, quiet)
    finished_run(tmp_path / "mini", 5, A)
    with pytest.raises(UserError, match="from other episodes: since then runs have finished"):
        plan_request(Request("mixed", ("mini",), quota=Quota(3)), tmp_path, quiet)


def test_runs_that_are_not_finished_contribute_nothing_and_are_named(tmp_path):
    study(tmp_path, designs=(A,))
    running = finished_run(tmp_path / "mini", 7, A, state="preempted")[0]
    failed = finished_run(tmp_path / "mini", 8, A, state="failed")[0]
    random = finished_run(tmp_path / "mini", 0, "random")[0]
    notes = []
    (plan,) = plan_request(Request("d", ("mini",)), tmp_path, notes.append)
    assert {one.origin.config.seed for one in plan.choice.episodes} == {0, 1}
    assert any(f"{running.id} (preempted)" in note and f"{failed.id} (failed" in note for note in notes)
    assert any(f"{random.id} (collects none" in note for note in notes)
    assert [(c.design, c.found) for c in plan.choice.cells] == [(A, 8), ("random", 0)]


def test_episodes_of_the_final_phase_of_every_agent(tmp_path):
    runs = study(tmp_path, designs=(A, "random"))
    one = make(Request("pooled", ("mini",), kind="evaluation", quota=Quota(4, heldout=1.0)), tmp_path)
    dataset = Dataset(one.plan.directory)
    assert (len(dataset.part("train")), len(dataset.part("heldout"))) == (0, 8)
    final = {(run.id, i): e for run, _, kept in runs.values() for i, e in enumerate(kept)}
    for entry, episode in zip(dataset.entries, dataset, strict=True):
        assert same(episode, final[entry["source"]["run"], entry["source"]["index"]])


def test_nothing_to_take_is_refused(tmp_path):
    study(tmp_path, designs=(A,), retention="none")
    notes = []
    with pytest.raises(UserError, match=r"2 finished runs kept none \(storage.training_frames: states"):
        plan_request(Request("d", ("mini",)), tmp_path, notes.append)
    assert "storage.training_frames: none" in notes[0]
    quota = Quota(ranges=(Range(100, 200),))
    with pytest.raises(
        UserError, match=r"6 episodes there, with returns from .* to .*, none in --returns 100:200"
    ):
        plan_request(Request("d", ("mini",), kind="evaluation", quota=quota), tmp_path, quiet)
    finished_run(tmp_path / "late", 0, A, state="preempted")
    with pytest.raises(UserError, match=r"taken: 1 of 1 run not finished \(see `wm status STUDY`\)$"):
        plan_request(Request("d", ("late",)), tmp_path, quiet)
    with pytest.raises(UserError, match="no study else"):
        plan_request(Request("d", ("else",)), tmp_path, quiet)
    with pytest.raises(UserError, match="task is toy/point-mass there"):
        plan_request(Request("d", ("mini",), tasks=("dmc/*",)), tmp_path, quiet)


def test_different_environments_are_refused_with_their_runs(tmp_path):
    small = finished_run(tmp_path / "mini", 0, A)[0]
    large = finished_run(tmp_path / "mini", 1, A, env__image_size=20)[0]
    request = Request("d", ("mini",))
    with pytest.raises(UserError, match="see different environments") as raised:
        plan_request(request, tmp_path, quiet)
    lines = str(raised.value).splitlines()
    assert lines[1:] == [
        f"  image_size 16 (--only env.image_size=16): mini/{small.id}",
        f"  image_size 20 (--only env.image_size=20): mini/{large.id}",
    ]
    only = Request("d", ("mini",), only=("env.image_size=20",))
    assert len(plan_request(only, tmp_path, quiet)[0].choice.episodes) == 4


def test_the_advice_on_different_environments_selects_what_it_says(tmp_path):
    for seed, limit in enumerate((None, 50, 12)):
        finished_run(tmp_path / "mini", seed, A, env__time_limit=limit)
    with pytest.raises(UserError) as raised:
        plan_request(Request("d", ("mini",)), tmp_path, quiet)
    text = str(raised.value)
    assert "image_size" not in text
    advice = re.findall(r"time_limit (\d+) \(--only (\S+)\)", text)
    assert advice == [("50", "env.time_limit=null,50"), ("12", "env.time_limit=12")]
    for (_, only), count in zip(advice, (8, 4), strict=True):
        (plan,) = plan_request(Request("d", ("mini",), only=(only,)), tmp_path, quiet)
        assert len(plan.choice.episodes) == count


def test_the_task_s_own_repeat_written_out_is_the_same_environment(tmp_path):
    finished_run(tmp_path / "mini", 0, A)
    finished_run(tmp_path / "mini", 1, A, env__action_repeat=1)
    assert len(plan_request(Request("d", ("mini",)), tmp_path, quiet)[0].choice.episodes) == 8


def test_a_run_that_two_studies_share_is_taken_once(tmp_path):
    study(tmp_path)
    line = (tmp_path / "mini" / "plan.jsonl").read_text().splitlines()[0]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "plan.jsonl").write_text(
        json.dumps(json.loads(line) | {"reused_from": "mini"}) + "\n"
    )
    (plan,) = plan_request(Request("d", ("other", "mini")), tmp_path, quiet)
    assert len(plan.choice.episodes) == 16
    assert {one.origin.study for one in plan.choice.episodes} == {"mini"}
    assert plan.recipe["studies"] == ["mini", "other"]


def test_designs_share_cold_starts_but_no_dataset_trains_on_what_another_holds_out(tmp_path):
    runs = study(tmp_path, seeds=3, training=6, cold=4)
    everything = tuple(content_digest(e) for _, played, _ in runs.values() for e in played)
    assert len(everything) - len(set(everything)) == 3 * 4  # the runs do share them
    requests = [
        Request("few", ("mini",), quota=Quota(4, heldout=0.3)),
        Request("more", ("mini",), quota=Quota(8, heldout=0.3, seed=3)),
        Request("all", ("mini",), quota=Quota(heldout=0.3)),
        Request("of-a", ("mini",), only=(f"design={A}",), quota=Quota(heldout=0.3)),
        Request("of-b", ("mini",), only=(f"design={B}",), quota=Quota(heldout=0.3)),
    ]
    built = {request.name: make(request, tmp_path) for request in requests}
    parts = {}
    for name, one in built.items():
        dataset = Dataset(one.plan.directory)
        contents = [entry["content"] for entry in dataset.entries]
        assert len(set(contents)) == len(contents)
        parts[name] = {
            part: {entry["content"] for entry in dataset.entries if entry["part"] == part}
            for part in ("train", "heldout")
        }
    assert not set.union(*(one["heldout"] for one in parts.values())) & set.union(
        *(one["train"] for one in parts.values())
    )
    assert parts["all"]["train"] | parts["all"]["heldout"] == set(everything)
    assert built["all"].plan.choice.left_out == 3 * 4
    assert built["of-a"].plan.choice.left_out == 0
    shared = [
        entry["source"] for entry in Dataset(built["all"].plan.directory).entries if "also" in entry["source"]
    ]
    assert len(shared) == 3 * 4
    for source in shared:
        (other,) = source["also"]
        assert {source["design"], other["design"]} == {A, B}
        assert (source["kind"], source["index"]) == (other["kind"], other["index"])


def test_a_held_out_part_that_comes_out_empty_is_said(tmp_path):
    study(tmp_path, designs=(A,), seeds=1)
    notes = []
    (plan,) = plan_request(Request("d", ("mini",), quota=Quota(heldout=1e-9)), tmp_path, notes.append)
    assert plan.choice.parts == ["train"] * 4
    assert notes == [f"{TASK}: {one_sided(plan.choice.parts, 1e-9)}"]


def _build_where_files_are_small(root, answers):
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # EFBIG: as a full disk, in the middle of a write
    try:
        make(Request("d", ("mini",)), root)
    except RunError as error:
        answers.put((error.kind, error.remedy, str(error)))


def test_a_full_disk_has_its_remedy_and_leaves_nothing(tmp_path):
    study(tmp_path, designs=(A,), seeds=1)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_build_where_files_are_small, args=(tmp_path, answers))
    process.start()
    kind, remedy, message = answers.get(timeout=60)
    process.join()
    assert kind == "disk"
    assert "wm retry" not in message
    assert message.endswith(remedy)
    assert "call it again" in remedy
    assert not (tmp_path / "datasets").exists()


def test_too_little_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    study(tmp_path)
    monkeypatch.setattr("studies.machine.free_gb", lambda path: 1e-9)
    plans = plan_request(Request("d", ("mini",)), tmp_path, quiet)
    with pytest.raises(UserError, match=r"needs about .* GB and 0\.0 GB are free"):
        list(build(plans, quiet, quiet))
    assert not (tmp_path / "datasets").exists()


def test_return_ranges_have_a_quota_each(tmp_path):
    runs = study(tmp_path)
    returns = sorted(e.total_return for _, played, _ in runs.values() for e in played)
    middle = returns[len(returns) // 2]
    request = Request("d", ("mini",), quota=Quota(2, parse_ranges(f":{middle},{middle}:")))
    (plan,) = plan_request(request, tmp_path, quiet)
    assert all(cell.taken == min(2, cell.found) for cell in plan.choice.cells)
    assert sum(cell.found for cell in plan.choice.cells) == 16


def _build_slowly(root):
    plans = plan_request(Request("d", ("mini",)), root, quiet)
    list(build(plans, quiet, lambda: time.sleep(0.03)))


def test_a_kill_leaves_nothing_half_made(tmp_path):
    study(tmp_path, designs=(A,), retention="all")
    context = multiprocessing.get_context("fork")
    for delay in (0.0, 0.1, 0.2):
        process = context.Process(target=_build_slowly, args=(tmp_path,))
        process.start()
        while not list((tmp_path / "datasets").glob("d/.*")):
            time.sleep(0.005)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert not (tmp_path / "datasets" / "d" / "toy-point-mass").exists()
    assert make(Request("d", ("mini",)), tmp_path).state == "built"


def test_cold_starts_of_runs_are_found_to_be_the_same(tmp_path):
    """Two designs of one seed, trained: what they collect before training is one set of episodes."""
    for design in (A, B):
        predict, space, dynamics = design.split("-")
        axes = {"predict": predict, "space": space, "dynamics": dynamics, "design": design}
        config = tiny_config(seed=3, train__episodes=4, exploration={"cold_start": 3}, **axes)
        run = make_run(tmp_path / "mini", config)
        assert execute(run, datasets=tmp_path / "datasets") == "done"
        add_to_plan(tmp_path / "mini", run, config)
    (plan,) = plan_request(Request("d", ("mini",)), tmp_path, quiet)
    assert [cell.found + cell.twins for cell in plan.choice.cells] == [4, 4]
    assert plan.choice.left_out == 3
    assert [len(twins) for twins in plan.choice.twins] == [int(one.index < 3) for one in plan.choice.episodes]
