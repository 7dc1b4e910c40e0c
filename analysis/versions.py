"""Several versions of a study in one report: the same runs, made by different code, in different directories."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.study import PlannedRun, Study
from analysis.words import plural
from harness.config import RunConfig, semantic_fields

_SHORT = 8  # digits of a commit
SEVERAL = "the same runs were made by several versions"
"""Begins the note that claims are tested on one version alone."""
Facts = Mapping[Path, Mapping[str, Any]]
"""Of every run directory, with `state`, `code` and `commit`."""


@dataclass(frozen=True)
class Keyed:
    """Studies whose runs have names of their own.

    Attributes:
        studies: as given, the ids of their runs unique.
        runs: every run once, in the order of the studies.
        of_run: the version of each run by id; empty where there is one alone.
        versions: their names, in order; empty likewise.
        notes: which runs were made twice.
    """

    studies: tuple[Study, ...]
    runs: tuple[PlannedRun, ...]
    of_run: Mapping[str, str]
    versions: tuple[str, ...]
    notes: tuple[str, ...]


def configured(config: RunConfig | None, run: str) -> str:
    """What runs that are configured alike have in common, by whatever version of the code: 12 hex digits.

    Args:
        config: None where it is not of this version of wm.
        run: the id, which says it then.
    """
    fields = semantic_fields(config) if config is not None else run
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()[:12]


def base(run: str) -> str:
    """The id of a run without its version."""
    return run.partition("@")[0]


def named_apart(studies: Sequence[Study]) -> list[Study]:
    """Studies of one name in several places are called by as much of their paths as tells them apart."""
    found = []
    names = Counter(study.path.name for study in studies)
    for study in studies:
        label = study.path.name
        if names[label] > 1:
            others = [each.path.parts for each in studies if each.path != study.path]
            depth = 1
            while any(parts[-depth:] == study.path.parts[-depth:] for parts in others):
                depth += 1
            label = "/".join(study.path.parts[-depth:])
        runs = tuple(replace(run, study=label) for run in study.runs)
        found.append(replace(study, label=label, runs=runs))
    return found


def keyed(studies: Sequence[Study], facts: Facts, alike: Mapping[str, str]) -> Keyed:
    """Tells versions of runs apart, and has every run once.

    Runs of a model that are configured alike, in different directories, are different versions where their code
    differs, or where they are of a study of the same name. Others were made twice: the first that is done is used.

    Args:
        studies: as `named_apart` leaves them.
        facts: of every run directory.
        alike: what runs that are configured alike have in common, by id.
    """
    real = {path: os.path.realpath(path) for path in facts}
    of_study = _groups(studies, facts, real, alike)
    several = max(of_study, default=0) > 0
    names = _names(studies, of_study, facts, real) if several else [""]
    made: dict[str, dict[int, list[PlannedRun]]] = defaultdict(lambda: defaultdict(list))
    for study, version in zip(studies, of_study, strict=True):
        for run in study.runs:
            here = made[alike[run.id]][version]
            if real[run.path] not in {real[each.path] for each in here}:
                here.append(run)
    used: dict[str, PlannedRun] = {}
    of_run: dict[str, str] = {}
    ids: dict[tuple[str, int], str] = {}
    for configured, found in made.items():
        chosen = {version: _used(runs, facts) for version, runs in found.items()}
        owners = {real[run.path]: version for version, run in reversed(chosen.items())}
        for version, run in chosen.items():
            owner = names[owners[real[run.path]]]
            name = f"{run.id}@{owner}" if len(owners) > 1 else run.id
            used.setdefault(name, replace(run, id=name))
            of_run.setdefault(name, owner)
            ids[configured, version] = name
    changed = tuple(
        replace(
            study, version=names[version], runs=tuple(used[ids[alike[run.id], version]] for run in study.runs)
        )
        for study, version in zip(studies, of_study, strict=True)
    )
    ordered = tuple({run.id: run for study in changed for run in study.runs}.values())
    repeated = sum(any(len(runs) > 1 for runs in found.values()) for found in made.values())
    if not several:
        return Keyed(changed, ordered, {}, (), _notes(repeated, names))
    return Keyed(changed, ordered, of_run, tuple(names), _notes(repeated, names))


def _used(runs: Sequence[PlannedRun], facts: Facts) -> PlannedRun:
    """Of a run that was made several times the first that is done."""
    return next((run for run in runs if facts[run.path]["state"] == "done"), runs[0])


def _notes(repeated: int, names: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if repeated:
        notes.append(
            f"{plural(repeated, 'run')} made in several studies by the same code: the first that is done is used"
        )
    if len(names) > 1:
        notes.append(
            f"{SEVERAL}, {', '.join(names)}: claims are tested on {names[0]} alone; "
            "name another study first to test them on it"
        )
    return tuple(notes)


def _groups(
    studies: Sequence[Study], facts: Facts, real: Mapping[Path, str], alike: Mapping[str, str]
) -> list[int]:
    """Which version each study belongs to, from 0."""
    members: list[dict[str, list[PlannedRun]]] = []
    found: list[int] = []
    for study in studies:
        models = [run for run in study.runs if run.config.get("agent", "model") == "model"]
        version = 0
        while version < len(members) and any(
            _differ(run, other, facts, real)
            for run in models
            for other in members[version].get(alike[run.id], ())
        ):
            version += 1
        if version == len(members):
            members.append(defaultdict(list))
        for run in models:
            members[version][alike[run.id]].append(run)
        found.append(version)
    return found


def _differ(run: PlannedRun, other: PlannedRun, facts: Facts, real: Mapping[Path, str]) -> bool:
    """Whether two runs that are configured alike are different versions."""
    if real[run.path] == real[other.path]:
        return False
    if run.id.rpartition("-")[2] != other.id.rpartition("-")[2]:
        return True  # versions of components are part of the id
    codes = {facts[each.path].get("code") for each in (run, other)} - {None}
    return len(codes) > 1 or run.path.parent.parent.name == other.path.parent.parent.name


def _names(
    studies: Sequence[Study], of_study: Sequence[int], facts: Facts, real: Mapping[Path, str]
) -> list[str]:
    """What versions are called: by the commits of their own runs, else by their code, else by their studies."""
    members: list[list[Study]] = [[] for _ in range(max(of_study) + 1)]
    for study, version in zip(studies, of_study, strict=True):
        members[version].append(study)
    before: set[str] = set()
    own: list[list[Path]] = []
    for some in members:
        paths = [run.path for study in some for run in study.runs]
        own.append([path for path in paths if real[path] not in before])
        before |= {real[path] for path in paths}
    for name in ("commit", "code"):
        values = [{str(facts[path][name]) for path in paths if facts[path].get(name)} for paths in own]
        short = [value.pop()[:_SHORT] for value in values if len(value) == 1]
        if len(set(short)) == len(members):
            return short
    return ["+".join(study.name for study in some) for some in members]
