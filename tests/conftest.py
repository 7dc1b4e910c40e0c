"""For all tests: no deadline per example (machines are busy), and the same examples every time in CI.

Examples are drawn anew on a developer's machine, where a counterexample is wanted, and not in CI, where a failure
must be that of the change.
"""

import os

import torch
from hypothesis import settings

settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")
torch.set_num_threads(1)  # pytest-xdist has a process a core
