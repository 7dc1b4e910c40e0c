"""Where a report comes from: runs and their digests, studies, code and versions; in manifest.json and each PDF."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.results import Results

MANIFEST = "manifest.json"
PACKAGES = ("world-models-study", "numpy", "scipy", "pandas", "matplotlib")


def manifest(results: Results) -> dict[str, Any]:
    """Everything that the report was made from. Equal data and code give an equal manifest: it holds no time."""
    runs = [
        {
            "id": run["run"],
            "study": run["study"],
            "state": run["state"],
            "metrics_sha256": run["metrics_sha256"] or None,
            "code": run["code"] if isinstance(run["code"], str) else None,
            "environment": run["environment"] if isinstance(run["environment"], str) else None,
        }
        for run in results.runs.to_dict("records")
    ]
    return {
        "schema": 1,
        "studies": [{"name": study.name, "sha256": study.digests} for study in results.studies],
        "runs": runs,
        "runs_sha256": digest(runs),
        "commit": commit(),
        "versions": versions(),
    }


def provenance(content: dict[str, Any]) -> str:
    """The manifest in one line, for the metadata of a figure."""
    short = {
        "studies": {study["name"]: study["sha256"].get("study.yaml") for study in content["studies"]},
        "runs": [run["id"].rpartition("-")[2] for run in content["runs"]],
        "runs_sha256": content["runs_sha256"],
        "commit": content["commit"],
        "version": content["versions"].get("world-models-study"),
    }
    return json.dumps(short, separators=(",", ":"))


def versions() -> dict[str, str]:
    """Versions of what computed the report."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit of the checkout that this code comes from, `-dirty` if it was changed; None outside of one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("-dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=True
    )
    return done.stdout.strip()


def seal(folder: Path, content: dict[str, Any]) -> None:
    """Writes the manifest of a report whose files are all there, with the digest of each (`files`)."""
    sealed = content | {"files": file_digests(folder)}
    (folder / MANIFEST).write_text(json.dumps(sealed, indent=1) + "\n", encoding="utf-8")


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a report but its manifest, by the path within it."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: _sha256(path) for name, path in files.items() if name != MANIFEST}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content: Any) -> str:
    """SHA-256 of JSON data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def changes(old: dict[str, Any] | None, new: dict[str, Any]) -> str:
    """What changed since the last report, in one sentence; empty for the first."""
    if old is None or "runs" not in old:
        return ""
    before = {run["id"]: run for run in old["runs"]}
    after = {run["id"]: run for run in new["runs"]}
    done = [
        i for i, run in after.items() if run["state"] == "done" and before.get(i, {}).get("state") != "done"
    ]
    changed = [
        i for i, run in after.items() if i in before and run["metrics_sha256"] != before[i]["metrics_sha256"]
    ]
    parts = [
        (len(done), "finished"),
        (len(set(changed) - set(done)), "went on or changed"),
        (len(after.keys() - before.keys()), "new in the plan"),
        (len(before.keys() - after.keys()), "no longer in the plan"),
    ]
    told = [f"{count} {words}" for count, words in parts if count]
    return f"Since the last report: {', '.join(told)}." if told else "No run changed since the last report."
