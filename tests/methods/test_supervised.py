"""The baseline: the task's own loss, one network, nothing else."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.methods.supervised import Supervised
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch


def test_its_only_term_is_the_tasks_loss() -> None:
    student, batch = conv_net(batch_norm=False), image_batch()
    terms = Distiller(Supervised(), Classification(), {"student": student}, batch)(batch)
    assert set(terms) == {"task"}
    torch.testing.assert_close(terms["task"], F.cross_entropy(student(batch[0]), batch[1]))


def test_it_learns_nothing_from_images_without_a_label_and_takes_no_teacher() -> None:
    assert not Supervised().uses_unlabelled()
    with pytest.raises(MethodError, match="no role 'teacher'"):
        Distiller(Supervised(), Classification(), {"student": conv_net(), "teacher": conv_net()}, image_batch())
