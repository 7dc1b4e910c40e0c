"""The JSON Schema is current, valid, and says yes and no where the language does."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from studies import starter
from studies.language import StudyError, expand, parse_study
from studies.language.document import parse_yaml
from studies.language.problems import Problems
from studies.schema import SCHEMA_FILE, schema_text

SHIPPED = sorted(
    path for path in SCHEMA_FILE.parent.rglob("*.yaml") if path.name != "tasks.yaml"
)  # sets of tasks
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))


def data(text):
    node = parse_yaml(text, "s.yaml", Problems())
    return node.plain()


def test_the_file_is_current():
    assert SCHEMA_FILE.read_text() == schema_text(), "wm schema --write"


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)


def test_the_study_files_are_found():
    assert "quickstart.yaml" in [path.name for path in SHIPPED]


@pytest.mark.parametrize("path", SHIPPED, ids=[path.name for path in SHIPPED])
def test_it_accepts_every_shipped_study_and_so_does_the_language(path):
    text = path.read_text()
    VALIDATOR.validate(data(text))
    assert expand(parse_study(text, str(path))).cells
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    named = path.parent / first.partition("$schema=")[2].strip()
    assert named.resolve() == SCHEMA_FILE.resolve()


def test_it_accepts_the_starter():
    VALIDATOR.validate(data(starter.starter_text("mine")))


GOOD = """
name: s
base: {train: {episodes: 9}, planner.horizon: 6, model.widths.units: 5, env.action_repeat: null}
designs: {a: {predict: images, space: latent, dynamics: stochastic}, b: null}
factorial: [{axes: {dynamics: [stochastic, deterministic], predict: rewards, space: latent}, name: "{dynamics}"}]
grid: {design: [a, "*"], task: dmc/*, seed: range(3), train: {batch: [3, 4]}, train.learning_rate: [1e-4, 1]}
zip: [{planner.proposals: [5, 6], planner.iterations: [1, 2]}]
exclude: [{space: "p*", seed: "range(0, 2)"}, {task: [x, y]}]
include: {agent: random, task: toy/point-mass}
reuse: pilot
resources: {default: {hours: 3}, rules: [{where: {space: latent}, gpus: 1}]}
report: {final_window: 0.5, diverged: exclude, claims: {H1: {}, H2: {margin: 0.5}, H3: null}}
overrides: {size: tiny}
"""


def test_it_accepts_everything_that_the_language_has():
    VALIDATOR.validate(data(GOOD))


@pytest.mark.parametrize(
    "text",
    [
        "grid: {seed: 0}",
        "name: s",
        "name: ../s\ngrid: {seed: 0}",
        "name: s\ngrid: {}",
        "name: s\ngrid: {seed: []}",
        "name: s\ngrid: {sed: 0}",
        "name: s\ngrid: {seed: x}",
        "name: s\ngrid: {seed: -1}",
        "name: s\ngrid: {seed: 0}\nbas: {}",
        "name: s\ngrid: {seed: 0}\nbase: {size: huge}",
        "name: s\ngrid: {seed: 0}\nbase: {train: {epsiodes: 1}}",
        "name: s\ngrid: {seed: 0}\nbase: {train.episodes: 0}",
        "name: s\ngrid: {seed: 0}\nbase: {train.episodes: [1]}",
        "name: s\ngrid: {seed: 0}\nbase: {design: a}",
        "name: s\ngrid: {seed: 0}\nreport: {final_window: 2}",
        "name: s\ngrid: {seed: 0}\nreport: {diverged: zero}",
        "name: s\ngrid: {seed: 0}\nreport: {claims: {H12: {}}}",
        "name: s\ngrid: {seed: 0}\nreport: {claims: {H1: {margin: 0.1}}}",
        "name: s\ngrid: {seed: 0}\nreport: {claims: {H2: {margin: 0}}}",
        "name: s\ngrid: {seed: 0}\nreport: {claims: [H2]}",
        "name: s\ngrid: {seed: 0}\nresources: {rules: [{hours: 1}]}",
        "name: s\ngrid: {seed: 0}\ndesigns: {'a*': {}}",
        "name: s\ngrid: {seed: 0}\nfactorial: [{name: a}]",
    ],
)
def test_it_refuses_what_the_language_refuses(text):
    assert list(VALIDATOR.iter_errors(data(text)))
    with pytest.raises(StudyError):
        expand(parse_study(text, "s.yaml"))


def test_every_field_has_a_description():
    for name, field in VALIDATOR.schema["$defs"]["fields"]["properties"].items():
        assert "anyOf" in field or field.get("description"), name


def test_ordinary_yaml_readers_agree_about_the_shipped_studies():
    for path in SHIPPED:
        assert yaml.safe_load(path.read_text()) == data(path.read_text()), Path(path).name
