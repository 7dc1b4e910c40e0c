"""Ids: frozen for ever for what exists, and made by what matters alone."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from harness.config import Category, RunConfig, run_hex, run_id, semantic_fields
from harness.config.fields import category_of, walk
from harness.config.run import AXES

GOLDEN = json.loads(Path(__file__).with_name("golden_ids.json").read_text())
BASE = {"task": "dmc/cartpole-balance", "predict": "images", "space": "latent", "dynamics": "stochastic"}


def configured(**fields):
    """The base configuration with fields by dotted name."""
    tree = dict(BASE) if "agent" not in fields else {"task": BASE["task"]}
    for name, value in fields.items():
        section, dot, field = name.partition(".")
        tree |= {section: tree.get(section, {}) | {field: value}} if dot else {section: value}
    return RunConfig.model_validate(tree)


@pytest.mark.parametrize("row", GOLDEN, ids=[row["what"] for row in GOLDEN])
def test_the_golden_table(row):
    """A row that fails means that runs on disk would be orphaned: give the new field a neutral value instead."""
    assert run_id(RunConfig.model_validate(row["config"])) == row["id"]


def test_no_two_rows_share_a_hash_unless_they_differ_in_name_alone():
    same = [row["what"] for row in GOLDEN if row["id"].endswith("eafc6e8ba730")]
    assert same == ["the defaults of a design", "a named design"]
    assert len({row["id"][-12:] for row in GOLDEN}) == len(GOLDEN) - 1


OWN = "harness.tasks.toy:PointMass"  # any class with an integer version

OTHER = {
    "env.image_size": 32, "env.action_repeat": 3, "env.time_limit": 99, "env.camera": 1, "env.shadow_size": 512,
    "env.antialiasing": 0, "planner.name": OWN, "planner.options": {"a": 1}, "planner.horizon": 3,
    "planner.iterations": 5, "planner.proposals": 7, "planner.elite_fraction": 0.5, "planner.action": "best",
    "planner.std_floor": 0.2, "planner.particles": 2, "planner.discount": 0.9,
    "agent": "random", "task": "dmc/walker-walk", "seed": 5, "predict": "rewards", "space": "pixel",
    "dynamics": "deterministic", "reward_from": "image", "reward_gradient": "stopped", "image_fraction": 0.5,
    "size": "tiny", "train.precision": "bfloat16", "model.name": OWN, "model.options": {"a": 1},
    "model.widths": {"units": 3}, "model.variant": "window", "env.sticky": 0.5, "evaluation.probe_oracle": False,
    "planner.elites": 7, "planner.shrink": 1.5,
    "planner.covariance": "full", "planner.refit": "weighted", "planner.warm_start": True,
    "planner.objective": "random", "exploration.epsilon": 0.5, "exploration.noise_exponent": 1.0,
    "oracle.warm_start": False, "oracle.action": "mean",
    "data.mode": "offline", "data.dataset": "another", "data.digest": "0123",
}  # fmt: skip
"""Another value of semantic fields; of those not named here, a number that differs from the neutral one."""


def other_value(name, field):
    if name in OTHER:
        return OTHER[name]
    if name.startswith("oracle.") and name.replace("oracle", "planner") in OTHER:
        return OTHER[name.replace("oracle", "planner")]
    neutral = field.json_schema_extra["neutral"]
    return type(neutral)(neutral + 1) if isinstance(neutral, int) else neutral / 2


PIXELS = {"predict": "rewards", "space": "pixel", "dynamics": "deterministic"}
BASELINE = PIXELS | {"model.variant": "actions"}
SEPARATE = {"space": "pixel", "reward_gradient": "separate"}
OFFLINE = {"data.mode": "offline", "data.dataset": "some"}
CONTEXTS = {
    "space": ([{"predict": "rewards"}], []),  # another model
    "model.scheduled_sampling": ([{"space": "pixel"}], [{}]),
    "model.dropout": (
        [PIXELS, PIXELS | {"model.variant": "feedforward"}, SEPARATE],
        [{}, {"space": "pixel"}, {"predict": "rewards"}, BASELINE, PIXELS | {"model.name": OWN}],
    ),
    "data.dataset": ([OFFLINE], [OFFLINE | {"data.digest": "abc"}]),
    "data.digest": ([OFFLINE], []),
    "env.sticky": ([{"task": "atari/Pong"}, {"task": OWN}], [{}, {"task": "gym/CartPole-v1"}]),
    "env.camera": ([{}], [{"task": "atari/Pong"}]),
} | {
    f"exploration.{name}": ([{}], [OFFLINE]) for name in ("cold_start", "noise", "noise_exponent", "epsilon")
}
"""By field: configurations that use it, and some that do not. Fields not named here are used by `configured()`."""
for _section in ("planner", "oracle"):
    for _name, _planner in {
        "options": OWN, "noise_exponent": "icem", "shrink": "icem", "kept_elites": "icem",
        "reward_weight": "mppi", "smoothing": "mppi",
    }.items():  # fmt: skip
        CONTEXTS[f"{_section}.{_name}"] = ([{f"{_section}.name": _planner}], [{}])

SEMANTIC = [(name, field) for name, field in walk(RunConfig) if category_of(field) is Category.SEMANTIC]
REST = [(name, field) for name, field in walk(RunConfig) if category_of(field) is not Category.SEMANTIC]


@pytest.mark.parametrize(("name", "field"), SEMANTIC, ids=[name for name, _ in SEMANTIC])
def test_a_semantic_change_makes_another_id(name, field):
    value = other_value(name, field)
    if name == "agent":
        assert run_hex(RunConfig(agent="random", task=BASE["task"])) != run_hex(configured())
        return
    if name == "data.mode":
        assert run_hex(configured(**OFFLINE)) != run_hex(configured())
        return
    used, unused = CONTEXTS.get(name, ([{}], []))
    if name == "oracle.particles":  # the simulator has one future
        used, unused = [], [{}]
    if name.startswith("oracle."):
        unused = [{}, *({"agent": "oracle", **one} for one in unused)]
        used = [{"agent": "oracle", **one} for one in used]
    for where in used:
        assert run_hex(configured(**where | {name: value})) != run_hex(configured(**where)), where
    for where in unused:
        assert run_hex(configured(**where | {name: value})) == run_hex(configured(**where)), where


@pytest.mark.parametrize(("name", "field"), REST, ids=[name for name, _ in REST])
def test_no_other_change_does(name, field):
    other = {
        "design": "mine", "runtime.device": "cpu", "runtime.threads": 3, "storage.training_frames": "all",
        "storage.checkpoint": "full", "runtime.oracle_processes": 3, "resources.srun": False,
    }  # fmt: skip
    value = field.default
    if value is None and name not in other:
        other[name] = 3 if re.search("int|float", str(field.annotation)) else "x"
    changed = not value if isinstance(value, bool) else other[name] if name in other else value + 1
    assert changed != value
    assert run_hex(configured(**{name: changed})) == run_hex(configured())


@pytest.mark.parametrize(("name", "field"), SEMANTIC, ids=[name for name, _ in SEMANTIC])
def test_a_field_at_its_neutral_value_is_not_part_of_the_id(name, field):
    """So that a new field orphans nothing, whatever its default is."""
    if "neutral" not in field.json_schema_extra:
        assert name in {"agent", "task", "seed"}
        return
    neutral = field.json_schema_extra["neutral"]
    changed = configured() if neutral is None and name in AXES[:3] else configured(**{name: neutral})
    assert name not in semantic_fields(changed) or neutral is None


def test_what_the_random_agent_does_not_use_does_not_matter():
    def agent(**more):
        return run_hex(RunConfig.model_validate({"agent": "random", "task": "toy/point-mass", **more}))

    assert agent() == agent(train={"episodes": 9}, planner={"horizon": 2}, model={"context": 3})
    assert agent() != agent(env={"image_size": 32})
    assert agent() != agent(evaluation={"final_episodes": 3})


def test_the_slug_is_a_plain_folder_name_whatever_the_names_are():
    config = configured(design="a/b ../c*" + "x" * 200)
    name = run_id(config)
    assert name == Path(name).name
    assert not name.startswith((".", "-"))
    assert len(name) <= 93
    assert name.endswith(run_hex(config))


def test_a_probe_with_the_oracle_is_another_one_when_its_planner_changes(monkeypatch):
    from harness import registry

    mppi, without = {"planner.name": "mppi"}, {"evaluation.probe_oracle": False}
    before = run_hex(configured(**mppi)), run_hex(configured(**mppi, **without))
    newer = dataclasses.replace(registry.PLANNERS["cem"], version=registry.PLANNERS["cem"].version + 1)
    monkeypatch.setitem(registry.PLANNERS, "cem", newer)
    assert run_hex(configured(**mppi)) != before[0]
    assert run_hex(configured(**mppi, **without)) == before[1]
