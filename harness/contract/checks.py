"""The list of the promises, and what runs them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from harness.build import METHODS, build_model, built_in, make_device, make_streams, model_design, model_spec
from harness.config import RunConfig
from harness.contract import calls, compiling, training
from harness.contract.subject import Broken, Subject
from harness.errors import UserError
from harness.own import is_own
from harness.places import where_in
from harness.registry import load
from harness.tasks import find_task
from harness.tasks.spec import TaskSpec

Need = Literal["first", "needed", "optional"]
"""first: without it nothing else can be checked. optional: a run does not need it."""


@dataclass(frozen=True)
class Check:
    """One promise.

    Attributes:
        name: short, one word or two.
        run: raises `Broken` if the promise is not kept; its docstring's first paragraph is the promise.
        need: how much depends on it.
    """

    name: str
    run: Callable[[Subject], None]
    need: Need = "needed"

    @property
    def promise(self) -> str:
        """What is promised, in one sentence."""
        text = (self.run.__doc__ or "").split("\n\n")[0]
        return " ".join(text.split()).removesuffix(".")


CHECKS = (
    Check("protocol", calls.protocol, "first"),
    Check("shapes", calls.shapes, "first"),
    Check("finite-loss", training.finite_loss, "first"),
    Check("no-hidden-state", calls.no_hidden_state),
    Check("no-generator", calls.no_generator),
    Check("seeded", calls.seeded),
    Check("noise-declared", calls.noise_declared),
    Check("expand", calls.expand_is_tile),
    Check("any-horizon", calls.any_horizon),
    Check("causal", calls.causal),
    Check("rows-apart", calls.rows_apart),
    Check("first", calls.first_starts_anew),
    Check("sees", calls.sees, "optional"),
    Check("masked-clips", training.masked_clips),
    Check("padding", training.padding),
    Check("nothing-to-learn", training.nothing_to_learn),
    Check("resets", training.resets),
    Check("pairing", training.pairing),
    Check("trained", training.trained),
    Check("checkpoint", training.checkpoint),
    Check("divergence", training.divergence_shows),
    Check("continuation", training.continuation),
    Check("learns", training.learns),
    Check("bfloat16", compiling.bfloat16, "optional"),
    Check("compiled-loss", compiling.compiles_loss, "optional"),
    Check("compiled-plan", compiling.compiles_plans, "optional"),
    Check("stacked", compiling.stacks, "optional"),
)
"""In the order in which they run."""


_REFUSABLE = {"continuation", "any-horizon"}
"""What a model may refuse by a ValueError that says why."""


@dataclass(frozen=True)
class Result:
    """How a check came out.

    Attributes:
        name: of the check.
        need: of the check.
        promise: what was promised.
        outcome: `skipped` where the model says that it cannot do what is checked.
        message: how the promise is broken, or why it was not checked; else empty.
    """

    name: str
    need: Need
    promise: str
    outcome: Literal["kept", "broken", "skipped"]
    message: str = ""

    @property
    def fails(self) -> bool:
        """Whether a run could go wrong, or its numbers mean something else than they say."""
        return self.outcome == "broken" and self.need != "optional"


def check_subject(subject: Subject, own: tuple[str, ...] = ()) -> Iterator[Result]:
    """Runs the checks one after another; after a failure of a first one, only those.

    A model that answers differently each time breaks other promises too: those say that they may follow.

    Args:
        subject: the model.
        own: import paths (`package.module:Name`) of the user's code, to say where in it an exception arose.
    """
    varies = False
    for check in CHECKS:
        result = _result(check, subject, own)
        if varies and result.outcome == "broken" and check.name != "no-generator":
            result = replace(result, message=f"{result.message} (may follow from no-hidden-state)")
        varies |= result.outcome == "broken" and check.name == "no-hidden-state"
        yield result
        if result.outcome == "broken" and check.need == "first":
            return


def _result(check: Check, subject: Subject, own: tuple[str, ...]) -> Result:
    outcome: Literal["kept", "broken", "skipped"] = "kept"
    message = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of slow paths, which are no broken promise
            check.run(subject)
    except Broken as error:
        outcome, message = "broken", str(error)
        place = _method_place(subject.build, message.partition(":")[0])
        message += f" ({place})" if own and place else ""
    except Exception as error:  # noqa: BLE001  the user's code may raise anything
        refusal = check.name in _REFUSABLE and isinstance(error, ValueError)
        outcome = "skipped" if refusal else "broken"
        message = str(error) if refusal else where_in(error, own)
    return Result(check.name, check.need, check.promise, outcome, message)


def _method_place(build: Any, name: str) -> str:
    """`/path/my_models/flow.py:72`, where the method of a class is that a message begins with, or nothing."""
    code = getattr(getattr(build, name, None), "__code__", None) if name in METHODS else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def subject_of(config: RunConfig, task: TaskSpec, device: torch.device) -> Subject:
    """The model of a configuration, asked for what a run of the configuration would ask.

    Raises:
        UserError: there is no such model, or it refuses to be built so.
    """
    streams = make_streams(config)
    spec, design = model_spec(config, task), model_design(config, streams)
    if not is_own(config):
        return Subject(lambda s, d: built_in(s, d, config.predict, config.space), spec, design, device)
    build_model(config, task, streams)  # refuses in one sentence
    return Subject(load(config.model.name), spec, design, device)


def require_basics(config: RunConfig, task: TaskSpec, device: torch.device) -> None:
    """Checks what nothing works without, of a model of the user's own, before its run begins.

    Raises:
        UserError: says what is broken, and where in the user's code an exception arose.
    """
    if not is_own(config):
        return
    path = config.model.name
    subject = subject_of(config, task, device)
    for check in CHECKS:
        result = _result(check, subject, (path,)) if check.need == "first" else None
        if result is not None and result.fails:
            axes = {axis: getattr(config, axis) for axis in ("predict", "space", "dynamics")}
            given = "".join(f" {axis}={value}" for axis, value in axes.items() if value)
            raise UserError(f"{path}: {result.message}; `wm check-model {path}{given}` checks it")


def check_model(name: str, **fields: Any) -> None:
    """Checks a model of your own; for tests.

    Args:
        name: `package.module:Name`.
        fields: of a run's configuration, such as predict="images" or model={"options": {...}}; by default the
            task is toy/point-mass with frames of 32 x 32 pixels.

    Raises:
        UserError: there is no such model, or it refuses to be built so.
        Broken: with all the needed promises that are not kept.
    """
    tree = {"task": "toy/point-mass", "env": {"image_size": 32}, "runtime": {"device": "cpu"}} | fields
    try:
        config = RunConfig.model_validate(tree | {"model": {**fields.get("model", {}), "name": name}})
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    task = find_task(config.task, config.env).spec
    with torch.random.fork_rng(devices=[]):
        results = list(check_subject(subject_of(config, task, make_device(config.runtime.device)), (name,)))
    failed = [f"{result.name}: {result.message}" for result in results if result.fails]
    if failed:
        raise Broken(f"{name} breaks {len(failed)} of {len(results)} promises\n  " + "\n  ".join(failed))
