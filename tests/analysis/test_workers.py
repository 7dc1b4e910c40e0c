"""Parts of a report at once: equal files, errors as they are, and a single process where that is asked for."""

import os

import pytest

from analysis.manifest import file_digests
from analysis.report import build_report
from analysis.workers import VARIABLE, Workers, processes
from harness.errors import UserError


def done(count, *stages):
    with Workers(count, lambda found: found) as workers:
        for jobs in stages:
            workers.start(jobs)
        return workers.finish(lambda *_: None)


def broken():
    raise UserError("no such thing")


def test_jobs_know_what_was_known_when_they_began(monkeypatch):
    monkeypatch.setenv(VARIABLE, "2")
    known = {"a": 1}
    with Workers(processes(), lambda found: (*found, "small")) as workers:
        workers.start({"first": lambda: (os.getpid(), dict(known))})
        known["b"] = 2
        workers.start({"second": lambda: (os.getpid(), dict(known))})
        found = workers.finish(lambda *_: None)
    assert [each[1:] for each in (found["first"], found["second"])] == [
        ({"a": 1}, "small"),
        ({"a": 1, "b": 2}, "small"),
    ]
    assert os.getpid() not in {each[0] for each in found.values()}


def test_one_process_does_them_itself():
    assert done(1, {"a": os.getpid}, {"b": lambda: 2}) == {"a": os.getpid(), "b": 2}
    assert done(2, {}) == {}


@pytest.mark.parametrize("count", [1, 2])
def test_errors_come_back_as_they_are(count):
    with pytest.raises(UserError, match="no such thing"):
        done(count, {"a": lambda: 1, "b": broken})


def test_how_many_there_are(monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    assert processes() == 1
    monkeypatch.delenv(VARIABLE)
    assert processes() >= 1
    monkeypatch.setattr("sys.platform", "darwin")
    assert processes() == 1


@pytest.mark.slow
def test_a_report_is_the_same_however_many_made_it(study, tmp_path, monkeypatch):
    digests = []
    for count in ("1", "2"):
        monkeypatch.setenv(VARIABLE, count)
        build_report([study], tmp_path / count)
        digests.append(file_digests(tmp_path / count))
    assert digests[0] == digests[1]
