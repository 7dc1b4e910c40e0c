"""What only a CUDA device can show; skipped without one."""

import pytest
import torch

from harness import devices
from harness.build import build_agent, build_model, make_streams
from harness.entry import execute
from harness.errors import RunError
from harness.tasks import find_task, rendering
from models.types import Observation
from tests.harness.runs import make_run, numbers, tiny_config

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

DESIGNS = [
    ("images", "latent", "stochastic"),
    ("images", "latent", "deterministic"),
    ("rewards", "latent", "stochastic"),
    ("rewards", "pixel", "deterministic"),
]


@pytest.mark.parametrize(("predict", "space", "dynamics"), DESIGNS)
def test_a_run_on_the_gpu_draws_the_numbers_of_the_cpu(tmp_path, predict, space, dynamics):
    runs = []
    for device in ("cpu", "cuda"):
        config = tiny_config(predict=predict, space=space, dynamics=dynamics, runtime__device=device)
        run = make_run(tmp_path / device, config)
        assert execute(run, datasets=tmp_path / device / "datasets") == "done", run.read_state().error
        runs.append(numbers(run))
    cold = [[r["return"] for r in records if r["kind"] == "episode"][:2] for records in runs]
    assert cold[0] == cold[1]
    first = [next(r for r in records if r["kind"] == "train") for records in runs]
    assert first[1]["loss"] == pytest.approx(first[0]["loss"], rel=1e-2)


def test_a_plan_on_the_gpu_is_that_of_the_cpu():
    torch.backends.cuda.matmul.allow_tf32 = False
    config = tiny_config()
    task = find_task(config.task, config.env)
    streams = make_streams(config)
    column = Observation(
        torch.full((1, 3, 16, 16), 100, dtype=torch.uint8),
        torch.zeros(1, 2),
        torch.zeros(1),
        torch.ones(1).bool(),
    )
    actions = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        agent = build_agent(
            config, task.spec, streams, device, build_model(config, task.spec, streams).to(device)
        )
        rows = [("collect", 0, 0)]
        actions.append(agent.plan(agent.observe(agent.initial(1), column, rows), rows)[0])
    torch.testing.assert_close(actions[0], actions[1], atol=1e-3, rtol=1e-3)


def test_cuda_and_egl_are_on_one_gpu_and_the_attempt_says_so(tmp_path):
    """Or the rendering is by software, and the attempt says that."""
    config = tiny_config(task="dmc/cheetah-run", env__time_limit=48, runtime__device="cuda")
    run = make_run(tmp_path, config)
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    start, end = run.read_attempts()
    properties = torch.cuda.get_device_properties(0)
    assert (start["gpu"]["name"], start["gpu"]["uuid"]) == (properties.name, str(properties.uuid))
    assert end["peak_gpu_memory_mb"] > 1
    proven = rendering.select()
    assert (start["rendering"], start["egl_device"]) == (proven.rendering, proven.egl_device)
    if proven.gpu:
        assert str(properties.uuid).replace("-", "") in proven.gpu
        assert any(word in proven.renderer for word in (properties.name, "NVIDIA"))
    else:
        assert any(word in proven.renderer.lower() for word in ("llvmpipe", "softpipe", "swrast"))


def test_cuda_is_seen_by_the_child_that_looks():
    seen = devices.look()
    assert seen.error == ""
    assert str(torch.cuda.get_device_properties(0).uuid).replace("-", "") in seen.gpu.uuids
    assert seen.gpu.name == torch.cuda.get_device_name(0)


def test_a_job_without_a_visible_gpu_draws_by_software_alone(monkeypatch):
    for name in ("MUJOCO_GL", "WM_RENDERING", "MUJOCO_EGL_DEVICE_ID"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(rendering, "_check_not_too_late", lambda _: None)
    try:
        proven = rendering.select()
    except RunError as error:
        pytest.skip(f"no software rendering here: {error}")
    assert not proven.gpu
    assert "NVIDIA" not in proven.renderer
