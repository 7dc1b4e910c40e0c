"""What a dataset holds: parts, returns, lengths, where it came from, and how much of the state space it covers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.datasets.fixed import MANIFEST, Dataset, read_manifest
from harness.datasets.mapped import FOLDER
from harness.datasets.parts import PARTS, PROBES, part_of, remedy
from harness.disk import ArrayReader
from harness.errors import RunError

if TYPE_CHECKING:
    from harness.coverage import StateScale

_BINS = 10


def describe(directory: Path, root: Path) -> dict[str, Any]:
    """A dataset as JSON; reads all of it and verifies every file.

    Args:
        directory: the dataset's.
        root: RUNS/datasets, where the task's probe is, if there is one: coverage is measured in its units.

    Raises:
        RunError: kind ``corrupt``.
    """
    Dataset(directory)  # a description of damaged files would be one of nothing
    manifest = read_manifest(directory)
    entries = manifest["episodes"]
    recipe = manifest["recipe"]
    lengths = [entry["columns"] - 1 for entry in entries]
    return {
        **summary(directory),
        "designs": _designs(entries),
        "returns": _returns(entries),
        "lengths": {"min": min(lengths), "max": max(lengths)},
        "states": _states(directory, manifest, root),
        "recipe": recipe,
        "notes": manifest.get("notes", {}),
    }


def summary(directory: Path) -> dict[str, Any]:
    """`task`, `path`, `digest`, `parts` (episodes and steps of each), and bytes on disk.

    Raises:
        RunError: kind ``corrupt``: the manifest is missing or damaged.
    """
    manifest = read_manifest(directory)
    parts = {name: {"episodes": 0, "steps": 0} for name in PARTS}
    for entry in manifest["episodes"]:
        parts[part_of(entry)]["episodes"] += 1
        parts[part_of(entry)]["steps"] += entry["columns"] - 1
    stored = [directory / entry["file"] for entry in manifest["episodes"]] + [directory / MANIFEST]
    mapped = (directory / FOLDER).rglob("*") if (directory / FOLDER).exists() else ()
    return {
        "task": manifest["recipe"].get("task"),
        "path": str(directory),
        "digest": manifest["digest"],
        "parts": parts,
        "bytes": sum(path.stat().st_size for path in stored if path.exists()),
        "mapped_bytes": sum(path.stat().st_size for path in mapped if path.is_file()),
    }


def catalogue(root: Path) -> list[dict[str, Any]]:
    """`name` and `summary` of every dataset under RUNS/datasets, probes last; `name` and `error` of a damaged one."""
    manifests = sorted([*root.glob(f"*/{MANIFEST}"), *root.glob(f"*/*/{MANIFEST}")])
    folders = [path.parent for path in manifests if not path.parent.name.startswith(".")]
    probes = [folder for folder in folders if folder.parent == root / PROBES]
    found: list[dict[str, Any]] = []
    for folder in [folder for folder in folders if folder not in probes] + probes:
        flat = folder.parent == root or folder in probes
        name = str(folder.relative_to(root)) if flat else folder.parent.name
        try:
            found.append({"name": name, **summary(folder)})
        except RunError as error:
            found.append({"name": name, "error": str(error)})
    return found


def _designs(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Episodes of each part, runs and mean return by design; empty for episodes that say no design."""
    groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        if "design" in (entry.get("source") or {}):
            groups[entry["source"]["design"]].append(entry)
    return {
        design: {
            **{name: Counter(map(part_of, members))[name] for name in PARTS},
            "runs": len({entry["source"]["run"] for entry in members}),
            "mean_return": float(np.mean([entry["return"] for entry in members])),
        }
        for design, members in groups.items()
    }


def _returns(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Least, mean and largest return, and a histogram of each part over common bins."""
    values = np.array([entry["return"] for entry in entries])
    low, high = float(values.min()), float(values.max())
    bins = _BINS if high > low else 1
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    parts = np.array([part_of(entry) for entry in entries])
    counts: dict[str, Any] = {name: np.histogram(values[parts == name], edges)[0].tolist() for name in PARTS}
    return {"min": low, "mean": float(values.mean()), "max": high, "edges": edges.tolist(), **counts}


def _states(directory: Path, manifest: dict[str, Any], root: Path) -> dict[str, Any]:
    """Number and range of the simulator states, and their entropy in the units of the task's probe."""
    from harness.coverage import coverage, sample_columns

    columns = [entry["columns"] for entry in manifest["episodes"]]
    chosen = sample_columns(sum(columns), np.random.default_rng(int(manifest["digest"][:16], 16)))
    picked, low, high, first = [], [], [], 0
    for entry in manifest["episodes"]:
        with ArrayReader(directory / entry["file"], remedy(directory)) as reader:
            if "physics" not in reader.names:
                return {"count": 0, "why": "episodes without simulator states"}
            states = reader.read("physics")
        inside = chosen[(chosen >= first) & (chosen < first + len(states))] - first
        picked.append(states[inside])
        low.append(states.min(axis=0))
        high.append(states.max(axis=0))
        first += len(states)
    if len({part.shape[1] for part in picked}) > 1:
        return {"count": 0, "why": "episodes of several state sizes"}
    found: dict[str, Any] = {
        "count": sum(columns),
        "low": np.min(low, axis=0).tolist(),
        "high": np.max(high, axis=0).tolist(),
    }
    scale = _probe_scale(manifest["recipe"], root)
    points: npt.NDArray[np.float64] = np.concatenate(picked)
    if scale is None or len(scale.std) != points.shape[1]:
        return found | {
            "entropy": None,
            "knn_distance": None,
            "why": "no probe of the task to measure against",
        }
    measured = coverage(scale.apply(points))
    values = {"entropy": measured.entropy, "knn_distance": measured.knn_distance, "measured": len(points)}
    return found | {key: None if value != value else value for key, value in values.items()}  # noqa: PLR0124 (NaN)


def _probe_scale(recipe: dict[str, Any], root: Path) -> StateScale | None:
    """The unit of each state dimension: that of the task's probe, rather one of the same environment settings."""
    from harness.coverage import StateScale

    ranked = []
    for manifest in (root / PROBES).glob(f"*/{MANIFEST}"):
        try:
            found = read_manifest(manifest.parent)
        except RunError:
            continue
        if found["recipe"].get("task") == recipe.get("task"):
            alike = found["recipe"].get("env") == recipe.get("env")
            ranked.append((alike, len(found["episodes"]), manifest.parent))
    return StateScale.of(Dataset(max(ranked)[2])) if ranked else None
