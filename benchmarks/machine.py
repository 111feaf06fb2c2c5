"""The machine that a figure was measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def machine(device: torch.device) -> dict[str, Any]:
    """What a reader needs to judge the figures; nothing that names the machine."""
    cpu = "unknown"
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    gpu = {"gpu": torch.cuda.get_device_name()} if device.type == "cuda" else {}
    return {"cpu": cpu, **gpu, "threads": torch.get_num_threads(), "torch": torch.__version__}
