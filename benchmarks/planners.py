"""What each planner finds of the best plan of a score that is known in closed form, and what planning itself costs.

    python -m benchmarks.planners [--seeds 40] [--repeats 7]

Found: (score of the plan played - score of doing nothing) / (best score - score of doing nothing), median over
seeds; 1 is the optimum, 0 is no better than nothing. The plan is scored again by the closed form, so a lucky estimate
counts for nothing. Overhead: seconds of a plan of 12 steps, 6 action dimensions, 10 iterations of 1000 candidates whose
score costs next to nothing, as a ratio to CEM's with default options, interleaved, median over repeats.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from scipy.optimize import lsq_linear
from torch import Tensor

from planners.cem import CEM
from planners.discrete import DiscreteCEM
from planners.icem import ICEM
from planners.mppi import MPPI
from planners.shooting import RandomShooting
from planners.types import ActionSpace, Budget

H = 12
BUDGETS = {"3 x 64": Budget(H, 3, 64), "10 x 1000": Budget(H, 10, 1000)}
CONTINUOUS: dict[str, Callable[..., Any]] = {
    "cem": CEM,
    "cem, refit weighted": lambda *a: CEM(*a, refit="weighted"),
    "cem, covariance full": lambda *a: CEM(*a, covariance="full"),
    "cem, action best": lambda *a: CEM(*a, action="best"),
    "icem": ICEM,
    "mppi, reward_weight 10": lambda *a: MPPI(*a, reward_weight=10.0),
    "shooting": RandomShooting,
}
DISCRETE: dict[str, Callable[..., Any]] = {
    "cem": DiscreteCEM,
    "cem, refit weighted": lambda *a: DiscreteCEM(*a, refit="weighted"),
    "shooting": RandomShooting,
}


class Problem(NamedTuple):
    """A score [B, C, H, A] -> [B, C] with what doing nothing and the best plan are worth."""

    space: ActionSpace
    score: Callable[[Tensor], Tensor]
    nothing: float
    best: float


def smooth() -> Problem:
    """The distance to a plan that changes slowly, three dimensions."""
    return _distance(0.8 * torch.sin(0.4 * torch.arange(H)[:, None] + torch.arange(3)))


def jagged() -> Problem:
    """The distance to a plan that changes its mind at every step, three dimensions."""
    return _distance(0.8 * torch.sin(3.0 * torch.arange(H)[:, None] + torch.arange(3)))


def _distance(target: Tensor) -> Problem:
    score = lambda a: -(a - target).square().sum((-1, -2))  # noqa: E731
    return Problem(ActionSpace(target.shape[-1]), score, -float(target.square().sum()), 0)


def ridge() -> Problem:
    """A quadratic five times as steep across the diagonal of a step's two dimensions as along it."""
    target = 0.6 * torch.sin(0.4 * torch.arange(H) + 0.5)[:, None].expand(H, 2)

    def score(actions: Tensor) -> Tensor:
        away = actions - target
        along = away.mean(-1, keepdim=True)
        return -(25 * (away - along).square().sum(-1) + 2 * along[..., 0].square()).sum(-1)

    return Problem(ActionSpace(2), score, float(score(torch.zeros(H, 2))), 0)


def hills() -> Problem:
    """At every step a wide hill of height 1 at -0.6 and a narrow one of height 2 at 0.5."""

    def score(actions: Tensor) -> Tensor:
        wide, high = torch.exp(-(((actions + 0.6) / 0.3) ** 2)), torch.exp(-(((actions - 0.5) / 0.15) ** 2))
        return (wide + 2 * high).sum((-1, -2))

    return Problem(
        ActionSpace(1), score, float(score(torch.zeros(H, 1))), float(score(torch.full((H, 1), 0.5)))
    )


