"""The same job through the published package torchdistill, by its public interface.

The configuration has the keys of its sample configurations for distillation on CIFAR-10, as a dict. Its boxes do not
put the teacher into evaluation mode, and nothing here does; what became of the teacher is saved beside the student.

More lenient than its samples: no validation after each epoch, and the test in whole batches instead of one by one.

    python peers/through_torchdistill.py FOLDER      (with the interpreter of its own environment)
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from job import accuracy, network, pictures, present_device, read_job, write_seconds
from torch.utils.data import RandomSampler
from torchdistill.common.main_util import save_ckpt, set_seed
from torchdistill.core.distillation import get_distillation_box
from torchdistill.misc.log import MetricLogger, SmoothedValue


def configuration(job: dict[str, Any]) -> dict[str, Any]:
    """The `train` part of a configuration."""
    kd = {
        "key": "KDLoss",
        "kwargs": {
            "student_module_path": ".",
            "student_module_io": "output",
            "teacher_module_path": ".",
            "teacher_module_io": "output",
            "temperature": job["temperature"],
            "alpha": job["hard_weight"],
            "reduction": "batchmean",
        },
    }
    sgd = {"lr": job["lr"], "momentum": job["momentum"], "weight_decay": job["weight_decay"]}
    return {
        "num_epochs": job["epochs"],
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": RandomSampler},
            "kwargs": {
                "batch_size": job["batch"],
                "num_workers": job["workers"],
                "drop_last": True,
                "pin_memory": torch.cuda.is_available(),
            },
        },
        "teacher": {
            "forward_proc": "forward_batch_only",
            "sequential": [],
            "requires_grad": False,
            "frozen_modules": [],
        },
        "student": {
            "forward_proc": "forward_batch_only",
            "sequential": [],
            "requires_grad": True,
            "frozen_modules": [],
        },
        "optimizer": {"key": "SGD", "kwargs": sgd},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": {"criterion": kd, "weight": 1.0}}}},
    }


def train_one_epoch(box: Any, epoch: int) -> None:
    """What the package leaves to its user: take batches, call both processes, log the loss of every step."""
    logger = MetricLogger(delimiter="  ")
    logger.add_meter("lr", SmoothedValue(window_size=1, fmt="{value}"))
    for images, targets, extra in logger.log_every(box.train_data_loader, 100, f"Epoch: [{epoch}]"):
        images, targets = images.to(box.device, non_blocking=True), targets.to(box.device, non_blocking=True)
        loss = box.forward_process(images, targets, extra)
        box.post_forward_process(loss=loss)
        logger.update(loss=loss.item(), lr=box.optimizer.param_groups[0]["lr"])


def main() -> None:
    """Train, test, save."""
    folder = Path(sys.argv[1])
    job = read_job(folder)
    set_seed(job["seed"])
    train, test = pictures(folder)
    teacher, student = network(folder, "teacher"), network(folder, "student")
    device = present_device()
    box = get_distillation_box(teacher, student, {"train": train}, configuration(job), device, None, False, 1)
    began = time.perf_counter()
    for epoch in range(box.num_epochs):
        box.pre_epoch_process(epoch=epoch)
        train_one_epoch(box, epoch)
        box.post_epoch_process()
    write_seconds(folder, "through_torchdistill", time.perf_counter() - began)
    print(f"teacher in training mode: {teacher.training}")
    print(f"test accuracy {accuracy(student, test, batch=job['batch'], workers=job['workers']):.4f}")
    save_ckpt(student, box.optimizer, box.lr_scheduler, 0.0, None, str(folder / "through_torchdistill.pt"))
    torch.save(teacher.state_dict(), folder / "through_torchdistill-teacher.pt")


if __name__ == "__main__":
    main()
