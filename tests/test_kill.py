"""A process that is killed again and again, and started again with the same command, ends with the same bits."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from running import only, started, write

CODE = '''
"""A method of two stages, as FitNets: a hint first, the soft targets and the labels then. And a teacher for it."""

import torch
from torch import nn
from torch.nn import functional as F

from limbeck.core.plan import Stage, Turn
from limbeck.core.settings import settings
from limbeck.losses.divergence import soft_target_kl
from limbeck.methods.kd import KD


@settings
class Hinted(KD):
    def tapped(self):
        return {"student": ("layer1",), "teacher": ("1",)}

    def adapters(self, nets, shapes):
        return {"regressor": nn.Linear(shapes["student"]["layer1"][1], shapes["teacher"]["1"][1])}

    def plan(self):
        first = Turn("hint_terms", ("student.layer1", "adapters.regressor"))
        return (Stage("hint", (first,), share=0.4), Stage("kd", (Turn(trains=("student",)),), share=0.6))

    def hint_terms(self, nets, batch, at):
        student, teacher = nets["student"](batch, until="layer1"), nets["teacher"](batch, until="1")
        return {"hint": F.mse_loss(nets.adapters["regressor"](student.taps["layer1"]), teacher.taps["1"])}


def teacher():
    torch.manual_seed(5)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))


def maps():
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(1, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 10))
'''

HINTED = """\
models:
  teacher: {name: "kill_code:teacher"}
  student: {name: mlp, hidden: [16], dropout: 0.3}
method: {name: "kill_code:Hinted", temperature: 3.0}
"""
FITNETS = """\
models:
  teacher: {name: "kill_code:maps"}
  student: {name: cnn, width: 4, depth: 2}
method: {name: fitnets, hint_share: 0.4, taps: {student: layer2, teacher: "1"}}
"""
TRAINING = """\
data: {name: digits, batch: 48, subset: 500, augment: {shift: 1, mixup: 0.2}, labelled: 200}
train:
  length: 300 steps
  optimizer: {name: adamw, lr: 3e-3}
  schedule: {name: cosine, warmup: 5 steps}
  ema: 0.9
  evaluate: 7 steps
  log: 1 steps
  checkpoint: 4 steps
evaluate: {latency: false}
report: false
"""
STEPS, FIRST_STAGE = 300, 120
COMMAND = ["run", "killed.yaml", "--quiet"]


def steps_done(runs: Path) -> int:
    """How many steps the metrics of the run speak of."""
    return sum(len(path.read_bytes().splitlines()) for path in runs.glob("killed-*/metrics.jsonl"))


def killed_at(folder: Path, lines: int, *, delay: float) -> None:
    """Start the command and kill it a moment after its metrics have so many lines."""
    process = started(COMMAND, folder)
    try:
        while process.poll() is None and steps_done(folder / "runs") < lines:
            time.sleep(0.001)
        assert process.poll() is None, process.communicate()[0]
        time.sleep(delay)
    finally:
        process.kill()
        process.communicate()


def finished(folder: Path) -> Path:
    """Let the command end by itself."""
    process = started(COMMAND, folder)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return only(folder / "runs", "killed")


def curves(run: Path) -> list[dict[str, object]]:
    """The metrics without what depends on the time of day."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "samples_per_second")} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("method", [HINTED, FITNETS], ids=["own", "fitnets"])
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path: Path, method: str) -> None:
    """Slow because every attempt is a process of its own that imports torch."""
    files = {"killed.yaml": method + TRAINING, "kill_code.py": CODE}
    whole, broken = (write(tmp_path / name, files) for name in ("one", "other"))
    expected = finished(whole)
    draw = random.Random(7)
    # Metrics also have a line per evaluation. Before the first checkpoint, in either stage, and in the second again.
    for low, high in ((1, 4), (20, 100), (150, 220), (230, 300)):
        killed_at(broken, draw.randint(low, high), delay=draw.uniform(0.0, 0.01))
    saved = sorted((only(broken / "runs", "killed") / "checkpoints").glob("step-*.pt"))
    assert FIRST_STAGE < int(saved[-1].stem.removeprefix("step-")) < STEPS
    run = finished(broken)
    for which in ("best", "last"):
        name = f"student-{which}.safetensors"
        assert (run / name).read_bytes() == (expected / name).read_bytes()
    assert curves(run) == curves(expected)
    assert [line["step"] for line in curves(run) if "terms" in line] == list(range(1, STEPS + 1))
    facts = [json.loads((folder / "run.json").read_text()) for folder in (run, expected)]
    assert facts[0]["validation"] == facts[1]["validation"]
    assert not [path for path in run.rglob("*") if path.suffix in (".part", ".pt")]
