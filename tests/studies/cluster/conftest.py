"""A study and a cluster that does nothing by itself."""

import pytest

from studies.cluster import snapshot
from tests.studies.cluster.fakecluster import FakeCluster, empty_snapshot, make_study


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """Stands for every executor; the user has no profile, and no code is copied."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("WM_PROFILE", raising=False)
    monkeypatch.setattr(snapshot, "take", lambda dispatch, own: empty_snapshot(dispatch))
    fake = FakeCluster()
    monkeypatch.setattr("studies.cluster.clusters.cluster_for", lambda _: fake)
    return fake


@pytest.fixture
def study(tmp_path):
    """Two runs of one design."""
    return make_study(tmp_path)
