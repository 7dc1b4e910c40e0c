"""Cells: (grid x every zip block) - exclude + include, and which layer wins."""

from __future__ import annotations

import contextlib
import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import run_id
from studies.language import StudyError, expand, load_config, parse_study
from studies.language.names import CANONICAL

SOME = ["images-latent-stochastic", "images-latent-deterministic", "rewards-latent-stochastic",
        "rewards-latent-deterministic", "rewards-pixel-deterministic"]  # fmt: skip


def cells(text, *overrides):
    """The configurations of a study."""
    return [cell.config for cell in expand(parse_study(text, "s.yaml", overrides)).cells]


def one(text, *overrides):
    """The configuration of a study of one run."""
    (config,) = cells(text, *overrides)
    return config


def study(**keys):
    """A study text; JSON is YAML."""
    import json

    return json.dumps({"name": "s", "grid": {"design": SOME[0], "task": "toy/point-mass"}} | keys)


def test_the_study_of_the_design_document_is_read_whole():
    text = """
name: online
base:
  train: {episodes: 1000, updates_per_episode: 100}
designs:
  rewnet: {predict: images, space: latent, dynamics: stochastic, reward_from: image, reward_gradient: stopped}
factorial:
  - axes: {predict: [images, rewards], space: [latent, pixel], dynamics: [deterministic, stochastic]}
    name: "{predict}-{space}-{dynamics}"
grid:
  design: "*"
  task: [dmc/cheetah-run, dmc/walker-walk]
  seed: range(5)
zip: [{planner.horizon: [6, 12], planner.proposals: [500, 1000]}]
exclude: [{design: "*-pixel-*", task: dmc/walker-walk}]
include: [{agent: [random], task: [dmc/cheetah-run, dmc/walker-walk], seed: range(5)}]
resources:
  default: {gpus: 1, cpus: 4, memory_gb: 24, hours: 24}
  rules: [{where: {space: pixel}, hours: 72, runs_per_gpu: 1}]
report: {final_window: 0.1, claims: {H2: {margin: 0.05}}}
"""
    result = expand(parse_study(text, "s.yaml"))
    configs = [cell.config for cell in result.cells]
    # 9 designs x 2 tasks x 5 seeds x 2 budgets, less 4 pixel designs on one task, and the random agent
    assert len(configs) == 180 - 40 + 10
    assert len(result.dropped) == 40
    assert {drop.reason for drop in result.dropped} == {"excluded by exclude[0] (line 15)"}
    assert {config.label for config in configs} == {*CANONICAL, "rewnet", "random"}
    assert {(c.planner.horizon, c.planner.proposals) for c in configs if c.agent == "model"} == {
        (6, 500),
        (12, 1000),
    }
    assert {config.resources.hours for config in configs if config.space == "pixel"} == {72}
    assert {config.resources.hours for config in configs if config.space != "pixel"} == {24}
    assert all(config.resources.gpus == 1 for config in configs)


def test_the_eight_names_are_known():
    assert len(CANONICAL) == 8
    for name in CANONICAL:
        config = one(study(grid={"design": name, "task": "toy/point-mass"}))
        assert f"{config.predict}-{config.space}-{config.dynamics}" == name == config.label


def test_a_scalar_is_a_list_of_one_and_ranges_are_half_open():
    grid = {"design": SOME[0], "task": "toy/point-mass", "seed": "range(2, 5)", "train.batch": 7}
    assert [(c.seed, c.train.batch) for c in cells(study(grid=grid))] == [(2, 7), (3, 7), (4, 7)]
    grid["seed"] = [9, "range(2)"]
    assert [c.seed for c in cells(study(grid=grid))] == [9, 0, 1]


def test_globs_reach_written_designs_and_all_tasks():
    designs = {
        name: {"predict": "rewards", "space": "latent", "dynamics": "stochastic"}
        for name in ("a1", "a2", "b")
    }
    text = study(designs=designs, grid={"design": ["a*", "a1"], "task": "dmc/cartpole-*"})
    found = {(c.design, c.task) for c in cells(text)}
    assert {design for design, _ in found} == {"a1", "a2"}
    assert {"dmc/cartpole-balance", "dmc/cartpole-swingup"} <= {task for _, task in found}
    assert len(found) == len(cells(text))


