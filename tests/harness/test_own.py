"""Components of the user's own: where their exceptions arose, which they are, and their part in the code digest."""

import sys

import pytest

from harness.config import RunConfig
from harness.errors import UserError
from harness.own import is_own, own_paths
from harness.places import place_in, where_in
from harness.provenance import code_digest
from harness.refusal import refusal
from harness.registry import load

MODEL = """
import torch


class Model(torch.nn.Module):
    version = 1
    built = 0

    def __init__(self, spec, design):
        super().__init__()
        type(self).built += 1
        self.spec = spec
        self.layer = torch.nn.Linear(spec.action_dim, design.options["width"])

    draws = initial = observe = expand = predict = loss = print
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An importable package `ours` with a module `model`; its folder."""
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("harness.refusal._TOLD", {})
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "ours"]:
        del sys.modules[name]


def own_config(name="ours.model:Model", **fields):
    model = {"name": name, "options": {"width": 3}}
    return RunConfig.model_validate({"task": "toy/point-mass", "model": model, **fields})


def test_the_innermost_line_of_the_users_packages_is_named(package):
    (package / "deep.py").write_text("import json\n\ndef read(text):\n    return json.loads(text)\n")
    (package / "top.py").write_text("from ours import deep\n\ndef go():\n    return deep.read('{')\n")
    with pytest.raises(ValueError, match="Expecting") as caught:
        load("ours.top:go")()
    assert place_in(caught.value, ["ours.top:go"]) == f"{package}/deep.py:4, in read"
    assert where_in(caught.value, ["ours.top:go"]).startswith("JSONDecodeError: Expecting property name")
    assert place_in(caught.value, ["theirs:go"]) == ""
    assert place_in(caught.value, []) == ""


def test_an_exception_of_several_lines_or_none_is_one_line():
    assert where_in(ValueError("one\ntwo"), []) == "ValueError: one"
    assert where_in(ValueError(), []) == "ValueError"


def test_a_module_that_raises_is_not_taken_for_a_missing_name(package):
    (package / "bad.py").write_text("import sys\n\nsys.no_such_thing\n")
    with pytest.raises(
        UserError, match=r"ours.bad:X cannot be imported: AttributeError: .*bad.py:3, in <module>"
    ):
        load("ours.bad:X")
    (package / "needs.py").write_text("import no_such_package\n")
    with pytest.raises(
        UserError, match=r"cannot be imported: ModuleNotFoundError: .*no_such_package.*needs.py:1"
    ):
        load("ours.needs:X")
    with pytest.raises(UserError, match=r"no module ours.modle \(did you mean ours.model\?\)"):
        load("ours.modle:Model")


def test_which_components_are_the_users_own():
    config = own_config(planner={"name": "theirs:Planner"})
    assert is_own(config)
    assert own_paths(config) == ("ours.model:Model", "theirs:Planner")
    built_in = {"predict": "images", "space": "latent", "dynamics": "stochastic"}
    ordinary = RunConfig.model_validate({"task": "toy/point-mass", **built_in})
    assert not is_own(ordinary)
    assert own_paths(ordinary) == ()


@pytest.mark.parametrize(
    ("axes", "label"),
    [({}, "Model"), ({"predict": "images"}, "Model-images"), ({"design": "mine", "space": "pixel"}, "mine")],
)
def test_a_design_without_a_name_is_called_by_its_class(axes, label):
    assert own_config(**axes).label == label


def test_a_model_is_built_once_for_many_seeds_and_budgets(package):
    begun = load("ours.model:Model").built
    budgets = [{"train": {"batch": 10}}, {"train": {"episodes": 2}, "exploration": {"cold_start": 1}}]
    for config in [own_config(seed=3), *(own_config(**budget) for budget in budgets)]:
        assert refusal(config) == ""
    assert load("ours.model:Model").built == begun + 1
    assert refusal(own_config(size="small")) == ""
    assert load("ours.model:Model").built == begun + 2


def test_a_refusal_says_what_and_where(package):
    config = RunConfig.model_validate({"task": "toy/point-mass", "model": {"name": "ours.model:Model"}})
    assert (
        refusal(config)
        == f"ours.model:Model cannot be built: KeyError: 'width' ({package}/model.py:13, in __init__)"
    )


def test_the_code_digest_holds_the_users_package(package):
    path = ("ours.model:Model",)
    before = code_digest(path)
    assert before != code_digest()
    code_digest.cache_clear()
    assert code_digest(path) == before
    (package / "model.py").write_text(MODEL + "\n")
    code_digest.cache_clear()
    assert code_digest(path) != before
    code_digest.cache_clear()
    assert len(code_digest(("no_such_package:X",))) == 12
    code_digest.cache_clear()
