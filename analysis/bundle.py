"""A bundle: all that a report is made of in one .zip, so that it can be made again elsewhere, with equal numbers.

It holds the studies (study.yaml, plan.jsonl, what their history says of `report`), what was read of every run as
parquet and JSON, the forecasts that the report shows, the report, the packages and the commit that made it, and a
digest of each file. Equal contents make equal bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import json
import math
import platform
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from analysis.manifest import MANIFEST, manifest
from analysis.pictures import part_of
from analysis.results import COSTS, Results
from analysis.study import Study
from harness.errors import UserError
from harness.rundir import PLAN, RunDir, read_jsonl

SCHEMA = 1
INDEX, STUDIES, RUNS = "bundle.json", "studies.json", "runs.json"
FRAMES = {
    "episode": "episodes",
    "evaluation": "evaluations",
    "open_loop": "open_loop",
    "coverage": "coverage",
    "evaluated": "evaluated",
}
"""The frames of `Results` by kind: frames/NAME.parquet."""
NUMBERS = (*COSTS, "coverage")
"""Facts that are NaN where JSON says null."""
_PACKED = {".parquet", ".npz", ".png", ".pdf", ".webp", ".gif", ".mp4"}
_HISTORY = ("versions.jsonl", "*-study.yaml", "*-plan.jsonl")
_README = """# {title}

The results of {runs} planned runs, and the report that was made from them.

- `report/index.html`: the report, `report/claims.json` its verdicts, `report/tables/`, `report/figures/`
- `frames/*.parquet`: what the runs measured, a row a measurement; `frames/runs.parquet`: a row a run
- `studies/`: each study as it was planned, and what was changed in its section `report` afterwards
- `forecasts/`: the forecasts that the report shows
- `environment.txt`: the packages that made it; `bundle.json`: the commit, and the SHA-256 of every file

## To make the report again

1. Get the code at commit {commit}, and Python {python}.
2. `pip install -r environment.txt` (it names this project itself: leave that line out), then `pip install -e .`
3. `wm report BUNDLE.zip --out report`

