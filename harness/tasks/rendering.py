"""Chooses an OpenGL backend that works on this machine, before MuJoCo is imported.

MuJoCo reads its backend from the environment at import, and a backend that imports can still fail to draw. So
each candidate draws a picture in a child process first. The answer is kept in the environment: processes that
this one starts do not ask again, unless they are given another GPU. Where CUDA sees a GPU, EGL draws on that one
(`harness.devices`), as the picture proves, or the rendering is done by software.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from harness import devices
from harness.devices import Devices, Proven
from harness.errors import RunError

CANDIDATES = ("egl", "osmesa")
REMEDY = (
    "Install a software OpenGL, as root: apt-get install libosmesa6 (or libegl1 libgl1); "
    "`wm doctor` checks again."
)
_PACKAGES = {"egl": "libegl1 libgl1", "osmesa": "libosmesa6"}
_PROVEN = "WM_RENDERING"  # what drew a picture, as JSON
_DEVICE = "MUJOCO_EGL_DEVICE_ID"
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software", "swr")
_TIMEOUT = 120.0

_PROBE = """
import ctypes
from dm_control import mujoco
physics = mujoco.Physics.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom size='1' rgba='1 0 0 1'/></worldbody></mujoco>"
)
assert physics.render(16, 16).any(), "the picture is black"
from OpenGL import GL
from OpenGL.raw.GL.EXT import memory_object as memory
from OpenGL.raw.GL.VERSION.GL_1_0 import glGetIntegerv
def uuids():
    count = (ctypes.c_int * 1)()
    if memory.glGetUnsignedBytei_vEXT:
        glGetIntegerv(memory.GL_NUM_DEVICE_UUIDS_EXT, count)
    for number in range(count[0]):
        uuid = (ctypes.c_ubyte * 16)()
        memory.glGetUnsignedBytei_vEXT(memory.GL_DEVICE_UUID_EXT, number, uuid)
        yield bytes(uuid).hex()
with physics.contexts.gl.make_current() as context:
    print("uuids:", *context.call(lambda: list(uuids())))
    print("renderer:", context.call(GL.glGetString, GL.GL_RENDERER).decode())
