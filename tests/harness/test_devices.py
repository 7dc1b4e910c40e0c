"""Which EGL device is the GPU that CUDA was given, and what is drawn on: with devices as drivers describe them."""

import json
import os
import subprocess
import sys
import types

import pytest

from harness import devices
from harness.devices import Devices, EglDevice, Gpu, Proven
from harness.errors import RunError
from harness.tasks import rendering
from harness.tasks.rendering import Picture

OURS, OTHER, PART = "aa" * 16, "bb" * 16, "cc" * 16
SOFTWARE = EglDevice(2, None)


def two_gpus(first=None, second=None, **changes):
    """A machine with two GPUs and software, whose EGL calls our GPU number 1."""
    one = EglDevice(0, first, changes.pop("pci_0", ""))
    two = EglDevice(1, second, changes.pop("pci_1", ""))
    return Devices(Gpu("H200", (OURS,), "0000:17:00.0"), (one, two, SOFTWARE), **changes)


@pytest.fixture
def draws(monkeypatch):
    """Makes a machine: `draws(seen, {device: picture})`; `draws.asked` lists the devices that were tried."""

    def make(seen, pictures):
        def probe(backend, device=None):
            make.asked.append(device if backend == "egl" else backend)
            return pictures.get(make.asked[-1], Picture(error="no library"))

        monkeypatch.setattr(rendering, "_probe", probe)
        monkeypatch.setattr(devices, "look", lambda: seen)

    make.asked = []
    for name in (
        "MUJOCO_GL",
        "PYOPENGL_PLATFORM",
        "DISABLE_RENDER_THREAD_OFFLOADING",
        "WM_RENDERING",
        "MUJOCO_EGL_DEVICE_ID",
        "CUDA_VISIBLE_DEVICES",
    ):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores it whatever happens to it
        monkeypatch.delenv(name)
    monkeypatch.setenv("LP_NUM_THREADS", "1")
    monkeypatch.delitem(sys.modules, "dm_control._render", raising=False)
    return make


def on(uuids, renderer="NVIDIA H200"):
    return Picture(renderer, uuids=uuids)


def test_the_driver_counts_as_cuda_does(draws):
    draws(two_gpus(first=1, second=0), {1: on(OURS), 0: on(OTHER)})
    assert rendering.select_backend() == "egl"
    assert draws.asked == [1]
    assert os.environ["MUJOCO_EGL_DEVICE_ID"] == "1"
    assert rendering.select().gpu == (OURS,)
    assert draws.asked == [1]


@pytest.mark.parametrize("ordinals", [(0, 1), (0, 0)])
def test_the_picture_is_believed_not_the_number(draws, ordinals):
    draws(two_gpus(*ordinals), {0: on(OTHER), 1: on(OURS)})
    proven = rendering.select()
    assert draws.asked == [0, 1]
    assert (proven.egl_device, proven.gpu) == (1, (OURS,))


def test_a_part_of_a_gpu_is_known_by_the_gpu(draws):
    seen = Devices(Gpu("H200 MIG 1g.18gb", (OURS, PART)), (EglDevice(0, 0),))
    draws(seen, {0: on(OURS)})
    assert rendering.select().gpu == (OURS, PART)


def test_the_place_on_the_bus_where_opengl_gives_no_uuid(draws):
    draws(two_gpus(0, 0, pci_0="0000:9a:00.0", pci_1="0000:17:00.0"), {0: on(""), 1: on("")})
    assert rendering.select().egl_device == 1
    assert draws.asked == [1]


def test_the_only_gpu_needs_no_further_proof_and_one_of_two_does(draws):
    only = Devices(Gpu("H200", (OURS,)), (EglDevice(0, 0), SOFTWARE))
    draws(only, {0: on("")})
    assert rendering.select().egl_device == 0
    os.environ.pop("WM_RENDERING")
    draws(two_gpus(0, 1), {0: on(""), 1: on("")})
    with pytest.raises(RunError, match="device 0 draws with NVIDIA H200, nobody knows where"):
        rendering.select()


def test_never_on_another_gpu_but_by_software(draws):
    draws(two_gpus(0), {0: on(OTHER), 2: on("", "llvmpipe (LLVM 15)")})
    proven = rendering.select()
    assert (proven.egl_device, proven.gpu, proven.renderer) == (2, (), "llvmpipe (LLVM 15)")


def test_osmesa_where_egl_has_only_another_gpu(draws):
    draws(two_gpus(0), {0: on(OTHER), "osmesa": on("", "llvmpipe")})
    assert rendering.select().rendering == "osmesa"


def test_a_mismatch_that_leaves_nothing_says_so(draws):
    draws(two_gpus(0), {0: on(OTHER)})
    with pytest.raises(RunError, match="device 0 draws with NVIDIA H200, which is not the GPU") as caught:
        rendering.select()
    assert caught.value.kind == "rendering"


