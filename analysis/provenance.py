"""Which runs, code and versions a report was made from, as a table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.load import Results
from analysis.tables import Table
from analysis.words import plural


def provenance_table(results: Results, source: dict[str, Any]) -> Table:
    """What the manifest holds, in words, and how to check it.

    Args:
        results: of the report.
        source: of `manifest.manifest`.
    """
    rows: list[list[str]] = []
    for study, given in zip(results.studies, source["studies"], strict=True):
        digests = ", ".join(f"{file} {digest[:12]}" for file, digest in given["sha256"].items() if digest)
        rows.append(
            [f"study {study.name}", f"{plural(len(study.runs), 'planned run')}; {digests or 'no files'}"]
        )
        spec = study.spec
        claims = spec.claims.model_dump(exclude_none=True)
        fixed = "; ".join(
            f"{name} {', '.join(f'{key} {value:g}' for key, value in options.items())}"
            for name, options in claims.items()
        )
        told = f"final window {spec.final_window:g} of the planned iterations, diverged runs: {spec.diverged}"
        rows.append([f"fixed by {study.name}", f"{told}; claims: {fixed or 'none declared, defaults used'}"])
    for name in ("code", "environment", "device", "rendering", "precision"):
        counts = results.runs[name].dropna().astype(str).value_counts()
        words = "; ".join(
            f"{str(value)[:40]} ({plural(int(count), 'run')})" for value, count in counts.items()
        )
        rows.append([f"runs: {name}", words or "not recorded"])
    rows.append(["runs: digest", str(source["runs_sha256"])])
    rows.append(["report: commit", str(source["commit"] or "not from a checkout")])
    versions = ", ".join(f"{name} {version}" for name, version in source["versions"].items())
    rows.append(["report: versions", versions])
    rows.append(["to check", "wm report STUDY --verify renders it again and says what differs"])
    rows.append(
        [
            "to take along",
            "wm report STUDY --export FILE.zip makes a bundle to rebuild the report from",
        ]
    )
    data = pd.DataFrame(rows, columns=["what", "value"])
    caption = "All of it, with the digest of every run, is in manifest.json and in the metadata of each PDF."
    return Table("provenance", "Provenance", caption, ["what", "value"], rows, data, 2)
