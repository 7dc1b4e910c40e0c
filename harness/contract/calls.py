"""What `observe`, `expand` and `predict` promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harness.build import model_complaint
from harness.contract.subject import (
    CANDIDATES,
    CLIPS,
    HORIZON,
    Subject,
    column,
    cut,
    differ,
    expect,
    expect_same,
)
from models.trees import leaves, map_tree
from models.types import Forecast, SequenceBatch


def protocol(subject: Subject) -> None:
    """It is a torch.nn.Module with an integer version, its spec, parameters, and the six methods."""
    model: Any = subject.build(subject.spec, subject.design)
    complaint = model_complaint(model, subject.spec)
    expect(not complaint, complaint)
    version = getattr(model, "version", None)
    expect(type(version) is int, f"its version is {version!r}, not an integer")
    expect(next(model.parameters(), None) is not None, "it has no parameters, so there is nothing to train")


def shapes(subject: Subject) -> None:
    """States and forecasts have the shapes and types that models.types gives."""
    model = subject.model()
    state = subject.observed(model, subject.batch())
    for part in leaves(state):
        expect(
            part.shape[0] == CLIPS, f"observe: a state [{_show(part)}] has no leading dimension B = {CLIPS}"
        )
    begun = model.initial(CLIPS)
    for new, old in zip(leaves(begun), leaves(state), strict=True):
        expect(
            new.shape == old.shape and new.dtype == old.dtype,
            f"initial makes a state [{_show(new)}] {new.dtype} of which observe makes [{_show(old)}] {old.dtype}",
        )
    expanded = model.expand(state, CANDIDATES)
    for part in leaves(expanded):
        expect(
            part.shape[:2] == (CLIPS, CANDIDATES),
            f"expand: a state is [{_show(part)}] where [B, C, ..] = [{CLIPS}, {CANDIDATES}, ..] is due",
        )
    for state_, lead in ((state, (CLIPS,)), (expanded, (CLIPS, CANDIDATES))):
        noise = subject.noise(model, "predict", lead, HORIZON)
        actions = subject.actions(*lead)
        _check_forecast(subject, model.predict(state_, actions, noise, decode=True), lead)
        unseen = model.predict(state_, actions, noise, decode=False).image
        # a model that decodes to plan has its frames anyway
        expect(unseen is None or subject.spec.decodes_to_plan, "predict has an image though decode is False")


def _check_forecast(subject: Subject, forecast: Forecast, lead: tuple[int, ...]) -> None:
    spec = subject.spec
    due: dict[str, tuple[int, ...] | None] = {
        "reward": (*lead, HORIZON),
        "image": (*lead, HORIZON, *spec.image_shape) if spec.predict_images else None,
        "continues": (*lead, HORIZON) if spec.predict_continues else None,
    }
    expect(isinstance(forecast, Forecast), f"predict returns a {type(forecast).__name__}, not a Forecast")
    for name, shape in due.items():
        part = getattr(forecast, name)
        if shape is None or part is None:
            wanted = "missing, and asked for" if part is None else "there, and not asked for"
            expect(shape is part is None, f"predict: {name} is {wanted}")
            continue
        what = f"predict: {name} is [{_show(part)}] {part.dtype}"
        expect(
            part.shape == shape and part.dtype == torch.float32,
            f"{what} where {list(shape)} torch.float32 is due",
        )
        expect(part.isfinite().all(), f"predict: {name} is not finite before anything was trained")
        inside = name == "reward" or bool((part.min() >= 0) & (part.max() <= 1))
        expect(inside, f"predict: {name} leaves [0, 1]")


def no_hidden_state(subject: Subject) -> None:
    """A call leaves no trace: called again with the same arguments, it answers the same."""
    model, batch = subject.model(), subject.batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def call() -> tuple[Any, Forecast, Tensor]:
        state = subject.observed(model, batch)
        noise = subject.noise(model, "predict", (CLIPS,), HORIZON)
        forecast = model.predict(state, subject.actions(CLIPS), noise, decode=True)
        return state, forecast, subject.loss(model, batch).total

    first = call()
    expect(
        not differ(model.state_dict(), before),
        "a call changes a parameter or buffer (a running mean, say); pass what must be kept as state",
    )
    tolerance = 0.0 if subject.device.type == "cpu" else 1e-5
    usual = "the usual cause is a random draw inside the model (torch, numpy or Python's random): declare it in draws"
    for what, one, two in zip(("observe", "predict", "loss"), first, call(), strict=True):
        words = f"{what} answers differently when it is called again; {usual}"
        expect_same([one], [two], words, tolerance)


def no_generator(subject: Subject) -> None:
    """No call draws from torch's generator: all noise is declared in draws and passed in."""
    model, batch = subject.model(), subject.batch()
    position = torch.get_rng_state()
    calls: dict[str, Callable[[], Any]] = {
        "observe": lambda: subject.observed(model, batch),
        "predict": lambda: model.predict(
            subject.observed(model, batch),
            subject.actions(CLIPS),
            subject.noise(model, "predict", (CLIPS,), HORIZON),
            decode=True,
        ),
        "loss": lambda: subject.loss(model, batch),
    }
    for name, call in calls.items():
        call()
        expect(
            torch.equal(torch.get_rng_state(), position),
            f"{name} draws random numbers itself (nn.Dropout does); declare them in draws",
        )