def push() -> Problem:
    """A mass pushed to 1 as fast as bounded forces allow and kept there: least squares with bounds."""
    lag = torch.arange(H)[:, None] - torch.arange(H)
    reach = torch.where(lag >= 0, 0.04 * (lag + 1), 0)  # of a force on the positions after it
    matrix = torch.cat([reach, 0.03 * torch.eye(H)])
    goal = torch.cat([torch.ones(H), torch.zeros(H)])

    def score(actions: Tensor) -> Tensor:
        return -(actions[..., 0] @ matrix.T - goal).square().sum(-1)

    best = torch.tensor(lsq_linear(matrix.double().numpy(), goal.double().numpy(), (-1, 1)).x).float()
    return Problem(ActionSpace(1), score, -float(H), float(score(best[:, None])))


def sequence() -> Problem:
    """How many of twelve choices among six are right; every choice the first is as good as doing nothing."""
    target = (torch.arange(H) * 7 + 3) % 6
    score = lambda a: (a.argmax(-1) == target).float().sum(-1)  # noqa: E731
    return Problem(ActionSpace(6, discrete=True), score, float((target == 0).sum()), float(H))


PROBLEMS = {"smooth": smooth, "jagged": jagged, "ridge": ridge, "hills": hills, "push": push}


def noise_of(planner: Any, batch: int, seed: int) -> dict[str, Tensor]:
    """What the harness would draw for one call."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"normal": torch.randn, "uniform": torch.rand}
    return {
        name: draw[kind](shape, generator=generator) for name, (shape, kind) in planner.draws(batch).items()
    }


def found(planner: Any, problem: Problem, seeds: int) -> float:
    """The part of the way from nothing to the optimum, median over seeds (one environment each)."""
    parts = []
    for start in range(0, seeds, 4):
        batch = min(4, seeds - start)
        plan, _ = planner.plan(
            lambda _, a: problem.score(a), None, planner.initial(batch), noise_of(planner, batch, start)
        )
        score = problem.score(plan.sequence[:, None])[:, 0]
        parts += ((score - problem.nothing) / (problem.best - problem.nothing)).tolist()
    return statistics.median(parts)


def overheads(kinds: dict[str, Callable[..., Any]], repeats: int) -> tuple[dict[str, float], float]:
    """Time of each planner over that of the first, and the first's in seconds."""
    planners = {name: kind(ActionSpace(6), Budget()) for name, kind in kinds.items()}
    noises = {name: noise_of(planner, 1, 0) for name, planner in planners.items()}
    seconds: dict[str, list[float]] = {name: [] for name in planners}
    for _ in range(repeats + 1):
        for name, planner in planners.items():
            begun = time.perf_counter()
            planner.plan(lambda _, a: a[:, :, 0, 0], None, planner.initial(1), noises[name])
            seconds[name].append(time.perf_counter() - begun)
    first = next(iter(planners))
    ratios = {
        name: statistics.median(s / f for s, f in zip(times[1:], seconds[first][1:], strict=True))
        for name, times in seconds.items()
    }
    return ratios, statistics.median(seconds[first][1:])


def table(kinds: dict[str, Callable[..., Any]], problems: dict[str, Problem], seeds: int) -> None:
    """Prints what each planner finds of each problem with each budget."""
    print("| problem, budget | " + " | ".join(kinds) + " |")
    print("|---|" + "---|" * len(kinds))
    for name, problem in problems.items():
        for budget, size in BUDGETS.items():
            cells = [f"{found(kind(problem.space, size), problem, seeds):.2f}" for kind in kinds.values()]
            print(f"| {name}, {budget} | " + " | ".join(cells) + " |", flush=True)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {arguments.threads} threads\n"
    )
    table(CONTINUOUS, {name: make() for name, make in PROBLEMS.items()}, arguments.seeds)
    print()
    table(DISCRETE, {"sequence": sequence()}, arguments.seeds)
    ratios, seconds = overheads(CONTINUOUS, arguments.repeats)
    print(f"\nOverhead of a plan, times that of cem ({1000 * seconds:.1f} ms):")
    print(", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))


if __name__ == "__main__":
    main()