def test_nested_and_dotted_names_are_the_same():
    nested = study(
        base={"train": {"episodes": 7}, "model": {"widths": {"units": 8}}, "exploration": {"cold_start": 1}}
    )
    dotted = study(base={"train.episodes": 7, "model.widths.units": 8, "exploration.cold_start": 1})
    assert one(nested) == one(dotted)


def test_mappings_merge_entry_by_entry():
    grid = {"design": SOME[0], "task": "toy/point-mass", "model.widths": [{}, {"units": 9}]}
    text = study(base={"model.widths": {"units": 8, "stochastic": 4}}, grid=grid)
    assert [c.model.widths for c in cells(text)] == [
        {"units": 8, "stochastic": 4},
        {"units": 9, "stochastic": 4},
    ]


def test_precedence_is_base_design_cell_overrides_command_line():
    design = {"predict": "rewards", "space": "latent", "dynamics": "stochastic"}
    layers = [
        ({"base": {"train.batch": 1}}, [], 1),
        ({"designs": {"d": design | {"train.batch": 2}}}, [], 2),
        ({"zip": [{"train.batch": [3]}]}, [], 3),
        ({"overrides": {"train.batch": 4}}, [], 4),
        ({}, ["train.batch=5"], 5),
    ]
    keys = {"designs": {"d": design}, "grid": {"design": "d", "task": "toy/point-mass"}}
    given_ = []
    for more, overrides, expected in layers:
        keys |= more
        given_ += overrides
        assert one(study(**keys), *given_).train.batch == expected


def test_an_override_has_the_type_of_its_field():
    config = one(study(), "train.learning_rate=1e-4", "storage.tensorboard=true", "model.widths={units: 5}")
    assert (config.train.learning_rate, config.storage.tensorboard) == (1e-4, True)
    assert config.model.widths == {"units": 5}


def test_a_known_name_may_be_written_with_more_fields():
    text = study(designs={SOME[0]: {"size": "tiny"}}, grid={"design": "*", "task": "toy/point-mass"})
    assert (one(text).size, one(text).dynamics) == ("tiny", "stochastic")


def test_agents_without_a_model_take_no_axes_of_base():
    config = one(study(base={"size": "tiny"}, grid={"agent": "random", "task": "toy/point-mass"}))
    assert (config.agent, config.size, config.design, config.label) == ("random", None, None, "random")


def test_an_axis_of_agents_crosses_designs_and_makes_equal_runs():
    grid = {"agent": ["model", "random"], "design": SOME[:2], "task": "toy/point-mass"}
    configs = cells(study(grid=grid))
    assert [c.label for c in configs] == [*SOME[:2], "random", "random"]
    assert len({run_id(c) for c in configs}) == 3


def test_what_makes_no_sense_together_is_dropped_with_its_reason():
    grid = {
        "design": SOME[0],
        "task": "toy/point-mass",
        "train.episodes": [3, 9],
        "exploration.cold_start": [1, 5],
    }
    result = expand(parse_study(study(grid=grid), "s.yaml"))
    assert len(result.cells) == 3
    (dropped,) = result.dropped
    assert dropped.reason == "exploration.cold_start (5) exceeds train.episodes (3)"
    assert dropped.cell["train.episodes"] == 3


AXES = {"predict": ["images", "rewards"], "space": "latent", "dynamics": "stochastic"}


@pytest.mark.parametrize(
    ("axes", "kept", "reason", "matter"),
    [
        (
            {"reward_from": ["state", "image"]},
            ["images-state", "images-image", "rewards-state"],
            "reward_from image needs a design that predicts images",
            {"design": "rewards-image"},
        ),
        (
            {"predict": "images", "reward_gradient": ["stopped", "separate"], "image_fraction": [0, 1]},
            ["stopped-1.0", "separate-0.0", "separate-1.0"],
            "reward_gradient stopped leaves a latent design with image_fraction 0 nothing to learn from",
            {"design": "stopped-0.0"},
        ),
    ],
)
def test_a_factorial_drops_the_designs_that_make_no_sense(axes, kept, reason, matter):
    varied = [name for name, value in (AXES | axes).items() if isinstance(value, list)]
    factorial = {"axes": AXES | axes, "name": "-".join(f"{{{name}}}" for name in varied)}
    result = expand(
        parse_study(study(factorial=factorial, grid={"design": "*", "task": "toy/point-mass"}), "s")
    )
    assert [cell.config.design for cell in result.cells] == kept
    (dropped,) = result.dropped
    assert dropped.reason.startswith(reason)
    assert dropped.matter == matter
    assert dropped.place == "line 1"