def seeded(subject: Subject) -> None:
    """design.seed alone decides the initial parameters."""
    position = torch.get_rng_state()
    states = [subject.model(seed=seed).state_dict() for seed in (0, 0, 1)]
    fix = "build the layers under torch.random.fork_rng(devices=[]) and torch.manual_seed(design.seed)"
    expect(not differ(states[0], states[1]), f"two models of one seed differ: {fix}")
    expect(differ(states[0], states[2]), f"models of two seeds are alike: {fix}")
    expect(
        torch.equal(torch.get_rng_state(), position),
        f"building it moves torch's generator: {fix}",
    )


def expand_is_tile(subject: Subject) -> None:
    """To observe and then expand is to observe the same thing once per candidate."""
    model, batch = subject.model(), subject.batch()
    tiled = SequenceBatch(*(part.repeat_interleave(CANDIDATES, 0) for part in batch))
    state, wide = model.initial(CLIPS), model.initial(CLIPS * CANDIDATES)
    for t in range(subject.spec.context + 1):
        noise = subject.noise(model, "observe", (CLIPS,), seed=t)
        state = model.observe(state, column(batch, t), noise)
        every = {name: value.repeat_interleave(CANDIDATES, 0) for name, value in noise.items()}
        wide = model.observe(wide, column(tiled, t), every)
    actions = subject.actions(CLIPS, CANDIDATES)
    shared = subject.noise(model, "predict", (CLIPS, 1), HORIZON)
    forecast = model.predict(model.expand(state, CANDIDATES), actions, shared, decode=True)
    every = {name: value.repeat_interleave(CANDIDATES, 0).flatten(0, 1) for name, value in shared.items()}
    expected = model.predict(wide, actions.flatten(0, 1), every, decode=True)
    flat = [part if part is None else part.flatten(0, 1) for part in forecast]
    expect_same(flat, expected, "the forecast of an expanded state is not that of a tiled one")


def any_horizon(subject: Subject) -> None:
    """A longer forecast only adds steps: those of 1, 2 and 30 steps begin alike."""
    model, longest = subject.model(), subject.longest
    state = subject.observed(model, subject.batch())
    actions = subject.actions(CLIPS, horizon=longest)
    noise = subject.noise(model, "predict", (CLIPS,), longest)
    long = model.predict(state, actions, noise, decode=True)
    expect(
        long.reward.shape[-1] == longest, f"predict: {longest} actions give {long.reward.shape[-1]} rewards"
    )
    for horizon in (1, 2, HORIZON):
        less = cut(noise, model.draws("predict", (CLIPS,), horizon))
        short = model.predict(state, actions[:, :horizon], less, decode=True)
        begin = [part if part is None else part[:, :horizon] for part in long]
        expect_same(short, begin, f"a forecast of {horizon} steps is not how one of {longest} begins")


def causal(subject: Subject) -> None:
    """Step i of a forecast depends on the action of step i, and on none after it."""
    model = subject.model()
    state = subject.observed(model, subject.batch())
    noise = subject.noise(model, "predict", (CLIPS,), HORIZON)
    actions = subject.actions(CLIPS)
    before = model.predict(state, actions, noise, decode=True)
    for step in range(HORIZON):
        changed = actions.clone()
        changed[:, step] = changed[:, step].roll(1, -1) if subject.spec.discrete else -changed[:, step]
        after = model.predict(state, changed, noise, decode=True)
        old, new = ([x if x is None else x[:, :step] for x in forecast] for forecast in (before, after))
        expect_same(old, new, f"an earlier step of the forecast changes with the action of step {step}", 1e-6)
        expect(
            differ(before.reward[:, step], after.reward[:, step]) or not subject.spec.predict_rewards,
            f"the reward of step {step} does not depend on the action of step {step}, which leads to it",
        )


