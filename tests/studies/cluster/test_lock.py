"""One process has a study at a time."""

import json
import time

import pytest

from harness import claim
from studies.cluster.lock import ABANDONED_SECONDS, Locked, locked


def hold(dispatch, age=0.0, host="far away"):
    """A claim of another machine."""
    folder = dispatch / "lock"
    folder.mkdir(parents=True)
    owner = {"host": host, "boot": "b", "namespace": "n", "pid": 7, "start": 9, "time": time.time() - age}
    (folder / "claim.1").write_text(json.dumps(owner))


def test_it_is_free_again_afterwards(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "dispatch") as held:
            assert held.still_mine()


def test_the_second_is_told_who_has_it(tmp_path):
    with (
        locked(tmp_path / "mine" / "dispatch"),
        pytest.raises(Locked, match="mine is being submitted or cancelled by process"),
        locked(tmp_path / "mine" / "dispatch"),
    ):
        pass


def test_it_is_free_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    with locked(tmp_path):
        pass


@pytest.mark.parametrize(
    ("age", "free"), [(0, False), (ABANDONED_SECONDS - 60, False), (ABANDONED_SECONDS + 60, True)]
)
def test_a_holder_that_nobody_can_see_loses_it_after_half_an_hour(tmp_path, age, free):
    hold(tmp_path, age)
    if not free:
        with pytest.raises(Locked, match="process 7 on far"), locked(tmp_path):
            pass
        return
    with locked(tmp_path) as held:
        assert held.number > 1


def test_a_live_holder_on_this_machine_keeps_it_however_long(tmp_path, monkeypatch):
    with locked(tmp_path):
        later = time.time() + 10 * ABANDONED_SECONDS
        monkeypatch.setattr(time, "time", lambda: later)
        with pytest.raises(Locked), locked(tmp_path):
            pass


def test_a_holder_whose_job_has_ended_loses_it_at_once(tmp_path, monkeypatch):
    hold(tmp_path)
    monkeypatch.setattr("studies.cluster.lock.is_gone", lambda owner, _, cluster: owner.pid == 7)
    with locked(tmp_path) as held:
        assert held.owner.pid == claim.this_process().pid