def test_a_design_of_a_factorial_that_only_some_tasks_or_blocks_reach_is_dropped_too():
    factorial = {"axes": AXES | {"reward_from": ["state", "image"]}, "name": "{predict}-{reward_from}"}
    include = [{"design": "rewards-*", "task": "toy/point-mass", "seed": [1, 2]}]
    grid = {"design": "images-*", "task": "toy/point-mass"}
    result = expand(parse_study(study(factorial=factorial, grid=grid, include=include), "s"))
    assert len(result.cells) == 2 + 2
    assert {drop.matter["design"] for drop in result.dropped} == {"rewards-image"}


def test_exclude_sees_designs_and_defaults_and_values():
    grid = {"design": SOME, "task": ["toy/point-mass", "dmc/walker-walk"], "seed": "range(4)"}

    def left(condition):
        return len(cells(study(grid=grid, exclude=[condition])))

    assert left({"space": "pixel"}) == 40 - 8
    assert left({"design": "*-stochastic"}) == 40 - 16
    assert left({"planner.horizon": 12, "seed": "range(1, 3)"}) == 40 - 20
    assert left({"seed": [0, 3], "task": "dmc/*"}) == 40 - 10
    assert left({"reward_from": "state", "dynamics": "det*", "seed": 1}) == 40 - 6


def test_exclude_leaves_includes_alone_and_says_when_it_meets_nothing():
    text = study(exclude=[{"seed": 0}, {"seed": 77}], zip=[{"seed": [0, 1]}], include=[{"agent": "random", "seed": 0,
                 "task": "toy/point-mass"}])  # fmt: skip
    result = expand(parse_study(text, "s.yaml"))
    assert [(c.config.label, c.config.seed) for c in result.cells] == [(SOME[0], 1), ("random", 0)]
    assert result.notes == ["exclude[1] (line 1) excludes nothing: no cell of the grid meets it"]


def test_resource_rules_merge_from_the_top_and_yield_to_fields():
    resources = {
        "default": {"hours": 1, "cpus": 3},
        "rules": [
            {"where": {"space": "latent"}, "hours": 2, "gpus": 1},
            {"where": {"design": "images-*"}, "hours": 5},
        ],
    }
    grid = {"design": [SOME[0], SOME[2], SOME[4]], "task": "toy/point-mass"}
    found = [
        (c.resources.hours, c.resources.gpus, c.resources.cpus)
        for c in cells(study(grid=grid, resources=resources))
    ]
    assert found == [(5, 1, 3), (2, 1, 3), (1, 0, 3)]
    given_ = cells(study(grid=grid, resources=resources, base={"resources.hours": 9}), "resources.cpus=7")
    assert {(c.resources.hours, c.resources.cpus) for c in given_} == {(9, 7)}


def test_one_run_from_a_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("design: rewards-latent-stochastic\ntask: toy/point-mass\ntrain: {episodes: 9}\n")
    config = load_config(path, ["seed=3"])
    assert (config.predict, config.train.episodes, config.seed, config.label) == (
        "rewards",
        9,
        3,
        path.read_text()[8:33],
    )
    path.write_text("agent: random\ntask: toy/point-mass\nsize: tiny\n")
    with pytest.raises(StudyError, match=r"run.yaml:1:8: agent: agent random has no model: remove size"):
        load_config(path)


values = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
        "train.batch": st.lists(st.integers(1, 99), min_size=1, max_size=3, unique=True),
        "planner.horizon": st.lists(st.integers(1, 30), min_size=1, max_size=3, unique=True),
        "train.learning_rate": st.lists(st.floats(1e-6, 1), min_size=1, max_size=3, unique=True),
        "env.image_size": st.lists(st.integers(8, 64), min_size=1, max_size=2, unique=True),
    },
)


