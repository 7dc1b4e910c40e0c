"""A dataset from npz episodes that were made elsewhere; every file is checked before anything is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.config.sections import EnvConfig
from harness.datasets.fixed import Dataset, build, read_manifest
from harness.datasets.holdout import episode_key, part_by_key
from harness.datasets.parts import Label
from harness.disk import full_disk_remedy
from harness.episodes import Episode, load_npz, spec_problems
from harness.errors import RunError, UserError
from harness.tasks.spec import Task


def import_npz(
    paths: Sequence[Path],
    destination: Path,
    task: Task,
    env: EnvConfig | None = None,
    *,
    name: str | None = None,
    heldout: float = 0.0,
    heldout_seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> Dataset:
    """Makes a dataset of npz episodes from elsewhere.

    Args:
        paths: the files, in the order of the dataset.
        destination: where it goes; a dataset of the same files and settings that is there already is given back.
        task: whose episodes they are.
        env: as the task is configured; noted in the recipe.
        name: of the task in configurations, if it is not that of its spec.
        heldout: the probability that an episode is held out, 0 to 1; see `part_by_key`.
        heldout_seed: decides which.
        step: called after each file is checked, and again after it is copied.

    Raises:
        UserError: files that are no episodes of the task; one message lists every problem of every file. Or there is
            another dataset.
        RunError: kind ``disk``.
    """
    found: list[str] = [] if paths else ["no files were given"]
    known_as = name or task.spec.name
    digests: dict[str, Path] = {}
    keys: list[str] = []
    for path in paths:
        problems, digest, key = _problems(path, task, known_as)
        keys.append(key)
        if digest and digest in digests:
            problems.append(f"the same file as {digests[digest]}")
        digests.setdefault(digest, path)
        found += [f"{path}: {problem}" for problem in problems]
        step()
    if found:
        raise UserError(f"cannot import for {task.spec.name}:\n  " + "\n  ".join(found))
    recipe = {
        "kind": "import",
        "task": known_as,
        "task_version": task.version,
        **({"env": env.model_dump(mode="json")} if env else {}),
        "action_repeat": task.spec.action_repeat,
        "heldout": heldout,
        "heldout_seed": heldout_seed,
        "sources": [{"name": path.name, "sha256": digest} for digest, path in digests.items()],
    }
    if destination.exists():
        _refuse_another(destination, recipe)
    labels = [
        Label(part_by_key(key, heldout, heldout_seed), {"file": path.name, "key": key})
        for path, key in zip(paths, keys, strict=True)
    ]
    with full_disk_remedy("Free space (or raise the quota), and call it again; nothing is left behind."):
        return build(destination, _loaded(paths, step), recipe, labels)


def _refuse_another(destination: Path, recipe: dict[str, Any]) -> None:
    there = read_manifest(destination)["recipe"]
    now = json.loads(json.dumps(recipe))
    differing = [name for name in now | there if now.get(name) != there.get(name)]
    if differing:
        what = "of other files" if differing == ["sources"] else f"with another {', '.join(differing)}"
        raise UserError(
            f"{destination} exists and was made {what}. A dataset never changes, since runs refer to it: take another "
            "name, or remove that directory if no run needs it"
        )


def _loaded(paths: Sequence[Path], step: Callable[[], None]) -> Iterator[Episode]:
    for path in paths:
        yield load_npz(path)
        step()


def _problems(path: Path, task: Task, name: str) -> tuple[list[str], str, str]:
    """What is wrong with a file; and of one that is an episode, the digest and the key."""
    if path.is_dir():
        return [f"is a folder; name its files: {path / '*.npz'}"], "", ""
    try:
        episode = load_npz(path)
        problems = spec_problems(episode, task.spec)
        first = None if episode.state is None else episode.state[0]
        key = episode_key(name, task.spec.action_repeat, episode.action, episode.reward, first)
        return problems, hashlib.sha256(path.read_bytes()).hexdigest(), key
    except UserError as error:
        return [str(error).removeprefix(f"{path}: ")], "", ""
    except RunError as error:
        return [str(error).removeprefix(f"{path}: ").removesuffix(error.remedy).strip()], "", ""
