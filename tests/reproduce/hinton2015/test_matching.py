from __future__ import annotations

import numpy as np
import torch

from limbeck.core.distiller import Distiller
from limbeck.methods.kd import KD
from limbeck.reproduce.hinton2015.matching import MatchLogits
from limbeck.reproduce.hinton2015.temperature import MATCHING
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch

BATCH = image_batch(8)


def distiller(method: MatchLogits | KD) -> Distiller:
    models = {"student": conv_net(seed=1, batch_norm=False), "teacher": conv_net(seed=2, batch_norm=False)}
    return Distiller(method, Classification(), models, BATCH)


def test_the_term_is_numpy_s() -> None:
    found = distiller(MatchLogits())
    z, v = (found[role].model(BATCH[0]).detach().double().numpy() for role in ("student", "teacher"))
    z, v = z - z.mean(1, keepdims=True), v - v.mean(1, keepdims=True)
    (term,) = found(BATCH).values()
    np.testing.assert_allclose(term.item(), ((z - v) ** 2).sum(1).mean() / (2 * z.shape[1]), rtol=1e-5)


def test_the_gradient_is_that_of_distilling_at_a_high_temperature() -> None:
    """The logits of these networks are below one, so that T = 50 is high, and not too high for float32."""

    def gradient(method: MatchLogits | KD) -> torch.Tensor:
        found = distiller(method)
        sum(found(BATCH).values()).backward()
        return torch.cat([parameter.grad.flatten() for parameter in found["student"].model.parameters()])

    limit, soft = gradient(MatchLogits()), gradient(KD(temperature=50.0, hard_weight=0.0))
    assert (soft - limit).norm() < 0.02 * limit.norm()


def test_recipes_name_it_by_its_place() -> None:
    assert MATCHING["name"] == f"{MatchLogits.__module__}:{MatchLogits.__qualname__}"
