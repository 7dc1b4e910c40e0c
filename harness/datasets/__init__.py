"""Fixed datasets of episodes (the task's probe, built from runs, imported), and the open-loop starts scored on them."""

from harness.datasets.find import dataset_names, find_dataset, manifest_digest, task_slug
from harness.datasets.fixed import Dataset, build
from harness.datasets.imports import import_npz
from harness.datasets.mapped import MappedReplay, open_mapped
from harness.datasets.parts import PARTS, Label, Part, PartName
from harness.datasets.probe import probe_dataset, probe_directory
from harness.datasets.starts import Episodes, column_counts, open_loop_starts

__all__ = [
    "PARTS",
    "Dataset",
    "Episodes",
    "Label",
    "MappedReplay",
    "Part",
    "PartName",
    "build",
    "column_counts",
    "dataset_names",
    "find_dataset",
    "import_npz",
    "manifest_digest",
    "open_loop_starts",
    "open_mapped",
    "probe_dataset",
    "probe_directory",
    "task_slug",
]
