"""A user's profile: what a cluster needs to be told, so that no study file holds a cluster's names.

::

    executor: slurm                       # what wm submit uses where --executor is not given
    resources:                            # as in a study; the study's own words win
      default: {partition: gpu, account: me}
      rules: [{where: {size: large}, constraint: a100}]
    follow_up: {partition: cpu}           # of the job that looks after a submission; false: there is none
    policies: {host-memory: {retries: 3}} # over those of studies.cluster.policy
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from harness.errors import FailureKind, UserError
from harness.registry import suggest
from studies.cluster.clusters import EXECUTORS
from studies.cluster.policy import POLICIES, Policy
from studies.language.axes import is_mapping
from studies.language.build import exploded
from studies.language.document import Node, parse_yaml, read_text
from studies.language.fields import FieldSpec, listed, table
from studies.language.match import Grants
from studies.language.problems import Problems, StudyError
from studies.language.resources import read_grants, read_resources
from studies.language.study import Fields, Known

KEYS = ("resources", "follow_up", "policies", "executor")
KINDS: tuple[str, ...] = tuple(kind for kind in get_args(FailureKind) if kind != "diverged")
"""The kinds of failure that a policy can be about."""
_PREFIX = "resources."


class _PolicyFields(BaseModel):
    """The types of a policy's fields, as messages need them."""

    model_config = ConfigDict(strict=True)

    retries: int | None = Field(0, ge=0)
    memory: float = Field(1.0, ge=1)
    hours: float = Field(1.0, ge=1)
    alone: bool = False
    elsewhere: bool = False


@dataclass(frozen=True)
class Profile:
    """What a user said once for all studies.

    Attributes:
        source: the file, None if there is none.
        follow_up: fields of `ResourcesConfig` for the job that looks after a submission; False: no such job.
        policies: by kind of failure, the built-in ones included.
        executor: what to use where the command line does not say; None: to be found out.
    """

    source: Path | None = None
    rules: Grants = field(default_factory=lambda: Grants({}, []))
    follow_up: Mapping[str, Any] | Literal[False] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=lambda: POLICIES)
    executor: str | None = None

    def grants(self, config: dict[str, Any]) -> dict[str, Any]:
        """Fields of `ResourcesConfig` for a run, by name.

        Args:
            config: of the run, as its plan holds it.
        """
        fields = self.rules(_flat(config) if self.rules.rules else {})
        return {name.removeprefix(_PREFIX): value for name, value in fields.items()}


def load_profile(name: str | None = None) -> Profile:
    """A profile: NAME.yaml of the user's configuration folder, else the file $WM_PROFILE, else profile.yaml there.

    Raises:
        UserError: the one that is asked for does not exist; lists those that do.
        StudyError: with every problem of the file.
    """
    folder = profile_folder()
    given = os.environ.get("WM_PROFILE", "")
    if name is not None:
        file = folder / f"{name}.yaml"
        if not file.is_file():
            raise UserError(_missing(name, folder))
    elif given:
        file = Path(os.path.expanduser(given))  # noqa: PTH111 - Path's raises where there is no home
        if not file.is_file():
            raise UserError(f"$WM_PROFILE is {given}, and there is no such file")
    else:
        file = folder / "profile.yaml"
        if not file.is_file():
            return Profile()
    return read_profile(file)


