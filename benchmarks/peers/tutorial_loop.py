"""The loop that tutorials teach: float32, a DataLoader of PIL images with workers, `.item()` at every step.

python peers/tutorial_loop.py FOLDER
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from job import accuracy, network, pictures, present_device, read_job, write_seconds
from torch.nn import functional as F
from torch.utils.data import DataLoader


def main() -> None:
    """Train, test, save."""
    folder = Path(sys.argv[1])
    job = read_job(folder)
    torch.manual_seed(job["seed"])
    train, test = pictures(folder)
    device = present_device()
    loader = DataLoader(
        train,
        batch_size=job["batch"],
        shuffle=True,
        drop_last=True,
        num_workers=job["workers"],
        pin_memory=device.type == "cuda",
    )
    teacher, student = network(folder, "teacher").to(device), network(folder, "student").to(device)
    optimizer = torch.optim.SGD(
        student.parameters(), lr=job["lr"], momentum=job["momentum"], weight_decay=job["weight_decay"]
    )
    temperature, hard_weight = job["temperature"], job["hard_weight"]
    teacher.eval()
    began = time.perf_counter()
    for epoch in range(job["epochs"]):
        student.train()
        running_loss = 0.0
        for images, labels in loader:
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            optimizer.zero_grad()
            with torch.no_grad():
                teacher_logits = teacher(images)
            student_logits = student(images)
            soft_loss = F.kl_div(
                F.log_softmax(student_logits / temperature, dim=1),
                F.softmax(teacher_logits / temperature, dim=1),
                reduction="batchmean",
            )
            hard_loss = F.cross_entropy(student_logits, labels)
            loss = hard_weight * hard_loss + (1 - hard_weight) * temperature**2 * soft_loss
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        print(f"epoch {epoch + 1}: loss {running_loss / len(loader):.4f}")
    write_seconds(folder, "tutorial_loop", time.perf_counter() - began)
    print(f"test accuracy {accuracy(student, test, batch=job['batch'], workers=job['workers']):.4f}")
    torch.save(student.state_dict(), folder / "tutorial_loop.pt")


if __name__ == "__main__":
    main()
