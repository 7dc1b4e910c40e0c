"""Fixed datasets of episodes (the task's probe, imports), and the open-loop starts scored on them."""

from harness.datasets.fixed import Dataset, build, import_npz
from harness.datasets.probe import PROBE_VERSION, probe_dataset, probe_directory
from harness.datasets.starts import Episodes, column_counts, open_loop_starts

__all__ = [
    "PROBE_VERSION",
    "Dataset",
    "Episodes",
    "build",
    "column_counts",
    "import_npz",
    "open_loop_starts",
    "probe_dataset",
    "probe_directory",
]
