"""Which OpenGL backend is chosen, and what is said when there is none."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from harness.errors import RunError
from harness.tasks import rendering


@pytest.fixture
def probes(monkeypatch):
    """A machine where only the backends in `working` draw; `asked` lists the probes."""
    machine = types.SimpleNamespace(working={"egl", "osmesa"}, asked=[])

    def probe(backend):
        machine.asked.append(backend)
        works = backend in machine.working
        return rendering.Picture("soft pipe") if works else rendering.Picture(error="ImportError: no library")

    for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISABLE_RENDER_THREAD_OFFLOADING", "WM_RENDERING"):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores it whatever happens to it
        monkeypatch.delenv(name)
    monkeypatch.setenv("LP_NUM_THREADS", "1")
    monkeypatch.setattr(rendering, "_probe", probe)
    monkeypatch.delitem(sys.modules, "dm_control._render", raising=False)
    return machine


def test_egl_first_and_asked_once_for_all_children(probes):
    assert rendering.select_backend() == "egl"
    assert rendering.select_backend() == "egl"
    assert probes.asked == ["egl"]
    assert (os.environ["MUJOCO_GL"], os.environ["PYOPENGL_PLATFORM"]) == ("egl", "egl")
    assert "DISABLE_RENDER_THREAD_OFFLOADING" not in os.environ
    assert rendering.describe_backend() == "egl (soft pipe)"


def test_osmesa_where_egl_fails(probes):
    probes.working = {"osmesa"}
    assert rendering.select_backend() == "osmesa"
    assert probes.asked == ["egl", "osmesa"]
    assert os.environ["DISABLE_RENDER_THREAD_OFFLOADING"] == "1"


def test_the_user_decides(probes, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert rendering.select_backend() == "osmesa"
    assert probes.asked == ["osmesa"]


def test_a_choice_that_does_not_work_says_so(probes, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(RunError, match="Unset MUJOCO_GL") as caught:
        rendering.select_backend()
    assert probes.asked == ["glfw"]
    assert caught.value.kind == "rendering"


def test_no_backend_names_the_packages(probes):
    probes.working = set()
    with pytest.raises(RunError, match="egl: ImportError: no library; osmesa: ImportError") as caught:
        rendering.select_backend()
    assert caught.value.kind == "rendering"
    assert "libosmesa6" in caught.value.remedy
    assert "libegl1 libgl1" in caught.value.remedy
    assert "MUJOCO_GL" not in os.environ


def test_dm_control_imported_too_early_is_told(probes, monkeypatch):
    monkeypatch.setitem(sys.modules, "dm_control._render", types.SimpleNamespace(BACKEND="glfw"))
    with pytest.raises(RunError, match="took glfw instead of egl"):
        rendering.select_backend()


def test_doctor_checks_each(probes, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    probes.working = {"egl"}
    checks = {check.name: check for check in rendering.check_rendering()}
    assert checks["rendering with egl"] == rendering.Check("rendering with egl", True, "soft pipe", "")
    assert checks["rendering with osmesa"].remedy == "apt-get install libosmesa6"
    assert checks["rendering with glfw"].remedy == "unset MUJOCO_GL"


def test_a_real_probe_of_a_backend_that_is_none():
    picture = rendering._probe("bogus")
    assert not picture.renderer
    assert "bogus" in picture.error


@pytest.mark.render
def test_a_real_probe(tmp_path):
    """With decoys in the working directory, which must not be imported."""
    for decoy in ("mujoco", "dm_control", "OpenGL"):
        (tmp_path / f"{decoy}.py").write_text("raise SystemExit(3)")
    code = "from harness.tasks import describe_backend; print(describe_backend())"
    environment = {k: v for k, v in os.environ.items() if k not in {"MUJOCO_GL", "WM_RENDERING"}}
    environment["PYTHONPATH"] = str(Path(rendering.__file__).parents[2])
    child = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    if child.returncode and "no OpenGL backend" in child.stderr:
        pytest.skip("no OpenGL on this machine")
    backend, _, renderer = child.stdout.strip().partition(" ")
    assert backend in {"egl", "osmesa"}
    assert len(renderer) > 2
