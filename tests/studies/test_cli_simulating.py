"""`wm simulate`: marked runs on disk, power by seeds, and what is told of a wrong request."""

import json

import pytest

from studies.plan import read_plan
from studies.store import StudyDir

TEXT = """\
name: small
base: {train: {episodes: 30}, evaluation: {every: 3, final_episodes: 3}, size: tiny, env: {image_size: 32}}
grid:
  design: [images-latent-stochastic, rewards-latent-stochastic]
  task: dmc/cartpole-balance
  seed: range(2)
include: [{agent: [random, oracle], task: dmc/cartpole-balance, seed: range(2)}]
report: {claims: {H1: {level: 0.9}}}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def test_what_is_written_is_read_as_a_study_and_says_that_it_is_simulated(wm, file, tmp_path):
    status, out, err = wm("simulate", file, "images=0.3", "--name", "made-up", "--seed", 3)
    assert (status, out) == (0, f"8 simulated runs: {tmp_path / 'runs' / 'made-up'}\n")
    assert err == "wm report made-up draws them\n"
    home = StudyDir(tmp_path / "runs" / "made-up")
    mark = json.loads((home.path / "simulated.json").read_text())
    assert (mark["simulated"], mark["seed"], mark["plans"]) == (True, 3, ["small"])
    assert mark["effects"]["images"] == 0.3
    text = home.study_file.read_text()
    assert text.startswith("# Simulated by `wm simulate` from the plan of small: no model was trained.\n")
    assert "\nname: made-up\n" in text
    assert [run.config for run in home.planned] == [
        run.config for run in read_plan(str(file), tmp_path / "r").runs
    ]
    for words in (("status", "made-up"), ("plan", "made-up")):
        status, out, err = wm(*words)
        assert status == 0, err
        assert "simulated by `wm simulate`: no model was trained" in out + err
    assert "8 done" in wm("status", "made-up")[1]
    assert json.loads(wm("status", "made-up", "--json")[1])["simulated"] is True


def test_simulated_runs_are_not_done_and_the_study_cannot_be_run(wm, file, tmp_path):
    wm("simulate", file, "--name", "small", "--no-forecasts")
    for words in (("run", file), ("submit", file, "--executor", "local"), ("run", "small")):
        status, _, err = wm(*words)
        assert status == 2
        assert "is simulated by `wm simulate`: no model was trained, so there is nothing to continue" in err
        assert "rm -r" in err
    _, out, err = wm("plan", file)
    assert "warning: small under" in err
    assert "2 (2 simulated)" in out
    assert "8 runs of 8 to do" in out
    _, out, err = wm("plan", file, "--for", "H1")
    assert "0 done, 8 not (8 simulated)" in out
    assert "warning: small under" in err


def test_simulated_studies_do_not_complete_what_others_lack(wm, file, tmp_path):
    text = TEXT.replace("images-latent-stochastic, ", "").replace("name: small", "name: rest")
    (tmp_path / "rest").mkdir()
    (tmp_path / "rest" / "rest.yaml").write_text(text)
    wm("simulate", file, "--name", "made-up", "--no-forecasts")
    assert "made-up" not in wm("plan", tmp_path / "rest" / "rest.yaml", "--for", "H1")[1]


def test_a_simulated_run_is_no_result_for_another_study(wm, file, tmp_path):
    wm("simulate", file, "--name", "made-up", "--no-forecasts")
    assert not list((tmp_path / "runs").glob("*/runs/*/forecasts"))
    plan = read_plan(str(file), tmp_path / "runs")
    assert not [run.id for run in plan.runs if run.reused_from]
    again = TEXT.replace("name: small", "name: again") + "reuse: [made-up]\n"
    (tmp_path / "again.yaml").write_text(again)
    assert not [
        run for run in read_plan(str(tmp_path / "again.yaml"), tmp_path / "runs").runs if run.reused_from
    ]


def test_equal_seeds_give_equal_runs_and_a_frozen_plan_serves_as_well(wm, file, tmp_path):
    for name in ("a", "b"):
        assert wm("simulate", file, "--name", name, "--seed", 1)[0] == 0
    assert wm("simulate", "a", "--name", "c", "--seed", 1)[0] == 0
    assert wm("simulate", file, "--name", "d", "--seed", 2)[0] == 0
    first, *others = (
        {
            path.relative_to(tmp_path / "runs" / name): path.read_bytes()
            for path in (tmp_path / "runs" / name).glob("runs/*/metrics.jsonl")
        }
        for name in "abcd"
    )
    assert len(first) == 8
    assert [other == first for other in others] == [True, True, False]


def test_several_studies_share_a_draw_and_a_prefix(wm, file, tmp_path):
    (tmp_path / "other.yaml").write_text(TEXT.replace("name: small", "name: other"))
    status, out, err = wm("simulate", file, tmp_path / "other.yaml", "--name", "both", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["studies"] == [str(tmp_path / "runs" / f"both-{name}") for name in ("small", "other")]
    assert found["runs"] == 16


def test_nothing_is_written_into_what_exists(wm, file, tmp_path):
    assert wm("run", file)[0] == 0
    before = sorted(path for path in (tmp_path / "runs").rglob("*"))
    status, _, err = wm("simulate", file, "--name", "small")
    assert status == 2
    assert "small exists and was not simulated: nothing is written into it; choose another --name" in err
    assert sorted((tmp_path / "runs").rglob("*")) == before


@pytest.mark.slow
def test_power_is_told_by_seeds(wm, file):
    asked = (
        "simulate",
        file,
        "H1=true",
        "seed_sd=0.02",
        "--power",
        "H1",
        "--repeats",
        6,
        "--seeds",
        "5,3",
        "--workers",
        1,
    )
    status, out, err = wm(*asked)
    assert status == 0, err
    assumed, _, told = out.partition("\n\n")
    assert assumed.startswith("assumed: base 0.45, images 0.2,")
    lines = told.splitlines()
    assert lines[0] == "H1  Images help online, 6 simulated studies, level 0.9"
    assert lines[1].split() == ["seeds", "supported"]
    assert lines[3].split() == ["5", "100.0%", "[61.0%,", "100.0%]"]
    assert lines[4] == "3 seeds are the fewest of 3, 5 with which 80% of the studies support it"
    found = json.loads(wm(*asked, "--json", "--level", 0.99)[1])
    assert [(row["claim"], row["seeds"], row["repeats"]) for row in found] == [("H1", 3, 6), ("H1", 5, 6)]
    assert found[1]["counts"] == {"supported": 6}
    status, out, err = wm("simulate", file, "--power", "all", "--repeats", 1, "--seeds", 2, "--workers", 1)
    assert status == 0, err
    assert "H3 is left out: the plan lacks an online design with at least 4 values" in err
    assert out.count("simulated studies") >= 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("small.yaml",), "say what for: --name NAME writes simulated runs to RUNS/NAME, --power H4 says"),
        (("small.yaml", "--name", "x", "--power", "H1"), "say what for"),
        (("images=1", "--name", "x"), "wm simulate needs a STUDY"),
        (("small.yaml", "imges=1", "--name", "x"), "no effect imges (did you mean images?)"),
        (("small.yaml", "--name", "a/b"), "--name: 'a/b' cannot name a folder"),
        (("small.yaml", "--name", "datasets"), "--name: 'datasets' is the folder of datasets"),
        (("small.yaml", "small.yaml", "--name", "x"), "small is given twice"),
        (("small.yaml", "--power", "H44"), "--power H44: no such claim"),
        (("small.yaml", "--power", "H4"), "H4 cannot be tested on small: the plan lacks "),
        (("small.yaml", "--power", "H1", "--seeds", "3,x"), "--seeds 3,x: write numbers of seeds"),
        (("small.yaml", "--power", "H1", "--level", "1.5"), "--level 1.5: Input should be less than 1"),
        (("none.yaml", "--name", "x"), "none.yaml"),
        (
            ("small.yaml", "--only", "task=none", "--name", "x"),
            "--only task=none: selects none of the 8 runs",
        ),
    ],
)
def test_a_wrong_request_is_told_what_to_write(wm, file, arguments, said):
    status, out, err = wm("simulate", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
