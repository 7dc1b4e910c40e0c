"""What `wm plan` says of changed designs of the reference, and of forms that a model of one's own is given."""

from __future__ import annotations

import pytest

from studies.notes import notes
from studies.plan import read_plan
from tests.studies.fakes import config


def noted(tmp_path, text, *overrides):
    file = tmp_path / "s.yaml"
    file.write_text(f"name: s\n{text}\n")
    return read_plan(str(file), tmp_path / "runs", overrides).notes


GRID = "grid: {design: [reference-planet, images-latent-stochastic], task: toy/point-mass, seed: range(3)"
CHANGED = ["reference-planet is changed here: size tiny (paper), train.episodes 20 (1010)"]


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (f"{GRID}}}", ("size=tiny", "train.episodes=20")),
        (f"{GRID}, size: tiny, train.episodes: 20}}", ()),
        (f"{GRID}}}\ndesigns: {{reference-planet: {{size: tiny, train.episodes: 20}}}}", ()),
    ],
)
def test_a_changed_design_of_the_reference_says_so(tmp_path, text, overrides):
    assert noted(tmp_path, text, *overrides) == CHANGED


def test_an_unchanged_one_says_nothing(tmp_path):
    text = (
        f"{GRID}}}\nbase: {{size: tiny, train.episodes: 20, exploration.cold_start: 1, planner.horizon: 7}}"
    )
    assert noted(tmp_path, text) == []


def test_several_values_stand_beside_each_other(tmp_path):
    (line,) = noted(tmp_path, f"{GRID}, train.batch: [8, 9, 64]}}")
    assert line == "reference-planet is changed here: train.batch 8 (64) and 9 (64)"


def test_runs_that_share_a_task_without_a_gpu_are_named():
    def sharing(runs, **more):
        plain = config("drift")
        asked = plain.resources.model_copy(update={"runs_per_gpu": runs, **more})
        return plain.model_copy(update={"resources": asked})

    (line,) = notes([sharing(2), sharing(1), sharing(2), sharing(3, gpus=1), sharing(3, gres="gpu:a100:1")])
    assert line == (
        "resources.runs_per_gpu is 2 without a GPU: each task of wm submit carries 2 runs, with 2 times the cores and "
        "memory of one"
    )


def own(**changes):
    plain = config("drift")
    model = plain.model.model_copy(update={"name": "lab.drift:Drift", **changes.pop("model", {})})
    legacy = plain.legacy.model_copy(update=changes.pop("legacy", {}))
    return plain.model_copy(update={"model": model, "legacy": legacy, **changes})


def test_a_model_of_ones_own_that_is_given_a_form_is_named_once():
    runs = [own(reward_from="image", seed=seed, model={"widths": {"units": 8}}) for seed in range(3)]
    (line,) = notes([*runs, own(image_fraction=0.5)])
    assert line == (
        "lab.drift:Drift (design drift) is given reward_from image, model.widths units 8, image_fraction 0.5: "
        "whether it heeds them is its own affair"
    )
    assert notes([own(legacy={"blind_inputs": True})]) == [
        "lab.drift:Drift (design drift) is given legacy.blind_inputs on: whether it heeds it is its own affair"
    ]


def test_a_planner_of_ones_own_does_not_get_the_fields_of_built_in_ones():
    plain = config("mine")
    changes = {"name": "lab.climb:Climber", "options": {"step": 1}, "elites": 3, "proposals": 7}
    mine = plain.model_copy(update={"planner": plain.planner.model_copy(update=changes)})
    assert notes([mine, plain]) == [
        "lab.climb:Climber does not get planner.elites 3: that is for built-in planners; one of your own has options"
    ]
    oracle = plain.oracle.model_copy(update={"name": "lab.climb:Climber", "warm_start": False})
    (line,) = notes([plain.model_copy(update={"agent": "oracle", "oracle": oracle})])
    assert "does not get oracle.warm_start off" in line


def test_one_that_is_given_none_and_a_built_in_one_are_not():
    assert notes([own(), own(size="tiny"), config("plain").model_copy(update={"reward_from": "image"})]) == []
