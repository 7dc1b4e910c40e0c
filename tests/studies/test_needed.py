"""`--for CLAIM|FIGURE`: which runs it needs, what no plan has, and the command that does the rest."""

import json
from collections import Counter
from pathlib import Path

import pytest

from analysis.claims import findings
from analysis.claims.spec import CLAIMS
from analysis.claims.types import Hypothesis, Need
from analysis.figures.registry import FIGURES
from harness.errors import UserError
from studies import schema
from studies.freeze import freeze
from studies.needed import names_in, needed, select_for
from studies.plan import read_plan
from studies.survey import survey
from tests.studies.test_plan import finish

ONLINE = """\
name: online
base: {size: tiny, evaluation.final_episodes: 3}
grid:
  design: [images-latent-stochastic, rewards-latent-stochastic, images-pixel-stochastic]
  task: [toy/point-mass, dmc/cartpole-balance]
  seed: range(3)
"""
OFFLINE = ONLINE.replace("name: online", "name: offline").replace(
    "base: {", "base: {data.mode: offline, data.dataset: mixed, "
)


def images(frame):
    """A claim about one design on its own."""
    return Need(
        frozenset(frame.loc[frame["name"] == "images-latent-stochastic", "run"]), ("a second design",)
    )


def both(frame):
    """A claim about the runs of one design, online and offline."""
    chosen = frame[frame["name"] == "images-latent-stochastic"]
    ways = set(chosen["offline"])
    words = {False: "runs online", True: "runs on one dataset"}
    lacking = tuple(text for way, text in words.items() if way not in ways)
    return Need(frozenset() if lacking else frozenset(chosen["run"]), lacking)


@pytest.fixture
def plain(monkeypatch):
    """Two claims whose needs are plain."""
    known = {
        "H3": Hypothesis("H3", "Alone", images, None),
        "H5": Hypothesis("H5", "Both", both, None),
    }
    monkeypatch.setattr(findings, "HYPOTHESES", known)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "online.yaml").write_text(ONLINE)
    (tmp_path / "offline.yaml").write_text(OFFLINE)
    return tmp_path / "runs"


def plan(root, name):
    return read_plan(str(root.parent / f"{name}.yaml"), root)


def counts(one):
    """Runs by study and design."""
    return dict(Counter((run.study, run.design) for run in one.runs))


def test_names_are_claims_and_figures():
    assert names_in(["h4, dose_response", "H4", "planner"]) == ["H4", "dose_response", "planner"]
    for text, near in (
        ("dose_respons", r"\(did you mean dose_response\?\)"),
        ("H12", "there are H1 to H11, and claims"),
        ("", "neither a claim nor a figure"),
    ):
        with pytest.raises(UserError, match=near) as caught:
            names_in([text])
        assert str(caught.value).startswith("--for ")
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("plain")
def test_a_claim_needs_the_runs_that_enter_it_and_says_what_is_lacking(root):
    (found,) = needed(["H3"], [plan(root, "online")], ["online.yaml"])
    assert counts(found) == {("online", "images-latent-stochastic"): 6}
    assert (found.title, found.lacking, found.others) == ("Alone", ("a second design",), ())


@pytest.mark.usefixtures("plain")
def test_a_claim_over_two_studies_finds_the_other_one_beside_the_file(root):
    (found,) = needed(["H5"], [plan(root, "offline")], ["offline.yaml"])
    assert counts(found) == {(name, "images-latent-stochastic"): 6 for name in ("offline", "online")}
    assert [source.argument for source in found.others] == [str(root.parent / "online.yaml")]
    assert found.lacking == ()


@pytest.mark.usefixtures("plain")
def test_a_study_under_runs_is_taken_before_its_file_and_so_is_one_that_declares_the_claim(root):
    freeze(plan(root, "online"))
    (found,) = needed(["H5"], [plan(root, "offline")], ["offline.yaml"])
    assert [source.argument for source in found.others] == ["online"]
    other = ONLINE.replace("name: online", "name: another") + "report: {claims: {H5: {}}}\n"
    (root.parent / "zzz.yaml").write_text(other)
    (found,) = needed(["H5"], [plan(root, "offline")], ["offline.yaml"])
    assert [Path(source.argument).name for source in found.others] == ["zzz.yaml"]


@pytest.mark.usefixtures("plain")
def test_studies_that_are_named_need_no_other(root):
    plans = [plan(root, "online"), plan(root, "offline")]
    (found,) = needed(["H5"], plans, ["online.yaml", "offline.yaml"])
    assert found.others == ()
    assert len(found.runs) == 12


