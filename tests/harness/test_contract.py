"""The checks find what they are there for: the example model passes, and each of its broken kin fails one check."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import harness
from harness.contract import CHECKS, Broken, Subject, check_model, check_subject
from harness.errors import UserError
from models.types import Draw, Loss, ModelDesign, ModelSpec

EXAMPLE = Path(harness.__file__).parent.parent / "docs" / "examples" / "my_models" / "my_models" / "flow.py"
SPEC = ModelSpec(
    action_dim=3,
    discrete=False,
    image_shape=(3, 16, 16),
    predict_images=True,
    predict_continues=False,
    stochastic=False,
)
DESIGN = ModelDesign(options={"units": 32})


def load_example():
    spec = importlib.util.spec_from_file_location("example_of_the_docs", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Flow


Flow = load_example()


class NoVersion(Flow):
    version = None


class NoSpec(Flow):
    def __init__(self, spec, design):
        super().__init__(spec, design)
        del self.spec


class NoExpand(Flow):
    expand = None


class OtherSpec(Flow):
    def __init__(self, spec, design):
        super().__init__(spec, design)
        self.spec = replace(spec, predict_images=False)


class RewardWithADimensionTooMany(Flow):
    def predict(self, belief, actions, noise, *, decode):
        forecast = super().predict(belief, actions, noise, decode=decode)
        return forecast._replace(reward=forecast.reward[..., None])


class ImagesIn255(Flow):
    def predict(self, belief, actions, noise, *, decode):
        forecast = super().predict(belief, actions, noise, decode=decode)
        return forecast if forecast.image is None else forecast._replace(image=forecast.image * 255)


class DoublePrecision(Flow):
    def observe(self, belief, obs, noise):
        return super().observe(belief.float(), obs, noise).double()


class StateOfOneRow(Flow):
    def observe(self, belief, obs, noise):
        return super().observe(belief, obs, noise)[:1]


class LossPerClip(Flow):
    def loss(self, batch, noise, progress):
        loss = super().loss(batch, noise, progress)
        return Loss(loss.total * batch.mask[:, 0], loss.metrics)


class AttachedMetric(Flow):
    def loss(self, batch, noise, progress):
        total = super().loss(batch, noise, progress).total
        return Loss(total, {"loss": total})


class InfiniteGradient(Flow):
    def loss(self, batch, noise, progress):
        loss = super().loss(batch, noise, progress)
        return Loss(loss.total + (self.norm.weight - self.norm.weight).sqrt().sum(), loss.metrics)


class Remembers(Flow):
    calls = 0

    def observe(self, belief, obs, noise):
        self.calls += 1
        return super().observe(belief, obs, noise) * (1 + 0.01 * self.calls)


class RunningMean(Flow):
    def __init__(self, spec, design):
        super().__init__(spec, design)
        self.register_buffer("mean", torch.zeros(()))

    def loss(self, batch, noise, progress):
        self.mean += 1
        return super().loss(batch, noise, progress)


class Dropout(Flow):
    def step(self, net, belief, news):
        return nn.functional.dropout(super().step(net, belief, news), 0.5)


class Unseeded(Flow):
    def __init__(self, spec, design):
        super().__init__(spec, design)
        nn.init.normal_(self.reward.weight)


class SameSeed(Flow):
    def __init__(self, spec, design):
        super().__init__(spec, replace(design, seed=0))


class NoiseWithoutUse(Flow):
    def draws(self, call, lead, steps=1):
        return super().draws(call, lead, steps) | {"idle": Draw(lead)}


class StochasticInName(Flow):
    def __init__(self, spec, design):
        super().__init__(replace(spec, stochastic=True), design)


class WrongExpand(Flow):
    def expand(self, belief, candidates):
        return belief.repeat(candidates, 1).unflatten(0, (len(belief), candidates))


class FixedHorizon(Flow):
    def predict(self, belief, actions, noise, *, decode):
        forecast = super().predict(belief, actions, noise, decode=decode)
        return forecast._replace(reward=forecast.reward / actions.shape[-2])


class NextAction(Flow):
    def predict(self, belief, actions, noise, *, decode):
        return super().predict(belief, actions.roll(-1, -2), noise, decode=decode)


class RowsMix(Flow):
    def observe(self, belief, obs, noise):
        belief = super().observe(belief, obs, noise)
        return belief - 0.1 * belief.mean(0)


class CandidatesMix(Flow):
    def predict(self, belief, actions, noise, *, decode):
        return super().predict(belief, actions - 0.1 * actions.mean(0), noise, decode=decode)


class NeverForgets(Flow):
    def observe(self, belief, obs, noise):
        return super().observe(belief, obs._replace(first=torch.zeros_like(obs.first)), noise)


class Blind(Flow):
    def code(self, image):
        return super().code(image) * 0


class MeanOverAll(Flow):
    def loss(self, batch, noise, progress):
        loss = super().loss(batch, noise, progress)
        return Loss(loss.total * batch.mask.mean(), loss.metrics)


class IgnoresTheMask(Flow):
    def loss(self, batch, noise, progress):
        return super().loss(batch._replace(mask=torch.ones_like(batch.mask)), noise, progress)


class DividesByNothing(Flow):
    def loss(self, batch, noise, progress):
        loss = super().loss(batch, noise, progress)
        return Loss(loss.total / batch.mask.sum() * batch.mask.sum(), loss.metrics)


class ScoresResets(Flow):
    def loss(self, batch, noise, progress):
        return super().loss(batch._replace(first=torch.zeros_like(batch.first)), noise, progress)


class ShiftedLoss(Flow):
    """Pairs the reward with the action before."""

    def loss(self, batch, noise, progress):
        return super().loss(batch._replace(action=batch.action.roll(1, 1)), noise, progress)


class UnusedLayer(Flow):
    def __init__(self, spec, design):
        super().__init__(spec, design)
        self.unused = nn.Linear(1, 1)


class NotInTheCheckpoint(Flow):
    def __init__(self, spec, design):
        super().__init__(spec, design)
        self.scale = 1 + design.seed  # neither a parameter nor a buffer

    def predict(self, belief, actions, noise, *, decode):
        forecast = super().predict(belief, actions, noise, decode=decode)
        return forecast._replace(reward=forecast.reward * self.scale)


class HidesNaN(Flow):
    def loss(self, batch, noise, progress):
        loss = super().loss(batch, noise, progress)
        return Loss(loss.total.nan_to_num(), loss.metrics)


class TrainsAnotherThing(Flow):
    """What `predict` shows is the negative of what the loss trains."""

    def predict(self, belief, actions, noise, *, decode):
        forecast = super().predict(belief, actions, noise, decode=decode)
        return forecast._replace(reward=-forecast.reward)


class HalfBelief(Flow):
    def step(self, net, belief, news):
        return self.norm(belief + net(torch.cat([belief, news], -1))).to(
            net[0](news.new_zeros(net[0].in_features)).dtype
        )


class Branches(Flow):
    def loss(self, batch, noise, progress):
        return super().loss(batch, noise, progress if batch.reward.sum() > 0 else -progress)


class BranchesInUse(Flow):
    def observe(self, belief, obs, noise):
        return super().observe(belief, obs, noise) if obs.reward.sum() > 0 else belief


class Stacks(Flow):
    def loss(self, batch, noise, progress):
        return super().loss(batch._replace(reward=batch.reward * batch.mask.sum().item()), noise, progress)


MUTANTS = {
    NoVersion: "protocol",
    NoSpec: "protocol",
    NoExpand: "protocol",
    OtherSpec: "protocol",
    RewardWithADimensionTooMany: "shapes",
    ImagesIn255: "shapes",
    DoublePrecision: "shapes",
    StateOfOneRow: "shapes",
    LossPerClip: "finite-loss",
    AttachedMetric: "finite-loss",
    InfiniteGradient: "finite-loss",
    Remembers: "no-hidden-state",
    RunningMean: "no-hidden-state",
    Dropout: "no-generator",
    Unseeded: "seeded",
    SameSeed: "seeded",
    NoiseWithoutUse: "noise-declared",
    StochasticInName: "noise-declared",
    WrongExpand: "expand",
    FixedHorizon: "any-horizon",
    NextAction: "causal",
    RowsMix: "rows-apart",
    CandidatesMix: "rows-apart",
    NeverForgets: "first",
    Blind: "sees",
    MeanOverAll: "masked-clips",
    IgnoresTheMask: "padding",
    DividesByNothing: "nothing-to-learn",
    ScoresResets: "resets",
    ShiftedLoss: "pairing",
    UnusedLayer: "trained",
    NotInTheCheckpoint: "checkpoint",
    HidesNaN: "divergence",
    TrainsAnotherThing: "learns",
    HalfBelief: "bfloat16",
    Branches: "compiled-loss",
    BranchesInUse: "compiled-plan",
    Stacks: "stacked",
}
checks = {check.name: check for check in CHECKS}


@pytest.mark.slow
@pytest.mark.parametrize("images", [True, False])
def test_the_example_keeps_every_promise(images):
    results = list(check_subject(Subject(Flow, replace(SPEC, predict_images=images), DESIGN)))
    assert [r.name for r in results] == list(checks)
    assert [(r.name, r.message) for r in results if r.outcome == "broken"] == []
    (skipped,) = (r for r in results if r.outcome == "skipped")
    assert skipped.name == "continuation"
    assert "do not terminate" in skipped.message


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_model_fails_its_check(mutant):
    name = MUTANTS[mutant]
    # torch's own refusals of a Python branch are no `Broken`
    expected = Exception if name in {"compiled-loss", "compiled-plan", "stacked"} else Broken
    checks[name].run(Subject(Flow, SPEC, DESIGN))
    with pytest.raises(expected):
        checks[name].run(Subject(mutant, SPEC, DESIGN))


class DrawsFromNumpy(Flow):
    def observe(self, belief, obs, noise):
        return super().observe(belief, obs, noise) + np.random.normal()  # noqa: NPY002  as a user may


class DrawsFromTorch(Flow):
    def observe(self, belief, obs, noise):
        belief = super().observe(belief, obs, noise)
        return belief + torch.randn_like(belief)


@pytest.mark.parametrize("model", [DrawsFromNumpy, DrawsFromTorch])
def test_a_draw_inside_the_model_is_named_as_the_usual_cause(model, monkeypatch):
    some = ("no-hidden-state", "no-generator", "expand", "causal", "rows-apart")
    monkeypatch.setattr("harness.contract.checks.CHECKS", [checks[name] for name in some])
    with torch.random.fork_rng(devices=[]):
        found = {result.name: result for result in check_subject(Subject(model, SPEC, DESIGN))}
    first = found.pop("no-hidden-state").message
    assert "a random draw inside the model (torch, numpy or Python's random)" in first
    assert "may follow" not in first
    generator = found.pop("no-generator")
    assert (generator.outcome == "broken") == (model is DrawsFromTorch)
    assert "may follow" not in generator.message
    broken = [result.message for result in found.values() if result.outcome == "broken"]
    assert broken
    assert all(message.endswith("(may follow from no-hidden-state)") for message in broken)


def test_every_check_has_a_model_that_fails_it():
    assert set(MUTANTS.values()) | {"continuation"} == set(checks)


def test_nothing_else_is_checked_while_the_first_promises_are_broken():
    results = list(check_subject(Subject(ImagesIn255, SPEC, DESIGN), ("example_of_the_docs:Flow",)))
    assert [result.outcome for result in results] == ["kept", "broken"]
    assert results[-1].fails
    place = f"({__file__}:{ImagesIn255.predict.__code__.co_firstlineno})"
    assert results[-1].message == f"predict: image leaves [0, 1] {place}"


def test_an_exception_names_the_line_in_the_models_file():
    class Raises(Flow):
        def loss(self, batch, noise, progress):
            return super().loss(batch._replace(reward=batch.reward[:, 1:]), noise, progress)

    *_, last = check_subject(Subject(Raises, SPEC, DESIGN), ("example_of_the_docs:Flow",))
    assert last.name == "finite-loss"
    assert last.message.startswith("RuntimeError: The size of tensor a")
    assert f"({EXAMPLE}:" in last.message
    assert last.message.endswith(", in loss)")


class TestFromATest:
    """`check_model`, as a user's own tests call it."""

    @pytest.fixture(autouse=True)
    def _example(self, monkeypatch):
        monkeypatch.syspath_prepend(str(EXAMPLE.parent.parent))

    @pytest.mark.slow
    def test_it_passes(self):
        small = {"model": {"options": {"units": 16}}, "env": {"image_size": 16}}
        check_model("my_models.flow:Flow", predict="images", **small)

    @pytest.mark.parametrize(
        ("name", "fields", "message"),
        [
            ("my_models.flow:Flwo", {}, "did you mean Flow"),
            ("my_models.flow:Flow", {"model": {"options": {"unit": 1}}}, "Flow has one option, units"),
            ("my_models.flow:Flow", {"predict": "image"}, "predict"),
        ],
    )
    def test_it_refuses(self, name, fields, message):
        with pytest.raises(UserError, match=message):
            check_model(name, **fields)
