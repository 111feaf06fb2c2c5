"""Sizes and operations against sums by hand; latencies against what must hold for any of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.core.errors import RunError
from limbeck.evaluate.cost import file_bytes, flops, latency, measure_cost, parameters


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


CONVOLUTIONAL_FLOPS = 2 * (16 * 16 * 8 * 3 * 9 + 8 * 5)


class Attention(nn.Module):
    """One head of attention among the 16 pixels of an image, without weights."""

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.flatten(2).transpose(1, 2)[:, None]
        return F.scaled_dot_product_attention(tokens, tokens, tokens).mean((1, 2))


class Encoder(nn.Module):
    """A layer that PyTorch fuses into one operator in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(2).transpose(1, 2)).mean(1)


def test_parameters_count_once_and_buffers_do_not() -> None:
    assert parameters(convolutional()) == (3 * 9 * 8 + 8) + 16 + (8 * 5 + 5)
    shared = nn.Linear(4, 4)
    assert parameters(nn.Sequential(shared, nn.ReLU(), shared)) == 20
    shared.requires_grad_(False)
    assert parameters(shared) == 20


def test_operations_of_one_image_are_twice_its_multiplications() -> None:
    assert flops(convolutional(), torch.rand(1, 3, 16, 16)) == CONVOLUTIONAL_FLOPS
    assert flops(convolutional(), torch.rand(9, 3, 16, 16)) == CONVOLUTIONAL_FLOPS


def test_fused_attention_is_counted() -> None:
    assert flops(Attention(), torch.rand(2, 8, 4, 4)) == 2 * 2 * 16 * 16 * 8


def test_the_fused_encoder_layer_is_counted_and_stays_fused_afterwards() -> None:
    tokens, width, hidden = 4, 16, 32
    projections = 2 * tokens * width * (3 * width + width + 2 * hidden)
    attention = 2 * 2 * tokens * tokens * width
    assert flops(Encoder(), torch.rand(1, 16, 2, 2)) == projections + attention
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_compiled_network_is_counted_as_well() -> None:
    model = convolutional()
    model.compile(backend="eager")
    assert flops(model, torch.rand(1, 3, 16, 16)) == CONVOLUTIONAL_FLOPS


def test_a_latency_says_what_it_is_of() -> None:
    seen: list[int] = []

    def watch(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        assert not module.training
        seen.append(len(arguments[0]))

    model = convolutional().train()
    model[1].eval()
    model.register_forward_pre_hook(watch)
    calls: list[None] = []
    result = latency(model, torch.rand(4, 3, 16, 16), repeats=6, warmup=2, on_call=lambda: calls.append(None))
    assert seen == [4] * 8
    assert len(calls) == 8
    assert result["threads"] == torch.get_num_threads()
    assert (result["batch"], result["calls"], result["device"]) == (4, 6, "cpu")
    assert 0 < result["median_ms"] <= result["p95_ms"]
    assert model.training
    assert not model[1].training


@pytest.mark.parametrize(("n", "sizes"), [(6, [1, 6]), (1, [1])])
def test_all_figures_of_a_network(n: int, sizes: list[int]) -> None:
    figures = measure_cost(convolutional(), torch.rand(n, 3, 16, 16), repeats=2)
    assert figures["parameters"] == parameters(convolutional())
    assert figures["flops"] == CONVOLUTIONAL_FLOPS
    assert [row["batch"] for row in figures["latency"]] == sizes
    assert [row["batch"] for row in figures["peak_memory"]] == sizes


def test_bytes_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_bytes(b"4567")
    assert file_bytes(tmp_path / "a") == 3
    assert file_bytes(str(tmp_path)) == 7
    with pytest.raises(RunError, match="found nothing"):
        file_bytes(tmp_path / "c")