def rows_apart(subject: Subject) -> None:
    """Rows of a batch do not see one another."""
    model, batch, other = subject.model(), subject.batch(), subject.batch(seed=9)
    mixed = SequenceBatch(*(torch.cat([a[:1], b[1:]]) for a, b in zip(batch, other, strict=True)))
    states = [subject.observed(model, clips) for clips in (batch, mixed)]
    firsts = [map_tree(lambda x: x[:1], state) for state in states]
    expect_same([firsts[0]], [firsts[1]], "observe: the state of row 0 changes with the frames of the others")
    actions = subject.actions(CLIPS)
    changed = torch.cat([actions[:1], subject.actions(CLIPS, seed=5)[1:]])
    noise = subject.noise(model, "predict", (CLIPS,), HORIZON)
    left, right = (
        [x if x is None else x[:1] for x in model.predict(state, one, noise, decode=True)]
        for state, one in zip(states, (actions, changed), strict=True)
    )
    expect_same(left, right, "predict: the forecast of row 0 changes with the other rows")


def first_starts_anew(subject: Subject) -> None:
    """A row that is `first` forgets what was before."""
    model, batch = subject.model(), subject.batch()
    state = subject.observed(model, batch)
    noise = subject.noise(model, "observe", (CLIPS,))
    rows = torch.tensor([True, False, True], device=subject.device)
    obs = column(batch, subject.columns - 1)
    fresh = obs._replace(
        action=torch.zeros_like(obs.action), reward=torch.zeros_like(obs.reward), first=torch.ones_like(rows)
    )
    anew = model.observe(model.initial(CLIPS), fresh, noise)
    # the action and the reward of a reset mean nothing, whatever they hold
    after = model.observe(state, obs._replace(first=rows), noise)
    kept = [map_tree(lambda x: x[rows], tree) for tree in (after, anew)]
    expect_same([kept[0]], [kept[1]], "observe: a row with `first` is not what a new episode begins with")


def noise_declared(subject: Subject) -> None:
    """A forecast takes noise if the design is stochastic, and then depends on it; candidates can share theirs."""
    model = subject.model()
    state = subject.observed(model, subject.batch())
    declared = model.draws("predict", (CLIPS,), HORIZON)
    stochastic = model.spec.stochastic
    if not stochastic:
        expect(
            not declared and not model.draws("observe", (CLIPS,)),
            "draws declares noise for observe or predict, but its spec says stochastic=False",
        )
        return
    expect(declared, "its spec says stochastic=True, but draws declares no noise for predict")
    actions = subject.actions(CLIPS)
    one, two = (
        model.predict(
            state, actions, subject.noise(model, "predict", (CLIPS,), HORIZON, seed), decode=False
        ).reward
        for seed in (1, 2)
    )
    expect(differ(one, two), "the forecast of rewards does not depend on the noise that draws declares")
    same = actions[:, None].expand(-1, CANDIDATES, -1, -1)
    shared = subject.noise(model, "predict", (CLIPS, 1), HORIZON)
    reward = model.predict(model.expand(state, CANDIDATES), same, shared, decode=False).reward
    expect_same(
        reward, reward[:, :1].expand_as(reward), "equal candidates with the same noise differ in reward"
    )


def sees(subject: Subject) -> None:
    """A forecast depends on the frames that were observed."""
    model, batch = subject.model(), subject.batch()
    forecasts = []
    for image in (batch.image, subject.batch(seed=9).image):
        state = subject.observed(model, batch._replace(image=image))
        noise = subject.noise(model, "predict", (CLIPS,), HORIZON)
        forecasts.append(model.predict(state, subject.actions(CLIPS), noise, decode=True))
    expect(
        differ(forecasts[0], forecasts[1]), "the forecast is the same after other frames: the model is blind"
    )


def _show(part: Tensor) -> str:
    return ", ".join(map(str, part.shape))
