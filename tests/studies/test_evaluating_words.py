"""What `wm evaluate` says where nothing is played, or nothing is measured anew."""

import json

import pytest

from studies.freeze import freeze
from studies.plan import read_plan
from tests.studies.test_evaluating import TEXT, _config


@pytest.fixture
def hexes(tmp_path):
    """A run with a model and one without that are done, under the RUNS of the command line."""
    from harness.entry import execute
    from harness.rundir import RunDir
    from tests.harness.toy_datasets import toy_dataset

    root = tmp_path / "runs"
    file = tmp_path / "small.yaml"
    file.write_text(TEXT)
    study = freeze(read_plan(str(file), root))
    toy_dataset(root / "datasets", "pooled")
    runs = [study.planned[0], study.planned[-1]]
    for run in runs:
        directory = RunDir.create(run.path, _config(run))
        assert execute(directory, datasets=root / "datasets") == "done", directory.read_state().error
    return [run.hex for run in runs]


def test_nothing_played_and_nothing_measured_anew_are_said(wm, hexes):
    hex_, random = hexes
    status, _, err = wm("evaluate", random, "--episodes", 0)
    assert status == 2
    assert "has no model, hence no forecasts: ask for --episodes" in err
    status, out, err = wm("evaluate", hex_, "--episodes", 0)
    assert status == 0
    assert "playing" not in err
    assert not any(line.startswith(("n:", "returns:", "lengths:", "kept:")) for line in out.splitlines())
    assert "image_error_mean:" in out
    _, out, err = wm("evaluate", hex_, "--dataset", "pooled", "--episodes", 1)
    assert "playing 1 episode of" in err
    assert "n: 1" in out
    asked = ("--dataset", "pooled", "--save")
    assert "measured before" not in wm("evaluate", hex_, *asked)[2]
    status, out, err = wm("evaluate", hex_, *asked)
    assert status == 0
    assert "measured before on the same episodes, and not again: " in err
    status, _, err = wm("evaluate", "small", *asked)
    assert status == 0
    assert "1 of 1 measured before on the same episodes, and not again" in err
    assert json.loads(wm("evaluate", hex_, *asked, "--json")[1])["kept"] is True