def ids(configs):
    return [run_id(config) for config in configs]


@settings(max_examples=60, deadline=None)
@given(values, st.integers(1, 3))
def test_a_grid_has_as_many_cells_as_the_product_of_its_axes(axes, length):
    grid = {"design": SOME[:2], "task": ["toy/point-mass", "dmc/walker-walk"], **axes}
    block = {
        "model.free_nats": [float(i) for i in range(length)],
        "model.kl_scale": [float(i) for i in range(length)],
    }
    text = study(grid=grid, zip=[block])
    found = cells(text)
    assert len(found) == 4 * math.prod(len(values) for values in axes.values()) * length
    assert parse_study(text, "s.yaml").count == len(found)
    assert {c.model.free_nats - c.model.kl_scale for c in found} == {0.0}


@settings(max_examples=60, deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_no_run(axes, random):
    grid = {"design": SOME[:2], "task": "toy/point-mass", **axes}
    shuffled = random.sample(list(grid.items()), len(grid))
    assert sorted(ids(cells(study(grid=grid)))) == sorted(ids(cells(study(grid=dict(shuffled)))))


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9), min_size=1))
def test_exclusion_is_set_difference_and_inclusion_comes_after(excluded, included):
    grid = {"design": SOME[2], "task": "toy/point-mass", "seed": "range(10)"}
    include = [{"agent": "random", "task": "toy/point-mass", "seed": sorted(included)}]
    exclude = [{"seed": seed} for seed in excluded]
    found = [(c.label, c.seed) for c in cells(study(grid=grid, exclude=exclude, include=include))]
    left = [(SOME[2], seed) for seed in range(10) if seed not in excluded]
    assert found == left + [("random", seed) for seed in sorted(included)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["base", "overrides", "line"]), st.integers(1, 500)), min_size=1, max_size=5
    )
)
def test_the_strongest_layer_wins(layers):
    strength = ["base", "overrides", "line"]
    keys = {name: {"train.batch": value} for name, value in layers if name != "line"}
    line = [f"train.batch={value}" for name, value in layers if name == "line"][-1:]
    strongest = max(layers, key=lambda layer: strength.index(layer[0]))[0]
    expected = [value for name, value in layers if name == strongest][-1]
    assert one(study(**keys), *line).train.batch == expected


words = st.sampled_from(
    ["name", "base", "designs", "factorial", "grid", "zip", "exclude", "include", "reuse", "resources", "report",
     "default", "rules", "where", "axes", "overrides", "design", "task", "seed", "agent", "predict", "model.widths",
     "train", "episodes", "train.episodes", "random", "images-latent-stochastic", "range(3)", "range(1, 2)", "*",
     "toy/*", "toy/point-mass", "dmc/[", "1e-4", "010", "off", "", "{predict}", "null", "../x", "s"]
)  # fmt: skip
trees = st.recursive(
    words
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(words, trees, max_size=8))
def test_any_tree_is_a_study_or_a_study_error(tree):
    import yaml

    text = yaml.safe_dump(tree)
    with contextlib.suppress(StudyError):
        expand(parse_study(text, "s.yaml"))


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_is_a_study_or_a_study_error(text):
    with pytest.raises(StudyError):
        parse_study(text, "s.yaml")


@pytest.mark.parametrize(
    ("key", "other"), list(itertools.combinations(["base", "designs", "exclude", "resources"], 2))
)
def test_a_key_that_is_commented_out_below_is_as_if_absent(key, other):
    assert len(cells(f"{key}:\n{other}:\n" + "name: s\ngrid: {agent: random, task: toy/point-mass}\n")) == 1


def test_the_example_of_the_documentation_is_as_it_says():
    page = (Path(__file__).parents[2] / "docs" / "study-language.md").read_text()
    result = expand(parse_study(page.partition("```yaml\n")[2].partition("```")[0], "s.yaml"))
    assert len(result.cells) == 100
    assert [drop.reason.partition(" (")[0] for drop in result.dropped] == ["excluded by exclude[0]"] * 10
    assert len({cell.config.design for cell in result.cells if cell.config.agent == "model"}) == 5
