"""Times a training step and a planning call of the RSSM, beside Kaixhin/PlaNet where a checkout of it is at hand.

    python benchmarks/rssm_vs_kaixhin.py                    # ours alone
    KAIXHIN=DIR python benchmarks/rssm_vs_kaixhin.py        # both, interleaved, as ratios

A pair runs one after the other in the same process, the order turning every repeat, so that drifts of the machine
hit both; the ratio is the median over the pairs. Both sides do the same work in float32: the bench sizes have the
layers of theirs, batches have the same number of encoded and decoded frames (their chunk of 50 uses 49), the loss
has no open-loop term, the optimiser is Adam after clipping the global norm. Their frames are prepared outside of
the clock, ours are bytes until inside it. A planning call is CEM over 12 steps, 10 iterations, 1000 candidates and
100 elites from one belief.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from models.rssm import RSSM
from models.types import Draw, LossWeights, ModelDesign, ModelSpec, SequenceBatch
from planners.cem import CEM
from planners.types import ActionSpace, Budget

ACTIONS = 6
Job = Callable[[], object]


def noise_for(draws: dict[str, Draw]) -> dict[str, torch.Tensor]:
    """Noise of a call, from the global generator."""
    return {n: (torch.randn if d.kind == "normal" else torch.rand)(d.shape) for n, d in draws.items()}


def our_model(size: str, weights: LossWeights) -> RSSM:
    """The stochastic RSSM that predicts images."""
    spec = ModelSpec(ACTIONS, False, (3, 64, 64), True, False, True)
    return RSSM(spec, ModelDesign(size=size, weights=weights))


def our_training(size: str, batch: int, columns: int, weights: LossWeights) -> Job:
    """One gradient step on a fixed batch of clips."""
    model = our_model(size, weights)
    parameters = list(model.parameters())
    optimiser = torch.optim.Adam(parameters, lr=1e-3, eps=1e-4, fused=True)
    first = torch.zeros(batch, columns, dtype=torch.bool)
    first[:, 0] = True
    clips = SequenceBatch(
        torch.randint(0, 256, (batch, columns, 3, 64, 64), dtype=torch.uint8),
        torch.rand(batch, columns, ACTIONS) * 2 - 1,
        torch.rand(batch, columns),
        first,
        torch.zeros_like(first),
        torch.ones(batch, columns),
    )
    noise = noise_for(model.draws("loss", (batch,), columns))

    def step() -> None:
        loss = model.loss(clips, noise, torch.zeros(())).total
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1000.0)
        optimiser.step()

    return step


def our_planning(size: str) -> Job:
    """One planning call from a belief of one environment."""
    model = our_model(size, LossWeights())
    cem = CEM(ActionSpace(ACTIONS), Budget())
    state = model.initial(1)

    @torch.no_grad()
    def plan() -> None:
        noise = noise_for(model.draws("predict", (1, 1), cem.horizon))

        def score(context, actions):
            expanded = model.expand(context, actions.shape[1])
            return model.predict(expanded, actions, noise, decode=False).reward.sum(-1)

        draws = {name: Draw(shape, kind) for name, (shape, kind) in cem.draws(1).items()}
        cem.plan(score, state, None, noise_for(draws))

    return plan


class Kaixhin:
    """Their classes, from a checkout, with their default sizes, and the mathematics of their training step."""

    def __init__(self, checkout: Path) -> None:
        self.models = _load("kaixhin_models", checkout / "models.py")
        self.planner = _load("kaixhin_planner", checkout / "planner.py")
        self.transition = self.models.TransitionModel(200, 30, ACTIONS, 200, 1024)
        self.decoder = self.models.ObservationModel(False, None, 200, 30, 1024)
        self.reward = self.models.RewardModel(200, 30, 200)
        self.encoder = self.models.Encoder(False, None, 1024)

    def training(self, batch: int, columns: int) -> Job:
        """One gradient step on a fixed batch, time first as they have it."""
        bottle = self.models.bottle
        modules = (self.transition, self.decoder, self.reward, self.encoder)
        parameters = [p for module in modules for p in module.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=1e-3, eps=1e-4)
        images = torch.rand(columns, batch, 3, 64, 64) - 0.5
        actions = torch.rand(columns, batch, ACTIONS) * 2 - 1
        rewards, going = torch.rand(columns, batch), torch.ones(columns, batch, 1)
        belief, state, free = torch.zeros(batch, 200), torch.zeros(batch, 30), torch.full((1,), 3.0)

        def step() -> None:
            codes = bottle(self.encoder, (images,))
            track = self.transition(state, actions, belief, codes, going)
            beliefs, _, prior_mean, prior_std, states, mean, std = track
            image_error = F.mse_loss(bottle(self.decoder, (beliefs, states)), images, reduction="none")
            reward_error = F.mse_loss(bottle(self.reward, (beliefs, states)), rewards, reduction="none")
            kl = kl_divergence(Normal(mean, std), Normal(prior_mean, prior_std)).sum(2)
            loss = image_error.sum((2, 3, 4)).mean() + reward_error.mean() + torch.max(kl, free).mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1000.0, norm_type=2)
            optimiser.step()

        return step

    def planning(self) -> Job:
        """One planning call."""
        planner = self.planner.MPCPlanner(ACTIONS, 12, 10, 1000, 100, self.transition, self.reward, -1.0, 1.0)
        belief, state = torch.zeros(1, 200), torch.zeros(1, 30)

        @torch.no_grad()
        def plan() -> None:
            planner(belief, state)

        return plan


def _load(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        sys.exit(f"KAIXHIN: {path} does not exist; point it at a checkout of Kaixhin/PlaNet")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def seconds(job: Job, clock: Callable[[], float]) -> float:
    """The time of one call."""
    start = clock()
    job()
    return clock() - start


def measure(
    ours: Job, theirs: Job | None, repeats: int, clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Seconds of each, interleaved, after a warm-up call of each (their scripted modules need two)."""
    for job in (ours, theirs, ours, theirs):
        if job is not None:
            job()
    mine, others = [], []
    for repeat in range(repeats):
        order = [(ours, mine), (theirs, others)]
        for job, times in order if repeat % 2 else order[::-1]:
            if job is not None:
                times.append(seconds(job, clock))
    return mine, others


