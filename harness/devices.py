"""The GPU that this process was given, and the EGL device that is the same one.

CUDA counts the GPUs that CUDA_VISIBLE_DEVICES leaves visible, in an order of its own; EGL counts all that it finds, in
another order. What is drawn on a device says which GPU that is, so the two are compared by the GPU's UUID. MuJoCo and
dm_control take the number of an EGL device from MUJOCO_EGL_DEVICE_ID when they are imported.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RunError

_TIMEOUT = 60.0

_LOOK = """
import ctypes, json, sys

def cuda():
    driver = ctypes.CDLL("libcuda.so.1")
    def call(name, *arguments):
        status = getattr(driver, name)(*arguments)
        if status:
            raise OSError(f"{name} ended with status {status}")
    call("cuInit", 0)
    count, device = ctypes.c_int(), ctypes.c_int()
    call("cuDeviceGetCount", ctypes.byref(count))
    if not count.value:
        raise OSError("it counts 0 devices")
    call("cuDeviceGet", ctypes.byref(device), 0)
    name, place = ctypes.create_string_buffer(256), ctypes.create_string_buffer(64)
    call("cuDeviceGetName", name, 256, device)
    call("cuDeviceGetPCIBusId", place, 64, device)
    uuids = []
    for function in ("cuDeviceGetUuid", "cuDeviceGetUuid_v2"):  # of the GPU; of the part of it, with MIG
        if hasattr(driver, function):
            uuid = (ctypes.c_ubyte * 16)()
            call(function, uuid, device)
            uuids.append(bytes(uuid).hex())
    return {"name": name.value.decode(), "pci": place.value.decode().lower(), "uuids": uuids}

def egl():
    library = ctypes.CDLL("libEGL.so.1")
    library.eglGetProcAddress.restype = ctypes.c_void_p
    library.eglGetProcAddress.argtypes = [ctypes.c_char_p]
    def function(name, *types):
        address = library.eglGetProcAddress(name)
        if not address:
            raise OSError(f"{name.decode()} is missing")
        return ctypes.CFUNCTYPE(*types)(address)
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    query = function(b"eglQueryDevicesEXT", ctypes.c_uint, integer, ctypes.POINTER(pointer), ctypes.POINTER(integer))
    number, text = (
        function(b"eglQueryDeviceAttribEXT", ctypes.c_uint, pointer, integer, ctypes.POINTER(ctypes.c_ssize_t)),
        function(b"eglQueryDeviceStringEXT", ctypes.c_char_p, pointer, integer),
    )
    devices, count = (pointer * 64)(), integer()
    if not query(64, devices, ctypes.byref(count)):
        raise OSError("eglQueryDevicesEXT failed")
    found = []
    for device in devices[: count.value]:
        ordinal, extensions = ctypes.c_ssize_t(-1), text(device, 0x3055) or b""
        known = number(device, 0x323A, ctypes.byref(ordinal))  # EGL_CUDA_DEVICE_NV
        file = text(device, 0x3233) if b"EGL_EXT_device_drm" in extensions else None  # EGL_DRM_DEVICE_FILE_EXT
        found.append({"cuda": ordinal.value if known else None, "drm": file.decode() if file else None})
    return found

said = {}
for name, ask in (("cuda", cuda), ("egl", egl)):
    try:
        said[name] = ask()
    except (OSError, AttributeError) as error:
        said[name + "_error"] = str(error)
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Gpu:
    """A GPU as CUDA sees it.

    Attributes:
        name: of the product.
        uuids: 32 hex digits: of the GPU, and of the part of it that was given (MIG).
        pci: its address on the bus, or empty.
    """

    name: str
    uuids: tuple[str, ...]
    pci: str = ""


@dataclass(frozen=True)
class EglDevice:
    """A device as EGL sees it.

    Attributes:
        number: what MUJOCO_EGL_DEVICE_ID calls it.
        cuda: the CUDA device that the driver says it is; None: it is no NVIDIA device.
        pci: its address on the bus, or empty.
    """

    number: int
    cuda: int | None
    pci: str = ""


@dataclass(frozen=True)
class Devices:
    """What CUDA and EGL see from here; empty without an NVIDIA device. `error` says why CUDA sees nothing."""

    gpu: Gpu | None = None
    egl: tuple[EglDevice, ...] = ()
    error: str = ""

    @property
    def candidates(self) -> list[EglDevice]:
        """The EGL devices that may be the GPU, the likeliest first.

        Drivers differ in whether they count as CUDA_VISIBLE_DEVICES says, and some give several the same number.
        """
        found = [device for device in self.egl if device.cuda is not None]
        return sorted(found, key=lambda device: (not self._same_place(device), device.cuda != 0))

    def is_same(self, device: EglDevice, drawn_by: str) -> bool | None:
        """Whether a device that drew a picture is the GPU; None if nothing tells.

        Args:
            device: of EGL.
            drawn_by: the UUIDs that OpenGL gave while it drew, 32 hex digits each, or the empty string.
        """
        if self.gpu is None:
            return None
        if drawn_by:
            return any(uuid in drawn_by for uuid in self.gpu.uuids)
        if device.pci and self.gpu.pci:
            return self._same_place(device)
        return True if len(self.candidates) == 1 else None

    def _same_place(self, device: EglDevice) -> bool:
        return bool(self.gpu and self.gpu.pci and device.pci == self.gpu.pci)


