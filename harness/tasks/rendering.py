"""Chooses an OpenGL backend that works on this machine, before MuJoCo is imported.

MuJoCo reads its backend from the environment at import, and a backend that imports can still fail to draw. So
each candidate draws a picture in a child process first. The answer is kept in the environment: processes that
this one starts do not ask again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from harness.errors import RunError

CANDIDATES = ("egl", "osmesa")
REMEDY = (
    "Install a software OpenGL, as root: apt-get install libosmesa6 (or libegl1 libgl1); "
    "`wm doctor` checks again."
)
_PACKAGES = {"egl": "libegl1 libgl1", "osmesa": "libosmesa6"}
_PROVEN = (
    "WM_RENDERING"  # "<backend>|<renderer>": the backend that drew a picture, and what OpenGL calls itself
)
_TIMEOUT = 120.0

_PROBE = """
from dm_control import mujoco
physics = mujoco.Physics.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom size='1' rgba='1 0 0 1'/></worldbody></mujoco>"
)
assert physics.render(16, 16).any(), "the picture is black"
from OpenGL import GL
with physics.contexts.gl.make_current() as context:
    print("renderer:", context.call(GL.glGetString, GL.GL_RENDERER).decode())
"""


@dataclass(frozen=True)
class Check:
    """One line of `wm doctor`.

    Attributes:
        name: what was checked.
        ok: whether it works.
        detail: what was found, one line.
        remedy: what to do, one sentence; empty if ok.
    """

    name: str
    ok: bool
    detail: str
    remedy: str


def select_backend() -> str:
    """Sets the environment to an OpenGL backend that draws, and returns its name: what MUJOCO_GL asks for,
    else egl, else osmesa.

    Raises:
        RunError: none works, with the Debian packages that bring one; or MuJoCo was imported too early.
    """
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    backend, _, _ = os.environ.get(_PROVEN, "").partition("|")
    if not backend or (wanted and wanted != backend):
        backend = _prove((wanted,) if wanted else CANDIDATES)
    os.environ.update(_environment(backend))
    os.environ.setdefault("LP_NUM_THREADS", "1")  # as fast at these sizes, and two workers do not fight
    _check_not_too_late(backend)
    return backend


def describe_backend() -> str:
    """`egl (llvmpipe ...)`: the backend and the renderer behind it; frames of two renderers may differ.

    Raises:
        RunError: as `select_backend`.
    """
    backend = select_backend()
    return f"{backend} ({os.environ[_PROVEN].partition('|')[2]})"


def check_rendering() -> list[Check]:
    """Tries every candidate, and the one that MUJOCO_GL asks for; takes about a second each."""
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    checks = []
    for backend in dict.fromkeys((*CANDIDATES, wanted) if wanted else CANDIDATES):
        renderer, error = _probe(backend)
        package = _PACKAGES.get(backend)
        remedy = f"apt-get install {package}" if package else "unset MUJOCO_GL"
        checks.append(
            Check(f"rendering with {backend}", not error, error or renderer, remedy if error else "")
        )
    return checks


def _prove(candidates: tuple[str, ...]) -> str:
    """The first candidate that draws; noted in the environment."""
    failures = []
    for backend in candidates:
        renderer, error = _probe(backend)
        if not error:
            os.environ[_PROVEN] = f"{backend}|{renderer}"
            return backend
        failures.append(f"{backend}: {error}")
    asked = os.environ.get("MUJOCO_GL")
    remedy = f"Unset MUJOCO_GL (it is {asked!r}), or: {REMEDY}" if asked else REMEDY
    raise RunError("rendering", f"no OpenGL backend can draw a frame ({'; '.join(failures)}).", remedy)


def _probe(backend: str) -> tuple[str, str]:
    """Draws a picture in a child process; returns (renderer, error), one of them empty."""
    command = [sys.executable, "-P", "-W", "ignore", "-c", _PROBE]
    environment = os.environ | _environment(backend)
    try:
        child = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"no picture within {_TIMEOUT:.0f} s"
    if child.returncode == 0:
        return child.stdout.rpartition("renderer: ")[2].strip() or "unknown", ""
    lines = [line for line in child.stderr.splitlines() if line.strip() and not line.startswith(" ")]
    errors = [line for line in lines if "Error" in line and "Exception ignored" not in line]
    return "", (errors or lines or [f"exit status {child.returncode}"])[-1].strip()


def _environment(backend: str) -> dict[str, str]:
    """The variables that make MuJoCo, PyOpenGL and dm_control use a backend."""
    variables = {"MUJOCO_GL": backend}
    if backend in CANDIDATES:
        variables["PYOPENGL_PLATFORM"] = backend
    if backend == "osmesa":
        variables["DISABLE_RENDER_THREAD_OFFLOADING"] = "1"  # else a traceback when the process ends
    return variables


def _check_not_too_late(backend: str) -> None:
    loaded = getattr(sys.modules.get("dm_control._render"), "BACKEND", backend)
    if loaded != backend:
        raise RunError(
            "rendering",
            f"dm_control was imported before a backend was chosen, and took {loaded} instead of {backend}.",
            f"Import it later, or set MUJOCO_GL={backend} before starting.",
        )