def profile_folder() -> Path:
    """Where profiles are: $XDG_CONFIG_HOME/wm, else ~/.config/wm."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # noqa: PTH117 - the standard ignores relative ones
        base = os.path.expanduser("~/.config")  # noqa: PTH111 - as above
    return Path(base) / "wm"


def read_profile(file: Path) -> Profile:
    """The profile of a file.

    Raises:
        StudyError: with every problem of the file.
    """
    text = read_text(file)
    if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
        return Profile(file)
    problems = Problems()
    root = parse_yaml(text, str(file), problems)
    if root is None or not is_mapping(root, "", problems):
        raise StudyError(problems.found)
    profile = _read(root, file, problems)
    problems.raise_any()
    return profile


def _missing(name: str, folder: Path) -> str:
    have = sorted(file.stem for file in folder.glob("*.yaml"))
    if have:
        return f"no profile {name} in {folder}{suggest(name, have)}; there are {', '.join(have)}"
    return f"no profile {name}: {folder} holds none (write {folder / f'{name}.yaml'})"


def _read(root: Node, file: Path, problems: Problems) -> Profile:
    assert isinstance(root.value, dict)
    for key, mark in root.keys.items():
        if key not in KEYS:
            hint = suggest(key, KEYS) or f"; there are {', '.join(KEYS)}"
            problems.add(mark, key, f"unknown key{hint}")
    entries = {key: node for key, node in root.value.items() if node.value is not None}
    block = read_resources(entries.get("resources"), Known(complete=False), problems)
    for fields in (block.default, *(rule.fields for rule in block.rules)):
        _refuse_what_studies_say(fields, problems)
    return Profile(
        source=file,
        rules=Grants(block.default, block.rules),
        follow_up=_follow_up(entries.get("follow_up"), problems),
        policies=_policies(entries.get("policies"), problems),
        executor=_executor(entries.get("executor"), problems),
    )


def _refuse_what_studies_say(fields: Fields, problems: Problems) -> None:
    """A study always has a number of GPUs and cores, which wins: a profile's would be ignored."""
    for name in ("gpus", "cpus"):
        if found := fields.get(f"{_PREFIX}{name}"):
            message = f"{name} are what a study says (its resources): a profile's would never count"
            problems.add(found.mark, found.path, message)


def _follow_up(node: Node | None, problems: Problems) -> Mapping[str, Any] | Literal[False]:
    if node is None:
        return {}
    if node.value is False:
        return False
    if not isinstance(node.value, dict):
        message = f"must be a mapping of resources, or false for no such job, not {node.describe()}"
        problems.add(node.mark, "follow_up", message)
        return {}
    fields = read_grants(node, "follow_up", problems)
    return {name.removeprefix(_PREFIX): located.value for name, located in fields.items()}


def _policies(node: Node | None, problems: Problems) -> Mapping[str, Policy]:
    result = dict(POLICIES)
    if node is None or not is_mapping(node, "policies", problems):
        return result
    assert isinstance(node.value, dict)
    for kind, inner in node.value.items():
        path = f"policies.{kind}"
        if kind == "diverged":
            problems.add(node.keys[kind], path, "diverged is a result: it is never tried again")
        elif kind not in KINDS:
            hint = suggest(kind, KINDS) or f"; there are {', '.join(KINDS)}"
            problems.add(node.keys[kind], path, f"unknown kind of failure{hint}")
        elif inner.value is not None and is_mapping(inner, path, problems):
            policy = result.get(kind, Policy())
            result[kind] = replace(policy, **_policy_fields(inner, path, problems))
    return result


def _policy_fields(node: Node, path: str, problems: Problems) -> dict[str, Any]:
    assert isinstance(node.value, dict)
    known = asdict(Policy())
    fields = {}
    for name, inner in node.value.items():
        where = f"{path}.{name}"
        if name not in known:
            hint = suggest(name, known) or f"; there are {', '.join(known)}"
            problems.add(node.keys[name], where, f"unknown field of a policy{hint}")
            continue
        info = _PolicyFields.model_fields[name]
        try:
            fields[name] = FieldSpec(name, info, info.annotation).check(inner.plain())
        except ValueError as error:
            problems.add(inner.mark, where, str(error))
    return fields


def _executor(node: Node | None, problems: Problems) -> str | None:
    if node is None:
        return None
    if isinstance(node.value, str) and node.value in EXECUTORS:
        return node.value
    near = suggest(node.value, EXECUTORS) if isinstance(node.value, str) else ""
    problems.add(node.mark, "executor", f"must be {listed(EXECUTORS)}, not {node.describe()}{near}")
    return None


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration of a plan by dotted names, as conditions take it."""
    fields: dict[str, Any] = {}
    for name in table():
        section, dot, rest = name.partition(".")
        owner = config.get(section) if dot else config
        key = rest or name
        if isinstance(owner, dict) and key in owner:
            fields[name] = owner[key]
    if config.get("design") is not None:
        fields["design"] = config["design"]
    return exploded(fields)
