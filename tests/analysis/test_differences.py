"""Designs whose configurations differ beyond their names."""

import json
from dataclasses import replace

import pytest
import yaml

from analysis.completeness import mixed, notes
from analysis.content import confound_table
from analysis.differences import differences
from analysis.figures import horizon_error
from analysis.load import load
from analysis.material import Material
from analysis.style import print_style
from tests.analysis.synthetic import FIVE, Options, variants, write_study

TASKS = ("dmc/cartpole-swingup", "dmc/cheetah-run")
QUICK = {"episodes": 8, "seeds": 1, "forecasts": False}
A, B, C = FIVE[0], FIVE[1], FIVE[4]


def with_fields(design, **sections):
    return replace(design, axes={**design.axes, **sections})


def study_of(path, designs, **options):
    return load([write_study(path, options=Options(**{**QUICK, "designs": designs, **options}))])


def test_a_budget_of_its_own_is_told_with_its_values(tmp_path):
    results = study_of(tmp_path, (A, B, with_fields(C, planner={"proposals": 500})))
    told = "mixed planner.proposals: 1000 (images-latent-stochastic, images-latent-deterministic), "
    assert mixed(results) == [told + "500 (rewards-pixel-deterministic)"]
    assert "Mixed, as the designs differ in it as well (see the notes): planner.proposals." in (
        confound_table(results).caption
    )


def test_other_starts_are_not_common_data(tmp_path):
    results = study_of(tmp_path, (A, with_fields(B, evaluation={"starts": 8})))
    with print_style():
        (drawn,) = horizon_error.draw(Material(results))
    assert "not the same starts for all" in drawn.caption
    (told,) = mixed(results)
    assert told.startswith("mixed evaluation.starts: 64 (images-latent-stochastic), 8 (")
    assert told.endswith("errors of these designs are not on common data")


def test_nothing_is_told_where_designs_differ_in_their_names_alone(results):
    assert mixed(results) == []
    assert "Mixed" not in confound_table(results).caption


def test_what_a_study_says_its_designs_are_is_no_difference(tmp_path):
    results = study_of(tmp_path, variants(3))
    assert (
        len({run.config["model"]["kl_scale"] for run in results.studies[0].runs if run.design != "random"})
        > 1
    )
    assert mixed(results) == []


def test_a_model_field_that_no_fragment_sets_is_told(tmp_path):
    study = write_study(tmp_path, options=Options(**QUICK, designs=variants(2)))
    content = yaml.safe_load((study / "study.yaml").read_text())
    (study / "study.yaml").write_text(yaml.safe_dump({"name": content["name"]}))
    assert mixed(load([study])) == ["mixed model.kl_scale: 0.5 (kl-0), 1.0 (kl-1)"]


def test_an_axis_of_a_factorial_is_part_of_the_names(tmp_path):
    designs = (with_fields(A, planner={"proposals": 100}), with_fields(B, planner={"proposals": 500}))
    study = write_study(tmp_path, options=Options(**QUICK, designs=designs))
    assert len(mixed(load([study]))) == 1
    factorial = [{"axes": {"planner.proposals": [100, 500]}, "name": "p{planner.proposals}"}]
    (study / "study.yaml").write_text(yaml.safe_dump({"name": "demo", "factorial": factorial}))
    assert mixed(load([study])) == []


@pytest.mark.parametrize("content", ["", "[1, 2", "designs: [a]\nfactorial: 3", "designs: {a: 1}\nreport: 2"])
def test_a_study_file_of_any_content_can_be_read(tmp_path, content):
    study = write_study(tmp_path, options=Options(**QUICK, designs=(A,)))
    (study / "study.yaml").write_text(content)
    assert differences(load([study])) == []


def test_a_sweep_of_every_design_is_no_difference_and_of_one_is(tmp_path):
    study = write_study(tmp_path, options=Options(**QUICK, designs=(A, B), horizons=(6, 12)))
    assert mixed(load([study])) == []
    plan = [json.loads(line) for line in (study / "plan.jsonl").read_text().splitlines()]
    kept = [run for run in plan if run["design"] != B.name or run["config"]["planner"]["horizon"] == 12]
    assert len(kept) == len(plan) - 1
    (study / "plan.jsonl").write_text("".join(json.dumps(run) + "\n" for run in kept))
    assert mixed(load([study])) == [
        "mixed planner.horizon: 6 and 12 (images-latent-stochastic), 12 (images-latent-deterministic)"
    ]


def test_tasks_are_compared_apart(tmp_path):
    """A budget per task is no difference between designs; one design's on one task is, and is named with it."""
    study = write_study(tmp_path, options=Options(**QUICK, designs=(A, B), tasks=TASKS))
    lines = [json.loads(line) for line in (study / "plan.jsonl").read_text().splitlines()]

    def planned(chosen):
        for run in lines:
            run["config"]["train"]["batch"] = 25 if chosen(run) else 50
        (study / "plan.jsonl").write_text("".join(json.dumps(run) + "\n" for run in lines))
        return mixed(load([study]))

    assert planned(lambda run: run["task"] == TASKS[1]) == []
    (told,) = planned(lambda run: run["task"] == TASKS[1] and run["design"] == B.name)
    assert told.startswith("mixed train.batch on cheetah-run: 50 (images-latent-stochastic), 25 (")


def test_a_field_that_a_design_does_not_use_is_not_compared(tmp_path):
    designs = (with_fields(A, model={"image_scale": 30.0}), C)
    study = write_study(tmp_path, options=Options(**QUICK, designs=designs))
    (study / "study.yaml").write_text("name: demo\n")
    assert mixed(load([study])) == []


def test_errors_measured_one_step_late_are_told_whatever_the_study_defines(tmp_path):
    designs = (with_fields(A, legacy={"shifted_evaluation": True}), B)
    study = write_study(tmp_path, options=Options(**QUICK, designs=designs))
    factorial = [{"axes": {"legacy.shifted_evaluation": [True, False]}}]
    (study / "study.yaml").write_text(yaml.safe_dump({"name": "demo", "factorial": factorial}))
    results = load([study])
    (told,) = mixed(results)
    assert told == (
        f"mixed legacy.shifted_evaluation: true ({A.name}), false ({B.name}): "
        "errors of these designs are not on common data"
    )
    assert (
        f"legacy.shifted_evaluation is on in 1 run, so their forecasts are compared with the frame and reward of "
        f"the step before: {A.name}"
    ) in notes(results)


def test_no_fault_is_told_where_none_is_on(results):
    assert not any("legacy" in note for note in notes(results))


def test_designs_of_the_reference_are_what_their_names_say_but_for_their_budgets(tmp_path):
    """A study names them without writing their fields."""
    designs = (
        replace(with_fields(A, model={"image_scale": 1.0}, train={"batch": 64}), name="reference-planet"),
        replace(with_fields(B, model={"image_scale": 0.5}, train={"batch": 50}), name="reference-rewnet"),
    )
    study = write_study(tmp_path, options=Options(**QUICK, designs=designs))
    (study / "study.yaml").write_text(yaml.safe_dump({"name": "demo"}))
    assert mixed(load([study])) == ["mixed train.batch: 64 (reference-planet), 50 (reference-rewnet)"]