def row(name: str, mine: list[float], others: list[float]) -> str:
    """A line of the table: medians in milliseconds and the median of the paired ratios with its range."""
    ratios = sorted(b / a for a, b in zip(mine, others, strict=False))
    theirs = f"{statistics.median(others) * 1e3:.0f}" if others else "-"
    ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" if ratios else "-"
    return f"| {name} | {statistics.median(mine) * 1e3:.0f} | {theirs} | {ratio} |"


def main() -> None:
    """Prints one table, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--repeats", type=int, default=5, help="timed calls per training job; planning has twice"
    )
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu with --threads 1 is fit for a machine that is in use",
    )
    parser.add_argument("--only", default="", help="jobs whose name holds this text")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    checkout = os.environ.get("KAIXHIN")
    rival = Kaixhin(Path(checkout)) if checkout else None
    published = LossWeights(open_loop_weight=0.0)

    def training(batch: int, columns: int) -> tuple[Job, Job | None]:
        theirs = rival.training(batch, columns) if rival else None
        return our_training("bench", batch, columns, published), theirs

    jobs = {
        "training step, bench sizes, 50 x 50": lambda: training(50, 49),
        "training step, bench sizes, 64 x 12": lambda: training(64, 11),
        "planning call, bench sizes": lambda: (our_planning("bench"), rival.planning() if rival else None),
        "training step, paper sizes, 50 x 14": lambda: (our_training("paper", 50, 14, published), None),
        "the same with the open-loop term": lambda: (our_training("paper", 50, 14, LossWeights()), None),
        "planning call, paper sizes": lambda: (our_planning("paper"), None),
    }
    print(
        f"torch {torch.__version__}, {args.threads} threads, {platform.machine()}, {args.repeats} repeats\n"
    )
    print(
        "| job | ours, ms | Kaixhin/PlaNet, ms | theirs / ours, median of pairs (range) |\n|---|---|---|---|"
    )
    for name, make in jobs.items():
        if args.only in name:
            ours, theirs = make()
            repeats = args.repeats * (2 if "planning" in name else 1)
            print(row(name, *measure(ours, theirs, repeats, CLOCKS[args.clock])), flush=True)


if __name__ == "__main__":
    main()
