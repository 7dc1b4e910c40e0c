"""`wm submit`: chunks, throttle, calling it again, refusals, dry runs; and what the jobs then have."""

import pytest

from tests.slurm.conftest import MAX_ARRAY_SIZE

RUNS = 10


@pytest.fixture(scope="module")
def chunked(lab):
    """More runs than an array may have, three at a time; the last design waits."""
    assert RUNS > MAX_ARRAY_SIZE
    return lab.study("chunked", ["waits", "quick"], seeds=RUNS // 2, resources={"parallel": 3}).submit()


def test_a_study_larger_than_an_array_is_cut_into_chunks_that_are_throttled_together(chunked, lab):
    chunked.begun("waits", 0)
    sizes = [len(array.tasks) for array in chunked.dispatch.arrays]
    assert sizes == [MAX_ARRAY_SIZE, RUNS - MAX_ARRAY_SIZE]
    throttles = []
    for array in chunked.dispatch.arrays:
        words = lab.cluster.call("scontrol", "show", "job", array.job).split()
        throttles.append(
            max(int(word.partition("=")[2]) for word in words if word.startswith("ArrayTaskThrottle="))
        )
    assert sum(throttles) == 3
    chunked.go()
    chunked.settled()
    chunked.becomes(dict.fromkeys(chunked.rows(), "done"))


def test_tasks_are_in_the_order_of_seeds(chunked):
    seeds = {run.hex: run.seed for run in chunked.planned}
    order = [seeds[entry.hex] for array in chunked.dispatch.arrays for task in array.tasks for entry in task]
    assert order == sorted(order)


def test_submitting_again_submits_nothing_that_is_queued_or_done(lab):
    study = lab.study("again", ["waits", "quick"]).submit().begun("waits")
    study.becomes({"waits": "running", "quick": "done"})
    said = study.submit().dispatch.arrays
    assert len(said) == 1
    assert [line[2] for line in study.jobs()] == ["RUNNING"]
    study.go()
    study.settled().becomes({"waits": "done", "quick": "done"})
    study.submit()
    assert not study.jobs()
    assert len(study.did("waits")) == 1


def test_only_what_is_selected_is_submitted(lab):
    study = lab.study("selected", ["quick-a", "quick-b"])
    study.wm("submit", str(study.file), "--only", "design=quick-b")
    study.settled().becomes({"quick-a": "pending", "quick-b": "done"})


def test_a_dry_run_prints_the_scripts_and_writes_nothing(lab):
    study = lab.study(
        "dry", ["quick"], resources={"gpus": 1, "constraint": "fast", "nice": 5, "setup": "module load x"}
    )
    said = study.wm("submit", str(study.file), "--dry-run").stdout
    for words in (
        "#SBATCH --partition=low",
        "--account=lab",
        "--constraint=fast",
        "--nice=5",
        "module load x",
        "set -e",
    ):
        assert words in said
    assert not study.path.exists()
    assert not study.jobs()


REFUSALS = {
    "account": ({"account": "nobody"}, "Invalid account"),
    "qos": ({"qos": "nothing"}, "Invalid qos"),
}
KNOWN = {
    "partition": ({"partition": "nowhere"}, "there are "),
    "memory": ({"memory_gb": 10_000}, "has at most"),
    "time": ({"sbatch": "time=100:00:00"}, "use `resources.hours`"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_sbatch_refuses_is_told_in_its_words_and_leaves_nothing_behind(lab, name):
    resources, words = REFUSALS[name]
    study = lab.study(f"refused-{name}", ["quick"], seeds=3, resources=resources)
    said = study.wm("submit", str(study.file), status=2)
    assert words.lower() in said.stderr.lower()
    assert not study.jobs()
    assert set(study.states().values()) == {"pending"}
    assert not [file for file in study.path.rglob("*") if file.suffix in {".pkl", ".sh"}]


@pytest.mark.parametrize("name", KNOWN)
def test_what_the_cluster_has_told_is_refused_before_anything_is_written(lab, name):
    resources, words = KNOWN[name]
    study = lab.study(f"known-{name}", ["quick"], resources=resources)
    for options in (("--dry-run",), ()):
        assert words in study.wm("submit", str(study.file), *options, status=2).stderr
    assert not study.path.exists()
    assert not study.jobs()


def test_of_what_a_limit_on_jobs_lets_in_only_the_rest_waits(lab):
    """The first study fills a QOS of two jobs; for the second there is no place, as sbatch itself says."""
    first = lab.study("few", ["waits"], seeds=3, resources={"qos": "few"})
    said = first.wm("submit", str(first.file))
    assert "1 of them wait until the queue has room" in said.stderr
    second = lab.study("none", ["quick"], seeds=2, resources={"qos": "few"})
    said = second.wm("submit", str(second.file))
    assert "2 of them wait until the queue has room" in said.stderr
    assert "QOSMaxSubmitJobPerUserLimit" in said.stderr
    assert (len(first.jobs()), second.jobs()) == (2, [])
    assert set(second.states().values()) == {"pending"}
    assert not [file for file in second.path.rglob("*") if file.suffix in {".pkl", ".sh"}]
    first.go()
    first.settled()


def test_a_submission_that_fails_half_way_is_known_to_the_last_job(lab):
    """The second of two arrays is refused: the first is queued and recorded, the second is neither."""
    rules = [{"where": {"design": "quick-refused"}, "account": "nobody"}]
    study = lab.study("half", ["waits", "quick-refused"], rules=rules)
    said = study.wm("submit", str(study.file), status=2)
    assert "Invalid account" in said.stderr
    study.begun("waits")
    rows = study.becomes({"waits": "running", "quick-refused": "pending"})
    assert not rows["quick-refused"]["queued"]
    assert [line[1] for line in study.jobs()] == [array.name for array in study.dispatch.arrays]
    study.go()
    study.settled().becomes({"waits": "done", "quick-refused": "pending"})

    study.file.write_text(study.file.read_text().replace("nobody", "lab"))
    study.submit().settled().becomes({"waits": "done", "quick-refused": "done"})


def test_memory_is_raised_and_runs_unpacked_by_the_follow_up(lab):
    """Two runs share an allocation and are killed for the memory of one; nobody is there, and both end well."""
    shared = {"gpus": 1, "runs_per_gpu": 2}
    study = lab.study("followed", ["eats-1000", "quick-long"], resources=shared, profile="follow-up").submit()
    study.becomes({"eats-1000": "done", "quick-long": "done"}, 240)
    history = study.dispatch.assignments[study.hex("eats-1000")]
    assert [one.entry.reason for one in history][1:] == ["retry:host-memory"] * (len(history) - 1)
    assert len(history) >= 2
    assert history[-1].array.resources.memory_gb > history[0].array.resources.memory_gb
    assert [len(one.array.tasks[one.index]) for one in history] == [2] + [1] * (len(history) - 1)
    assert len(study.did("eats-1000")) == len(history)
    study.settled()