@pytest.mark.usefixtures("plain")
def test_what_no_study_has_stays_lacking(root):
    (root.parent / "online.yaml").unlink()
    (root.parent / "broken.yaml").write_text("name: [")
    (found,) = needed(["H5"], [plan(root, "offline")], ["offline.yaml"])
    assert (found.runs, found.lacking) == ((), ("runs online",))


@pytest.mark.usefixtures("plain")
def test_a_figure_needs_the_runs_of_its_claims_or_every_run(root):
    online = plan(root, "online")
    dose, curves = needed(["dose_response", "learning_curves"], [online], ["online.yaml"])
    assert FIGURES["dose_response"].claims == ("H3",)
    assert counts(dose) == {("online", "images-latent-stochastic"): 6}
    assert len(curves.runs) == len(online.runs) == 18


@pytest.mark.usefixtures("plain")
def test_a_selection_goes_with_the_others(root):
    online = plan(root, "online")
    assert select_for(online, "online.yaml", [], [], []) == online.runs
    assert len(select_for(online, "online.yaml", [], [], ["H3"])) == 6
    assert len(select_for(online, "online.yaml", ["seed=0"], [], ["h3"])) == 2
    with pytest.raises(UserError, match="--for H3: none of the 6 runs enters it: a second design"):
        select_for(online, "online.yaml", ["design=images-pixel-stochastic"], [], ["H3"])


def test_every_claim_and_figure_has_needs_of_the_shipped_studies(tmp_path):
    """With the real hypotheses: what studies/mini are for is what they provide."""
    folder = Path(schema.__file__).parent / "mini"
    plans = {path.stem: read_plan(str(path), tmp_path / "runs") for path in sorted(folder.glob("*.yaml"))}
    names = list(plans)
    found = needed(names_in([*CLAIMS, *FIGURES]), list(plans.values()), names)
    assert all(one.runs and one.title and not one.others for one in found)
    lacking = {one.name: one.lacking for one in found if one.lacking and one.name in CLAIMS}
    assert set(lacking) <= {"H7"}, lacking  # which needs more seeds than small studies have


def test_plan_tells_what_is_not_done_and_the_command_that_does_it(wm, root):
    (root.parent / "online.yaml").write_text(ONLINE + "include: [{agent: random, task: [toy/point-mass]}]\n")
    online = plan(root, "online")
    freeze(online)
    for run in online.runs[:4]:
        finish(run)
    finish(online.runs[4], "failed")
    status, out, _ = wm("plan", "online", "--for", "H1", "--only", "task=toy/*")
    assert status == 0
    assert "H1: Images help online\n  needs 7 runs of online: 3 done, 4 not\n" in out
    assert "4 runs of 7 to do" in out
    assert "next: wm run online --for H1 --only 'task=toy/*'\n  or: wm submit online --for H1" in out
    status, out, _ = wm("plan", "online", "--for", "H1,H3", "--json")
    content = json.loads(out)
    assert [one["for"] for one in content["needs"]] == ["H1", "H3"]
    first = content["needs"][0]
    assert (first["runs"], first["done"], len(first["missing"])) == (13, 4, 9)
    assert set(first["missing"][0]) == {"id", "study", "design", "task", "seed", "state"}
    assert {one["state"] for one in first["missing"]} == {"pending", "failed:code"}
    assert content["next"] == ["wm run online --for H1,H3"]
    assert content["needs"][1]["lacking"]


def test_plan_and_run_refuse_what_cannot_be(wm, root):
    assert root
    for arguments, words in (
        (("plan", "online.yaml", "--for", "H99"), "--for H99: neither a claim nor a figure"),
        (("plan", "online.yaml", "--for", "H1", "--diff"), "leave --for out"),
        (("plan", "online.yaml", "nothing", "--for", "H1"), "no study nothing under"),
        (("plan", "online.yaml", "offline.yaml"), "'offline.yaml' is not field=value"),
        (("run", "online.yaml", "--for", "H99"), "--for H99: neither a claim nor a figure"),
        (("submit", "online.yaml", "--for", "H99", "--executor", "local"), "neither a claim nor a figure"),
    ):
        status, _, told = wm(*arguments)
        assert status == 2, arguments
        assert words in told, arguments
        assert told.count("\n") == 1, told


@pytest.mark.usefixtures("plain")
def test_run_starts_what_is_needed_alone(wm, root, monkeypatch):
    assert not root.exists()
    started = []

    def run_all(runs, *_):
        started.extend((run.design, run.task, run.seed) for run in runs)
        return survey(runs), None

    monkeypatch.setattr("studies.dispatch.run_all", run_all)
    wm("run", "online.yaml", "--for", "H3", "--only", "seed=0")
    assert started == [
        ("images-latent-stochastic", task, 0) for task in ("toy/point-mass", "dmc/cartpole-balance")
    ]
