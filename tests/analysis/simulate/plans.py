"""The shipped studies of the paper, cut down to be fast."""

import functools
from pathlib import Path

import studies
from studies.simulating import planned

PAPER = Path(studies.__file__).parent / "paper"
TASKS = ("dmc/cartpole-swingup", "dmc/cheetah-run", "dmc/walker-walk")
OF_CLAIM = {
    "H1": ("online",),
    "H2": ("online",),
    "H3": ("dose_response",),
    "H4": ("online",),
    "H5": ("online", "offline"),
    "H6": ("offline",),
    "H7": ("online", "offline"),
    "H8": ("online", "cross_training"),
    "H9": ("sharing",),
    "H10": ("planner",),
    "H11": ("capacity",),
}
"""The studies that a claim is tested on."""


@functools.cache
def paper(*names, root=Path("nowhere")):
    """Shipped studies by the name of their file, on those of three tasks that they have."""
    only = [f"task={','.join(TASKS)}"]
    return planned([str(PAPER / f"{name}.yaml") for name in names], root.absolute(), None, only)
