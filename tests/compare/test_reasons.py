"""Teachers and students that fail for a known reason, on the embedded digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from compare.compared import done
from limbeck.compare.comparison import Row
from limbeck.compare.reasons import SCARCE, findings
from limbeck.data.loader import evaluation_batches
from limbeck.evaluate.noise import Interval
from limbeck.evaluate.predictions import predict
from limbeck.sweep.finished import Finished
from running import write

pytest.importorskip("matplotlib", reason="pages need the report extra")

TEACHER = """\
data: {name: digits, batch: 64, validation: 0}
models: {student: {name: mlp, hidden: [64]}}
method: supervised
train: {length: LENGTH epochs, optimizer: {name: adamw, lr: 1e-2}}
"""

STUDENT = """\
data: {name: digits, batch: 64, validation: 0, augment: {shift: SHIFT}}
models:
  teacher: {from: teacher.yaml}
  student: {name: mlp, hidden: [HIDDEN]}
method: {name: kd, temperature: T, hard_weight: 0.0}
train: {length: 4 epochs, optimizer: {name: adamw, lr: 1e-2}}
"""


def row(folder: Path, *, length: int = 10, shift: int = 0, hidden: int = 64, t: float = 4.0) -> Row:
    """The distilled student of a comparison with one seed."""
    student = STUDENT.replace("SHIFT", str(shift)).replace("HIDDEN", str(hidden)).replace("T,", f"{t},")
    write(folder, {"teacher.yaml": TEACHER.replace("LENGTH", str(length)), "kd.yaml": student})
    return done(folder, "kd.yaml", seeds=1)[0].row("kd")


def likely(found: Row) -> list[str]:
    return [one.text.partition(":")[0] for one in found.findings if one.likely]


def test_a_teacher_that_is_no_better(tmp_path: Path) -> None:
    found = row(tmp_path, length=1)
    assert "the teacher is not clearly better than the student alone" in likely(found)


def test_a_teacher_that_is_over_confident_at_this_temperature(tmp_path: Path) -> None:
    found = row(tmp_path, length=30, t=0.1)
    assert "the teacher is over-confident" in likely(found)
    (text,) = [one.text for one in found.findings if "over-confident" in one.text]
    run = found.contestant.runs[0]
    network = Finished(run.run.upstream["teacher"], run.context).network()
    said = predict(network, evaluation_batches(run.data.train)).logits / 0.1
    left = 1 - said.softmax(1).amax(1).mean().item()
    assert left < SCARCE
    # The first batches of training are most of the images, without augmentation.
    assert float(text.partition("leaves ")[2].partition("%")[0]) == pytest.approx(100 * left, abs=0.05)


def test_a_teacher_that_does_not_know_the_augmented_pixels(tmp_path: Path) -> None:
    run = row(tmp_path, shift=3).contestant.runs[0]
    found = findings(run.run, Interval(0.1, 0.05, 0.15, 1), run.context, role="teacher", test_accuracy=0.8)
    (pixels,) = [one for one in found if "pixels" in one.text]
    assert pixels.likely
    assert pixels.text.startswith("the teacher does not know these pixels")


def test_a_student_at_its_capacity(tmp_path: Path) -> None:
    found = row(tmp_path, hidden=2)
    assert found.findings
    assert likely(found) == ["the student is at its capacity, or was trained too briefly"]


def test_nothing_is_explained_where_distilling_helped(tmp_path: Path) -> None:
    write(tmp_path, {"kd.yaml": HELPED})
    found = done(tmp_path, "kd.yaml", seeds=1)[0].row("kd")
    assert found.gain is not None
    assert found.gain.better
    assert found.findings == ()


HELPED = """\
data: {name: digits, batch: 64, labelled: 20, validation: 0}
models:
  teacher: {from: {recipe: digits/mlp-teacher, set: {train.length: 10 epochs}}}
  student: {name: mlp, hidden: [32]}
method: {name: kd, temperature: 4.0}
train: {length: 10 epochs, optimizer: {name: adamw, lr: 1e-2}}
"""
