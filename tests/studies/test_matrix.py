"""The rows of the matrices of `wm plan` and `wm status`."""

from __future__ import annotations

import time

from studies.freeze import freeze
from studies.matrix import row_names, varying
from studies.plan import read_plan

TEXT = """\
name: forms
grid:
  design: [images-latent-stochastic, rewards-latent-stochastic]
  task: [toy/point-mass, dmc/cheetah-run]
  seed: range(2)
  reward_from: [state, image]
  planner.horizon: [6, 12]
include:
- {agent: random, task: toy/point-mass}
"""


def planned(tmp_path, text=TEXT):
    file = tmp_path / "forms.yaml"
    file.write_text(text)
    return read_plan(str(file), tmp_path / "runs")


def test_each_form_of_a_design_has_a_row_and_other_fields_have_none(tmp_path):
    runs = planned(tmp_path).runs
    names = row_names(runs)
    assert len(set(names.values())) == 4
    for run in runs:
        name = names[run.hex]
        assert name.startswith(run.design)
        assert (name == run.design) == (run.design != "images-latent-stochastic")
        assert ("image" in name.removeprefix("images")) == (run.config["reward_from"] == "image")
    assert varying(runs, names) == "planner.horizon (6, 12)"


def test_a_plan_that_cannot_be_read_has_a_row_for_each_design(tmp_path):
    runs = planned(tmp_path).runs
    for run in runs:
        run.config["nobody_knows"] = 1
    assert len(set(row_names(runs).values())) <= 4


def test_plan_and_status_show_the_forms(tmp_path, wm):
    freeze(planned(tmp_path))
    for arguments in (("plan", "forms.yaml"), ("status", "forms")):
        code, out, _ = wm(*arguments)
        assert code == 0
        rows = [line for line in out.splitlines() if line.startswith("images-latent-stochastic (")]
        assert len(rows) == 2
        assert "within a row vary planner.horizon (6, 12)" in out


def test_ten_thousand_runs_have_rows_at_once(tmp_path):
    runs = planned(tmp_path, TEXT.replace("range(2)", "range(833)")).runs
    assert len(runs) > 9_900
    start = time.process_time()
    varying(runs, row_names(runs))
    assert time.process_time() - start < 1