@dataclass(frozen=True)
class Proven:
    """What is known to draw frames: `harness.tasks.rendering` finds it out.

    Attributes:
        rendering: the backend.
        renderer: how OpenGL calls itself; frames of two renderers may differ.
        egl_device: what MUJOCO_EGL_DEVICE_ID says; None: it says nothing.
        gpu: UUIDs of the GPU that it is known to draw on, in hex digits; empty if it is no GPU of CUDA's.
        visible: CUDA_VISIBLE_DEVICES as it was.
    """

    rendering: str
    renderer: str
    egl_device: int | None = None
    gpu: tuple[str, ...] = ()
    visible: str | None = None


def visible() -> str | None:
    """CUDA_VISIBLE_DEVICES: indices, or UUIDs of GPUs or of parts of them; None if it is not set."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def hidden() -> bool:
    """Whether this process was told that no GPU is its own."""
    return visible() in {"", "-1", "NoDevFiles"}


def look() -> Devices:
    """What CUDA and EGL see from here, asked in a child process, so that this one loads neither."""
    if not any(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*")):
        return Devices()
    command = [sys.executable, "-P", "-I", "-c", _LOOK]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return Devices(error=f"CUDA and EGL gave no answer within {_TIMEOUT:.0f} s")
    try:
        return read(json.loads(child.stdout))
    except ValueError:
        return Devices(error=(child.stderr.strip() or f"exit status {child.returncode}").splitlines()[-1])


def in_use(device: str) -> dict[str, Any] | None:
    """The GPU that torch computes on: name, uuid, and its index as CUDA_VISIBLE_DEVICES gives it; None for another.

    Args:
        device: as torch writes it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return None
    number = torch.device(device).index or 0
    properties = torch.cuda.get_device_properties(number)
    given = (visible() or "").split(",")
    return {
        "name": properties.name,
        "uuid": str(getattr(properties, "uuid", "")),
        "index": given[number].strip() if number < len(given) and given[number] else str(number),
    }


def check_given(device: str) -> None:
    """Checks that a job of SLURM that was given GPUs can use one.

    Args:
        device: runtime.device.

    Raises:
        RunError: it cannot.
    """
    given = next(filter(None, map(os.environ.get, ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS"))), None)
    if given is None or device == "cpu":
        return
    import torch

    if torch.version.cuda is None:
        raise RunError(
            "setup",
            f"SLURM gave this job GPU {given}, and the installed torch is built without CUDA.",
            "Install a build of torch with CUDA, or run it with runtime.device=cpu and resources.gpus=0.",
        )
    if not torch.cuda.is_available():
        raise RunError(
            "node",
            f"SLURM gave this job GPU {given} of {socket.gethostname()}, and CUDA sees none "
            f"(CUDA_VISIBLE_DEVICES is {visible()!r}{_reason()}).",
            "See `nvidia-smi` there; resources.exclude keeps jobs off a node.",
        )


def check_same(drawing: Proven, gpu: dict[str, Any] | None) -> None:
    """Checks that a run draws where it computes; what computes on the CPU, or draws by software, may.

    Args:
        drawing: what draws.
        gpu: as `in_use` has it.

    Raises:
        RunError: it draws on another GPU.
    """
    if gpu is None or not drawing.gpu or not gpu["uuid"]:
        return
    if gpu["uuid"].replace("-", "").lower() not in drawing.gpu:
        raise RunError(
            "rendering",
            f"the run computes on GPU {gpu['index']} and would draw on EGL device {drawing.egl_device}, another GPU.",
            "Choose the GPU with CUDA_VISIBLE_DEVICES, and runtime.device=cuda without a number.",
        )


def _reason() -> str:
    error = look().error
    return f"; {error}" if error else ""


def read(said: dict[str, Any], drm: Path = Path("/sys/class/drm")) -> Devices:
    """What the child process said.

    Args:
        said: by it.
        drm: where the system says which device a card is.
    """
    cuda = said.get("cuda")
    gpu = Gpu(cuda["name"], tuple(cuda["uuids"]), _address(cuda["pci"])) if cuda else None
    egl = [
        EglDevice(number, one["cuda"], _card_address(one["drm"], drm))
        for number, one in enumerate(said.get("egl", []))
    ]
    return Devices(gpu, tuple(egl), said.get("cuda_error", ""))


def _card_address(card: str | None, drm: Path) -> str:
    device = drm / Path(card).name / "device" if card else None
    return _address(device.resolve().name) if device and device.exists() else ""


def _address(text: str) -> str:
    """`0000:17:00.0`; CUDA and the system write the domain with 4 or 8 digits."""
    domain, _, rest = text.lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}" if rest else ""
