"""What a run was made with."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

PACKAGES = ("limbeck", "torch", "torchvision", "timm", "transformers", "accelerate", "numpy", "datasets")


def versions() -> dict[str, str]:
    """Packages and the machine, as far as they can change a result."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        **found,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "device": device,
        "threads": str(torch.get_num_threads()),
    }
