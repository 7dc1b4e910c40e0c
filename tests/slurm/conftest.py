"""A genuine SLURM for the session, and a user on it. ``make test-slurm`` runs these tests; ``make test`` does not."""

import shutil
import signal

import pytest

from scripts.slurm.cluster import Cluster
from tests.slurm.lab import HERE, Lab
from tests.slurm.slow import Slow

MAX_ARRAY_SIZE = 8


def pytest_collection_modifyitems(config, items):
    """Leaves these tests out unless they are asked for by the marker or by their path."""
    asked = "slurm" in config.option.markexpr or any("slurm" in argument for argument in config.args)
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.slurm)
    if ours and not asked:
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if HERE not in item.path.parents]


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The cluster with its user; stopped however the session ends."""
    if shutil.which("slurmctld", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("SLURM is not installed: make test-slurm")
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    folder = tmp_path_factory.mktemp("slurm")
    try:
        with Cluster(folder / "cluster", max_array_size=MAX_ARRAY_SIZE, nodes=6) as cluster:
            yield Lab(cluster, folder / "home")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def slow(lab):
    """What takes SLURM minutes is begun before the first test and looked at in the last ones."""
    begun = Slow(lab)
    yield begun
    lab.over = True
    begun.close()
