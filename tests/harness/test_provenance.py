"""What the record of an attempt says of the machine."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from harness.provenance import gpu_memory


def test_the_memory_of_the_gpu_that_was_used(monkeypatch):
    held = [0, 3 * 2**30]
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 2,
        max_memory_reserved=lambda device: held[device],
        get_device_properties=lambda device: SimpleNamespace(name=f"GPU {device}", total_memory=80 * 2**30),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert gpu_memory() == {"gpu": "GPU 1", "gpu_memory_mb": 80 * 1024, "peak_gpu_memory_mb": 3 * 1024}
    cuda.is_initialized = lambda: False
    assert gpu_memory() == {}
    monkeypatch.delitem(sys.modules, "torch")
    assert gpu_memory() == {}
