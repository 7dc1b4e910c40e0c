"""Every way in which a task can end, and what `wm status` then says."""

import pytest

from tests.slurm.lab import word

ENDINGS = {
    "quick": "done",
    "diverges": "diverged",
    "raises": "failed:code",
    "exits": "failed:code",
    "full": "failed:disk",
    "gpu": "failed:gpu-memory",
    "eats-900": "failed:host-memory",
    "segfaults": "failed:killed",
    "dies": "failed:killed",
    "orphaned": "preempted",  # its task was killed; the run saw it and left at a checkpoint
    "quick-setup": "failed:setup",
}
SETUP = "echo the line before; cat /there/is/no/such/file; echo the line after"


@pytest.fixture(scope="module")
def endings(lab):
    rules = [{"where": {"design": "quick-setup"}, "setup": SETUP.replace("; ", "\n")}]
    return lab.study("endings", list(ENDINGS), rules=rules).submit().settled()


def test_every_ending_of_a_task_is_told_by_its_kind(endings):
    endings.becomes(ENDINGS)


def test_the_reason_of_a_failure_is_told_in_words(endings):
    rows = endings.becomes(ENDINGS)
    assert "a bug [sic]" in rows["raises"]["note"]
    assert "full by design" in rows["full"]["note"]
    assert "SIGSEGV" in rows["segfaults"]["note"]
    assert "SIGKILL" in rows["dies"]["note"]
    assert "memory" in rows["eats-900"]["note"].lower()
    assert "no such file" in rows["quick-setup"]["note"].lower() or "log" in rows["quick-setup"]["note"]


def test_failures_are_grouped_by_their_message_for_people(endings):
    endings.becomes(ENDINGS)
    said = endings.wm("status", endings.name).stdout
    assert "a bug" in said
    assert "host-memory" in said


def test_a_line_after_a_failing_setup_line_does_not_run(endings):
    endings.becomes(ENDINGS)
    output, _ = endings.dispatch.assignments[endings.hex("quick-setup")][-1].array.log_files(0)
    logs = "".join(file.read_text() for file in output.parent.iterdir() if file.suffix in {".out", ".err"})
    assert "the line before" in logs
    assert "the line after" not in logs
    assert not endings.run("quick-setup").path.joinpath("did.jsonl").exists()


def test_status_asks_the_queue_and_the_accounting_once_each(endings, lab):
    endings.becomes(ENDINGS)
    path, counts = lab.counted("once")
    assert endings.states(PATH=path) == ENDINGS
    assert counts() == {"squeue": 1, "sacct": 1}


def test_what_was_recorded_is_told_without_accounting(endings, lab):
    endings.becomes(ENDINGS)
    recorded = {"quick", "diverges", "raises", "full", "gpu"}
    rows = endings.rows(PATH=lab.without("sacct"))
    assert {name: word(rows[name]) for name in recorded} == {name: ENDINGS[name] for name in recorded}
    assert not [name for name, row in rows.items() if row["state"] == "done" and name != "quick"]


def test_retry_by_kind_takes_those_alone(endings):
    endings.becomes(ENDINGS)
    endings.wm("retry", endings.name, "--kind", "gpu-memory")
    endings.becomes(ENDINGS | {"gpu": "pending"})
    endings.submit().settled()
    endings.becomes(ENDINGS)
    assert len(endings.did("gpu")) == 2
    assert len(endings.did("raises")) == 1
    assert len(endings.dispatch.assignments[endings.hex("raises")]) == 1
