"""Passing a data set through a network, and the file of what it said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from limbeck.core.errors import DataError, ModelError, RunError
from limbeck.evaluate.predictions import Predictions, join, predict


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.9), nn.Flatten(), nn.Linear(16, 3))


def batches() -> list[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(7, 1, 4, 4, generator=generator)
    labels, ids = torch.tensor([0, 1, 2, -100, 1, 0, 2]), torch.arange(10, 17)
    return list(zip(images.split(3), labels.split(3), ids.split(3), strict=True))


def test_it_is_the_network_in_evaluation_mode_whatever_the_batches() -> None:
    model = network().train()
    model[0].eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    predictions = predict(model, batches())
    assert [module.training for module in model.modules()] == [True, False, True, True, True]
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())

    whole = torch.cat([images for images, _, _ in batches()])
    torch.testing.assert_close(predictions.logits, model.eval()(whole).detach())
    assert predictions.labels.tolist() == [0, 1, 2, -100, 1, 0, 2]
    assert predictions.ids.tolist() == list(range(10, 17))
    assert predictions.logits.dtype == torch.float32
    assert not predictions.logits.requires_grad
    assert predictions.labelled().ids.tolist() == [10, 11, 12, 14, 15, 16]


def test_pairs_are_numbered_in_order() -> None:
    assert predict(network(), [batch[:2] for batch in batches()]).ids.tolist() == list(range(7))


def test_the_task_may_say_how_a_network_runs() -> None:
    def run(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return model(1 - batch[0]).bfloat16()

    inverted = predict(network(), batches(), run)
    expected = predict(network(), [(1 - images, labels, ids) for images, labels, ids in batches()])
    torch.testing.assert_close(inverted.logits, expected.logits.bfloat16().float(), rtol=0, atol=0)


def test_nothing_to_evaluate_on_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one batch"):
        predict(network(), [])


def test_mixed_labels_are_refused() -> None:
    with pytest.raises(DataError, match="without mixup"):
        predict(network(), [(torch.rand(2, 1, 4, 4), torch.rand(2, 3))])


@pytest.mark.parametrize("output", [torch.rand(2, 3, 4), torch.rand(1, 3), {"logits": torch.rand(2, 3)}])
def test_other_outputs_than_logits_are_refused(output: Any) -> None:
    model = network().train()
    with pytest.raises(ModelError, match=r"expected logits \[2, classes\]"):
        predict(model, [(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))], lambda model, batch: output)
    assert model.training


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    predictions = predict(network(), batches())
    predictions.take(torch.tensor([6, 2, 4])).save(tmp_path / "deep" / "p.safetensors")
    loaded = Predictions.load(tmp_path / "deep" / "p.safetensors")
    assert torch.equal(loaded.logits, predictions.logits[[6, 2, 4]])
    assert loaded.labels.tolist() == [2, 2, 1]
    assert loaded.ids.tolist() == [16, 12, 14]
    assert len(loaded) == 3


def test_files_that_are_no_predictions(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no file of predictions"):
        Predictions.load(tmp_path / "missing")
    (tmp_path / "damaged").write_bytes(b"\x08")
    with pytest.raises(RunError, match="cannot read"):
        Predictions.load(tmp_path / "damaged")
    safetensors.torch.save_file({"weight": torch.rand(2)}, tmp_path / "weights")
    with pytest.raises(RunError, match="got weight"):
        Predictions.load(tmp_path / "weights")


def test_parts_of_several_processes_become_one() -> None:
    whole = predict(network(), batches())
    rows = torch.arange(len(whole))
    joined = join([whole.take(rows[1::2]), whole.take(rows[0::2])])
    assert torch.equal(joined.logits, whole.logits)
    assert torch.equal(joined.ids, whole.ids)
    with pytest.raises(DataError, match="some in two"):
        join([whole, whole.take(rows[:1])])