def test_a_device_that_the_user_asks_for_is_checked_too(draws, monkeypatch):
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "0")
    draws(two_gpus(0, 1), {0: on(OTHER), 1: on(OURS)})
    with pytest.raises(RunError, match=r"Unset MUJOCO_EGL_DEVICE_ID \(it is '0'\)"):
        rendering.select()
    assert draws.asked == [0, "osmesa"]


def test_a_process_with_another_gpu_asks_again(draws, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    draws(two_gpus(0), {0: on(OURS)})
    assert rendering.select().egl_device == 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    draws(two_gpus(1, 0), {1: on(OURS)})
    assert rendering.select().egl_device == 1
    assert os.environ["MUJOCO_EGL_DEVICE_ID"] == "1"


def test_where_the_gpus_are_hidden_only_software_draws(draws, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    hidden = Devices(None, (EglDevice(0, 0), EglDevice(1, None)), "cuInit ended with status 100")
    draws(hidden, {0: on(OTHER), 1: on("", "llvmpipe"), None: on(OTHER)})
    assert rendering.select().egl_device == 1
    assert draws.asked == [1]


def test_without_a_gpu_nothing_is_asked_of_egl(draws):
    draws(Devices(), {None: on("", "llvmpipe")})
    assert rendering.select() == Proven("egl", "llvmpipe")
    assert "MUJOCO_EGL_DEVICE_ID" not in os.environ


def test_a_computing_gpu_must_be_the_drawing_one():
    drawing = Proven("egl", "NVIDIA H200", 0, (OURS,))
    ours = {"name": "H200", "uuid": "aaaaaaaa-AAAA-aaaa-aaaa-" + "aa" * 6, "index": "0"}
    devices.check_same(drawing, ours)
    devices.check_same(drawing, None)  # it computes on the CPU
    devices.check_same(Proven("osmesa", "llvmpipe"), ours)
    with pytest.raises(RunError, match="computes on GPU 1 and would draw on EGL device 0") as caught:
        devices.check_same(drawing, {**ours, "uuid": OTHER, "index": "1"})
    assert caught.value.kind == "rendering"


@pytest.fixture
def torch_of(monkeypatch):
    """A torch that was built and sees as told."""

    def make(built, sees):
        cuda = types.SimpleNamespace(is_available=lambda: sees)
        monkeypatch.setitem(
            sys.modules, "torch", types.SimpleNamespace(version=types.SimpleNamespace(cuda=built), cuda=cuda)
        )

    monkeypatch.setattr(devices, "look", lambda: Devices(error="cuInit ended with status 999"))
    monkeypatch.setenv("SLURM_JOB_GPUS", "3")
    monkeypatch.delenv("SLURM_STEP_GPUS", raising=False)
    return make


def test_a_gpu_that_slurm_gave_and_cuda_does_not_see(torch_of, monkeypatch):
    torch_of("12.8", sees=False)
    with pytest.raises(RunError, match=r"GPU 3 of .* CUDA sees none .*status 999") as caught:
        devices.check_given("auto")
    assert caught.value.kind == "node"
    assert "nvidia-smi" in caught.value.remedy
    devices.check_given("cpu")
    torch_of("12.8", sees=True)
    devices.check_given("auto")
    torch_of(None, sees=False)
    with pytest.raises(RunError, match="without CUDA") as caught:
        devices.check_given("auto")
    assert caught.value.kind == "setup"
    monkeypatch.delenv("SLURM_JOB_GPUS")
    devices.check_given("auto")


def test_what_the_driver_says_is_read(tmp_path):
    (tmp_path / "0000:17:00.0").mkdir()
    (tmp_path / "card1").mkdir()
    (tmp_path / "card1" / "device").symlink_to("../0000:17:00.0")
    said = {
        "cuda": {"name": "H200", "pci": "00000000:17:00.0", "uuids": [OURS]},
        "egl": [{"cuda": 0, "drm": "/dev/dri/card1"}, {"cuda": None, "drm": None}],
    }
    seen = devices.read(said, tmp_path)
    assert seen.gpu == Gpu("H200", (OURS,), "0000:17:00.0")
    assert seen.egl == (EglDevice(0, 0, "0000:17:00.0"), EglDevice(1, None))
    assert devices.read({"cuda_error": "no driver", "egl": []}).error == "no driver"


def test_the_child_answers_on_this_machine():
    command = [sys.executable, "-I", "-c", devices._LOOK]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    said = json.loads(child.stdout)
    assert ("cuda" in said) != ("cuda_error" in said)
    assert ("egl" in said) != ("egl_error" in said)
    devices.read(said)