Numbers, tables and claims come out equal. A file that was changed since is refused.
"""


def export(results: Results, report: Path | None, file: Path) -> str:
    """Writes a bundle in place of `file`; its digest.

    Args:
        results: as loaded; of their forecasts those that were looked at are exported, so draw the report with them.
        report: the folder of the report; None: leave it out.
        file: where to, a name in .zip.

    Raises:
        UserError: the report is of other data, or the file cannot be written.
    """
    source = manifest(results)
    if report is not None:
        _check_report(report, source)
    if not results.read.studies:
        raise UserError(
            "only whole results can be exported: those of one version, or a part, have lost their studies"
        )
    folders = _folders(results)
    contents = dict(_contents(results, folders))
    contents["environment.txt"] = _environment().encode()
    commit = source["commit"]
    title = " + ".join(study.name for study in results.studies)
    made = {"title": title, "runs": len(results.runs), "commit": (commit or "unknown").removesuffix("-dirty")}
    contents["README.md"] = _README.format(**made, python=platform.python_version()).encode()
    if report is not None:
        files = [path for path in sorted(report.rglob("*")) if path.is_file()]
        contents |= {f"report/{path.relative_to(report).as_posix()}": path.read_bytes() for path in files}
    index: dict[str, Any] = {"schema": SCHEMA, "studies": source["studies"], "versions": source["versions"]}
    index |= {"commit": made["commit"], "dirty": None if commit is None else commit.endswith("-dirty")}
    index["files"] = {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)}
    index["sha256"] = index_digest(index)
    contents[INDEX] = (json.dumps(index, indent=1) + "\n").encode()
    _write(file, contents)
    return str(index["sha256"])


def index_digest(index: Mapping[str, Any]) -> str:
    """SHA-256 of what bundle.json says, but for itself."""
    rest = {name: value for name, value in index.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _check_report(report: Path, source: Mapping[str, Any]) -> None:
    try:
        made = json.loads((report / MANIFEST).read_text(encoding="utf-8"))
        same = made["runs_sha256"] == source["runs_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{report} holds no report to export; make it with wm report") from None
    if not same:
        raise UserError(f"{report} was made from other data than these; make the report again: wm report")


def _folders(results: Results) -> dict[Path, str]:
    """What the directory of each study, and of each that runs are read from in place, is called in the bundle."""
    names = {study.path: study.name for study in results.read.studies}
    for path in results.read.facts:
        home = path.parent.parent
        if home not in names:
            taken, name = set(names.values()), home.name
            while name in taken:
                name += "-2"
            names[home] = name
    return names


def _contents(results: Results, folders: Mapping[Path, str]) -> Iterator[tuple[str, bytes]]:
    def called(path: Path) -> str:
        return f"{folders[path.parent.parent]}/runs/{path.name}"

    studies = [_study(study, folders, called) for study in results.read.studies]
    yield STUDIES, _json(studies)
    used = {run.id: called(run.path) for study in results.studies for run in study.runs}
    directories = {
        called(path): {"facts": _without_nan(facts), "begun": _begun(path)}
        for path, facts in results.read.facts.items()
    }
    yield RUNS, _json({"used": used, "directories": directories})
    for study in results.read.studies:
        yield from ((f"studies/{study.name}/{name}", content) for name, content in _files(study))
    for name in FRAMES.values():
        yield f"frames/{name}.parquet", _parquet(getattr(results, name))
    yield "frames/runs.parquet", _parquet(results.runs.drop(columns="path"))
    for (run, dataset), pictures in sorted(results.pictures.opened.items()):
        if pictures is not None and run in used:
            yield f"forecasts/{used[run]}/{dataset}.npz", _npz(part_of(pictures))


def _study(study: Study, folders: Mapping[Path, str], called: Any) -> dict[str, Any]:
    runs = [
        {"id": run.id, "design": run.design, "task": run.task, "seed": run.seed, "config": run.config}
        | {"reused_from": run.reused_from, "directory": called(run.path)}
        for run in study.runs
    ]
    content = {
        "folder": folders[study.path],
        "digests": study.digests,
        "spec": study.spec.model_dump(mode="json", exclude_none=True),
    }
    return content | {"notes": list(study.notes), "defined": sorted(study.defined), "runs": runs}


def _files(study: Study) -> Iterator[tuple[str, bytes]]:
    """What a study's directory says of itself, as far as a report reads it."""
    for name in ("study.yaml", PLAN):
        if (study.path / name).is_file():
            yield name, (study.path / name).read_bytes()
    history = study.path / "history"
    for pattern in _HISTORY:
        for path in sorted(history.glob(pattern)):
            yield f"history/{path.name}", path.read_bytes()
    for path in sorted(history.glob("*/attempts.jsonl")):
        begun = _begun(path.parent)
        if begun is not None:
            yield f"history/{path.parent.name}/attempts.jsonl", start_line(begun)


def start_line(begun: float) -> bytes:
    """attempts.jsonl of a run that began then; what else it says of the machine stays at home."""
    return json.dumps({"event": "start", "time": begun}).encode() + b"\n"


def _begun(path: Path) -> float | None:
    """When a run's first attempt began, in unix seconds."""
    try:
        starts = (line for line in read_jsonl(RunDir(path).attempts) if line.get("event") == "start")
        return next((float(line["time"]) for line in starts), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _without_nan(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {n: None if isinstance(v, float) and math.isnan(v) else v for n, v in facts.items()}


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=None, allow_nan=False) + "\n").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()


def _npz(arrays: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # without times
    return file.getvalue()


def _environment() -> str:
    """The packages that are installed, as pip reads them."""
    found = {each.name: each.version for each in importlib.metadata.distributions() if each.name}
    lines = [f"{name}=={found[name]}" for name in sorted(found, key=str.lower)]
    return "\n".join(
        [f"# Python {platform.python_version()}, {platform.system()} {platform.machine()}", *lines, ""]
    )


def _write(file: Path, contents: Mapping[str, bytes]) -> None:
    """A zip without times, its files in alphabetical order."""
    side = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(side, "w") as opened:
            for name in sorted(contents):
                info = zipfile.ZipInfo(name)  # its date is 1980
                info.create_system, info.external_attr = 3, 0o644 << 16
                packed = PurePosixPath(name).suffix in _PACKED
                info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
                opened.writestr(info, contents[name], compresslevel=6)
        side.replace(file)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            side.unlink(missing_ok=True)
