"""A planner of the user's own, held to what `planners.types.Planner` promises, so that a mistake says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from harness.errors import RunError, UserError
from harness.places import where_in
from planners.types import ActionSpace, Context, Noise, Plan, Planner, Score

METHODS = ("draws", "initial", "plan")
"""Of every planner."""
_TOLERANCE = 1e-4
_REMEDY = "planners.types.Planner says what a planner returns."


class OwnPlanner:
    """Passes every call on, and checks the shapes of what comes back.

    Args:
        name: `package.module:Name`.
        planner: as that class makes it.
        space: what it chooses from.

    Raises:
        UserError: it is no planner; says what is missing.
    """

    def __init__(self, name: str, planner: Any, space: ActionSpace) -> None:
        missing = [one for one in METHODS if not callable(getattr(planner, one, None))]
        if missing:
            have = ", ".join(missing)
            raise UserError(f"{name}: it has no method {have}; planners.types.Planner says what they do")
        if not isinstance(getattr(planner, "horizon", None), int):
            raise UserError(f"{name}: it has no whole number `horizon`; keep budget.horizon as self.horizon")
        self.name = name
        self.planner: Planner[Any] = planner
        self.space = space
        self.version: int = planner.version
        self.horizon: int = planner.horizon

    def draws(self, batch: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """See `planners.types.Planner`.

        Raises:
            RunError: its answer declares no noise of this batch.
        """
        declared: Any = self.planner.draws(batch)
        if not isinstance(declared, Mapping):
            raise self._broken(f"draws() returned {declared!r}, not {{name: (shape, kind)}}")
        for name, draw in declared.items():
            shape, kind = draw if isinstance(draw, tuple) and len(draw) == 2 else (None, None)
            if not isinstance(shape, tuple) or not shape or shape[0] != batch:
                raise self._broken(
                    f"draws() says {name}: {draw!r}; a shape begins with the batch, here {batch}"
                )
            if kind not in {"normal", "uniform"}:
                raise self._broken(f"draws() says {name}: {draw!r}; noise is 'normal' or 'uniform'")
        return dict(declared)

    def initial(self, batch: int) -> Any:
        """See `planners.types.Planner`."""
        return self.planner.initial(batch)

    def plan(self, score: Score, context: Context, state: Any, noise: Noise) -> tuple[Plan, Any]:
        """See `planners.types.Planner`.

        Raises:
            RunError: it scores candidates of another shape, or returns no plan; says what is wrong.
        """
        seen: list[int] = []

        def checked(context: Context, actions: Tensor) -> Tensor:
            seen[:] = actions.shape[:1]
            wanted = (self.horizon, self.space.dim)
            if actions.dim() != 4 or tuple(actions.shape[2:]) != wanted:
                raise self._broken(
                    f"plan() scores actions {list(actions.shape)}, not [batch, candidates, {wanted[0]}, {wanted[1]}]"
                )
            return score(context, actions)

        result: Any = self.planner.plan(checked, context, state, noise)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Plan)):
            raise self._broken("plan() must return a planners.types.Plan and the new state")
        plan, state = result
        batch = seen[0] if seen else len(plan.action)
        shapes = {
            "action": (batch, self.space.dim),
            "sequence": (batch, self.horizon, self.space.dim),
            "returns": (batch,),
        }
        for field, shape in shapes.items():
            value = getattr(plan, field)
            if not isinstance(value, Tensor) or tuple(value.shape) != shape:
                have = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise self._broken(f"plan() returned {field} {have}, not {list(shape)}")
        self._check_action(plan.action)
        return plan, state

    def _check_action(self, action: Tensor) -> None:
        if self.space.discrete:
            fits = ((action == 0) | (action == 1)).all() & (action.sum(-1) == 1).all()
            rule = "one-hot"
        else:
            fits = (action.abs() <= 1 + _TOLERANCE).all()  # false where it is NaN
            rule = "in [-1, 1]"
        if not bool(fits):
            raise self._broken(f"plan() returned an action that is not {rule}: {action.tolist()}")

    def _broken(self, words: str) -> RunError:
        return RunError("code", f"{self.name}: {words}.", _REMEDY)


def own_planner(name: str, make: Any, space: ActionSpace, budget: Any, options: dict[str, Any]) -> OwnPlanner:
    """A planner of the user's own, built.

    Raises:
        UserError: it cannot be built, or not for these actions or options; says why, and where.
    """
    try:
        planner = make(space, budget, **options)
    except UserError:
        raise
    except Exception as error:
        words = str(error) if isinstance(error, ValueError) else f"cannot be built: {where_in(error, [name])}"
        raise UserError(f"{name}: {words}") from error
    return OwnPlanner(name, planner, space)