"""

log = logging.getLogger("wm")


@dataclass(frozen=True)
class Picture:
    """What drew a picture: how OpenGL calls itself, the UUIDs of its devices in hex digits; or why there is none."""

    renderer: str = ""
    error: str = ""
    uuids: str = ""


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
    return select().rendering


def select() -> Proven:
    """As `select_backend`, with all that is known about what draws.

    Raises:
        RunError: as `select_backend`.
    """
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    proven = _known()
    if proven is None or proven.visible != devices.visible() or (wanted and wanted != proven.rendering):
        proven = _prove((wanted,) if wanted else CANDIDATES, proven)
    os.environ.update(_environment(proven.rendering, proven.egl_device))
    os.environ.setdefault("LP_NUM_THREADS", "1")  # as fast at these sizes, and two workers do not fight
    _check_not_too_late(proven.rendering)
    return proven


def describe_backend() -> str:
    """`egl (llvmpipe ...)`: the backend and the renderer behind it; frames of two renderers may differ.

    Raises:
        RunError: as `select_backend`.
    """
    proven = select()
    return f"{proven.rendering} ({proven.renderer})"


def check_rendering() -> list[Check]:
    """Tries every candidate, and the one that MUJOCO_GL asks for; takes about a second each."""
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    checks = []
    for backend in dict.fromkeys((*CANDIDATES, wanted) if wanted else CANDIDATES):
        drawn = _draw(backend)
        works = isinstance(drawn, Proven)
        package = _PACKAGES.get(backend)
        remedy = f"apt-get install {package}" if package else "unset MUJOCO_GL"
        detail = drawn.renderer if isinstance(drawn, Proven) else drawn
        checks.append(Check(f"rendering with {backend}", works, detail, "" if works else remedy))
    return checks


def _known() -> Proven | None:
    """What this process, or one that started it, has found out."""
    try:
        said = json.loads(os.environ.get(_PROVEN, ""))
        return Proven(**said | {"gpu": tuple(said["gpu"])})
    except (ValueError, TypeError, KeyError):
        return None


def _prove(candidates: Sequence[str], before: Proven | None) -> Proven:
    """The first candidate that draws; noted in the environment."""
    if before is not None and os.environ.get(_DEVICE) == str(before.egl_device):
        del os.environ[_DEVICE]  # it is ours, and of another GPU
    failures: list[str] = []
    for backend in candidates:
        drawn = _draw(backend)
        if isinstance(drawn, Proven):
            os.environ[_PROVEN] = json.dumps(asdict(drawn))
            if failures:
                log.warning("rendering with %s (%s); %s", backend, drawn.renderer, "; ".join(failures))
            return drawn
        failures.append(f"{backend}: {drawn}")
    asked = [
        f"{name} (it is {os.environ[name]!r})" for name in ("MUJOCO_GL", _DEVICE) if os.environ.get(name)
    ]
    remedy = f"Unset {' and '.join(asked)}, or: {REMEDY}" if asked else REMEDY
    raise RunError("rendering", f"no OpenGL backend can draw a frame ({'; '.join(failures)}).", remedy)


def _draw(backend: str) -> Proven | str:
    """Draws with a backend, on the right device; returns what drew, or why nothing did."""
    if backend == "egl":
        seen = devices.look()
        if seen.candidates and (seen.gpu or devices.hidden()):
            return _draw_on(seen)
    picture = _probe(backend)
    return picture.error or Proven(backend, picture.renderer, visible=devices.visible())


def _draw_on(seen: Devices) -> Proven | str:
    """Draws with EGL on the GPU that CUDA sees, or by software: never on a GPU that is another's."""
    asked = os.environ.get(_DEVICE)
    failures: list[str] = []
    for device in [*(seen.candidates if seen.gpu else []), *(one for one in seen.egl if one.cuda is None)]:
        if asked and asked != str(device.number):
            continue
        picture = _probe("egl", device.number)
        proven = Proven("egl", picture.renderer, device.number, visible=devices.visible())
        same = seen.is_same(device, picture.uuids)
        if picture.error:
            failures.append(f"device {device.number}: {picture.error}")
        elif device.cuda is None and any(word in picture.renderer.lower() for word in _SOFTWARE):
            return proven
        elif seen.gpu and same:
            return replace(proven, gpu=seen.gpu.uuids)
        else:
            whose = "which is not the GPU that CUDA was given" if same is False else "nobody knows where"
            failures.append(f"device {device.number} draws with {picture.renderer}, {whose}")
    return ", ".join(failures) or f"there is no EGL device {asked or 'without a GPU'}"


def _probe(backend: str, device: int | None = None) -> Picture:
    """Draws a picture in a child process."""
    command = [sys.executable, "-P", "-W", "ignore", "-c", _PROBE]
    environment = os.environ | _environment(backend, device)
    for _ in range(2):
        try:
            child = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return Picture(error=f"no picture within {_TIMEOUT:.0f} s")
        if child.returncode not in {-signal.SIGTERM, -signal.SIGUSR2}:
            break  # else a scheduler has told all processes of a job to leave: that is no answer
    if child.returncode == 0:
        said = dict(line.split(": ", 1) for line in child.stdout.splitlines() if ": " in line)
        return Picture(said.get("renderer", "").strip() or "unknown", uuids=said.get("uuids", "").strip())
    lines = [line for line in child.stderr.splitlines() if line.strip() and not line.startswith(" ")]
    errors = [line for line in lines if "Error" in line and "Exception ignored" not in line]
    return Picture(error=(errors or lines or [f"exit status {child.returncode}"])[-1].strip())


def _environment(backend: str, device: int | None = None) -> dict[str, str]:
    """The variables that make MuJoCo, PyOpenGL and dm_control use a backend, and EGL a device."""
    variables = {"MUJOCO_GL": backend}
    if backend in CANDIDATES:
        variables["PYOPENGL_PLATFORM"] = backend
    if device is not None:
        variables[_DEVICE] = str(device)
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
