"""A network with exits: the same answers as a choice among all heads' logits, with less work."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from limbeck.adapters.exit_check import check_exits
from limbeck.adapters.exit_head import ExitHead
from limbeck.adapters.exit_thresholds import NEVER, confidence, left_at
from limbeck.adapters.exits import AllAnswers, Exits
from limbeck.core.assembled import Assembled
from limbeck.core.bridge import Bridge, inner
from limbeck.core.errors import MethodError, TapError
from limbeck.evaluate.cost import flops
from little import CLASSES
from little_vision import colour_batch, network, vit


def with_heads(model: nn.Module, at: tuple[str, ...], images: Tensor, **arguments: object) -> Exits:
    """Untrained heads of the right form, and statistics of BatchNorm that tell samples apart."""
    seen: dict[str, Tensor] = {}
    modules = dict(inner(model).named_modules())
    handles = [
        modules[path].register_forward_hook(lambda _m, _i, output, path=path: seen.__setitem__(path, output))
        for path in at
    ]
    with torch.no_grad():
        classes = model(images).shape[1]
    for handle in handles:
        handle.remove()
    deepest = seen[at[-1]].shape[1:]
    exits = Exits(model, [ExitHead(seen[path].shape[1:], deepest, classes=classes) for path in at], at=at, **arguments)
    with torch.no_grad():
        for _ in range(6):  # settles the running statistics
            exits.train().logits_of_all(images)
    for head in exits.heads:
        head.classifier.weight.data *= 4
    return exits.eval()


def half_leave(exits: Exits, images: Tensor) -> list[float]:
    """Thresholds in the widest gap near the median of confidences, so that rounding decides nothing."""
    with torch.no_grad():
        logits = exits.logits_of_all(images)
    thresholds = []
    for head in logits[:-1]:
        values = confidence(head).sort().values
        middle = values[len(values) // 4 : -(len(values) // 4)]
        widest = int(middle.diff().argmax())
        thresholds.append(float(middle[widest : widest + 2].mean()))
    exits.thresholds.copy_(torch.tensor(thresholds))
    return thresholds


def expected(exits: Exits, images: Tensor) -> tuple[Tensor, Tensor]:
    """The answers and where they come from, by a choice among all logits."""
    with torch.no_grad():
        logits = torch.stack(exits.logits_of_all(images), dim=1)
    left = left_at(confidence(logits[:, :-1]), exits.thresholds.tolist())
    return logits[torch.arange(len(images)), left], left


def counted(module: nn.Module) -> list[int]:
    """Sizes of the batches that a module sees from now on."""
    sizes: list[int] = []
    module.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    return sizes


NETWORKS = [
    ("resnet14", ("layer1", "layer2")),
    ("vgg8", ("stage1", "stage2", "stage3")),
    ("mobilenetv2", None),
    ("torchvision/resnet18", ("layer1", "layer2", "layer3")),
    ("timm/resnet18", ("layer1", "layer2", "layer3")),
    ("timm/vit", ("blocks.0", "blocks.1")),
]


def built(name: str, at: tuple[str, ...] | None, images: Tensor) -> tuple[nn.Module, tuple[str, ...]]:
    if name.startswith("torchvision"):
        pytest.importorskip("torchvision")
    model = vit() if name == "timm/vit" else network(name)
    if at is None or any(path not in dict(model.named_modules()) for path in at):
        from limbeck.core.pairs import ends_of_stages

        at = tuple(ends_of_stages(model, lambda one: one(images))[:-1])
    return model, at


@pytest.mark.parametrize(("name", "at"), NETWORKS, ids=[name for name, _ in NETWORKS])
def test_the_answers_are_those_of_a_choice_among_all_logits(name: str, at: tuple[str, ...] | None) -> None:
    images = colour_batch(16)[0]
    model, at = built(name, at, images)
    check_exits(model, at, lambda one: one(images[:4]))
    exits = with_heads(model, at, images)
    half_leave(exits, images)
    answers, left = expected(exits, images)
    assert len(left.unique()) > 1
    with torch.no_grad():
        torch.testing.assert_close(exits(images), answers, rtol=1e-4, atol=1e-5)
        singly = torch.cat([exits(image[None]) for image in images])
    torch.testing.assert_close(singly, answers, rtol=1e-4, atol=1e-5)
    assert torch.equal(singly.argmax(1), answers.argmax(1))


def test_the_batch_shrinks_at_every_exit_and_the_pass_ends_when_nobody_is_left() -> None:
    images = colour_batch(20)[0]
    model = network("resnet14")
    exits = with_heads(model, ("layer1", "layer2"), images)
    half_leave(exits, images)
    _, left = expected(exits, images)
    seen = {path: counted(model.get_submodule(path)) for path in ("layer1", "layer2", "layer3", "fc")}
    with torch.no_grad():
        exits(images)
    later = [int((left > 0).sum()), int((left > 1).sum())]
    assert seen == {"layer1": [20], "layer2": [later[0]], "layer3": [later[1]], "fc": [later[1]]}
    exits.thresholds.copy_(torch.tensor([0.5, 0.0]))
    exits.thresholds[0] = 0.0
    with torch.no_grad():
        assert exits(images).shape == (20, CLASSES)
    assert (len(seen["layer1"]), len(seen["layer2"])) == (2, 1)


def test_one_image_that_leaves_early_runs_fewer_modules() -> None:
    images = colour_batch(20)[0]
    model = network("resnet14")
    exits = with_heads(model, ("layer1", "layer2"), images)
    half_leave(exits, images)
    _, left = expected(exits, images)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    sizes = [counted(module) for module in convolutions]
    ran = {}
    for place in (0, 1, 2):
        image = images[left == place][:1]
        for size in sizes:
            size.clear()
        with torch.no_grad():
            exits(image)
        ran[place] = sum(map(len, sizes))
    assert ran == {0: 5, 1: 10, 2: 15}


def test_a_closed_exit_is_not_even_computed() -> None:
    images = colour_batch(6)[0]
    exits = with_heads(network("resnet14"), ("layer1", "layer2"), images)
    assert exits.thresholds.tolist() == [NEVER, NEVER]
    asked = [counted(head) for head in exits.heads]
    with torch.no_grad():
        assert torch.equal(exits(images), exits.network(images))
    assert asked == [[], []]
    exits.thresholds[1] = 2.0  # open, but no probability reaches it
    with torch.no_grad():
        assert torch.equal(exits(images), exits.network(images))
    assert asked == [[], [6]]


def test_the_network_keeps_no_hooks_and_its_mode() -> None:
    images = colour_batch(6)[0]
    exits = with_heads(network("resnet14"), ("layer1",), images)
    exits.thresholds.fill_(0.0)
    exits(images)
    exits.logits_of_all(images)
    exits.train()
    exits.network.layer1.eval()
    exits.costs(lambda model: model(images[:1]))
    check_exits(exits.network, ("layer1",), lambda model: model(images))
    assert not any(module._forward_hooks for module in exits.modules())
    assert exits.training
    assert not exits.network.layer1.training


def test_the_ensemble_is_the_mean_of_all_logits() -> None:
    images = colour_batch(6)[0]
    exits = with_heads(network("resnet8"), ("layer1", "layer2"), images, answer="ensemble")
    with torch.no_grad():
        first, second, last = exits.logits_of_all(images)
        torch.testing.assert_close(exits(images), (first + second + last) / 3)
        assert torch.equal(AllAnswers(exits)(images).unflatten(1, (3, -1)), torch.stack([first, second, last], 1))


def bridged(columns: list[int]) -> Bridge:
    return Bridge(network("resnet8"), mean=[0.4], std=[0.2], channels=3, size=(32, 32), columns=columns)


def test_a_bridge_that_resizes_and_selects_columns_changes_nothing() -> None:
    images = torch.rand(16, 1, 20, 20)
    exits = with_heads(bridged([2, 0]), ("layer1", "layer2"), images)
    half_leave(exits, images)
    answers, left = expected(exits, images)
    assert answers.shape == (16, 2)
    assert set(left.tolist()) == {0, 1, 2}
    with torch.no_grad():
        torch.testing.assert_close(exits(images), answers, rtol=1e-4, atol=1e-5)


def test_it_is_assembled_again_from_its_parts_and_facts() -> None:
    images = colour_batch(8)[0]
    exits = with_heads(network("resnet8"), ("layer1", "layer2"), images)
    half_leave(exits, images)
    assert isinstance(exits, Assembled)
    again = Exits.assemble({"network": network("resnet8")}, images[:2], **copy.deepcopy(exits.facts())).eval()
    again.load_state_dict(exits.state_dict())
    assert again.thresholds.tolist() == exits.thresholds.tolist()
    with torch.no_grad():
        assert torch.equal(again(images), exits(images))
    assert exits.parts() == {"network": exits.network}
    other = Exits(network("resnet8"), list(exits.heads), at=("layer1", "layer2"), answer="ensemble")
    assert Exits.assemble(other.parts(), images[:2], **other.facts()).answer == "ensemble"


def test_costs_are_those_of_what_runs() -> None:
    images = colour_batch(8)[0]
    model = network("resnet14")
    exits = with_heads(model, ("layer1", "layer2"), images)
    costs = exits.costs(lambda one: one(images[:1]))
    assert costs.trunk[-1] == flops(model, images)
    lower = nn.Sequential(model.stem, model.layer1)
    assert costs.trunk[0] == flops(lower, images)
    with torch.no_grad():
        assert costs.heads[0] == flops(exits.heads[0], lower(images))
    exits.thresholds.copy_(torch.tensor([2.0, 0.0]))
    assert flops(exits, images) == costs.leaving([2.0, 0.0])[1]
    exits.thresholds.copy_(torch.tensor([NEVER, 0.0]))
    assert flops(exits, images) == costs.leaving([NEVER, 0.0])[1] < costs.leaving([2.0, 0.0])[1]


def test_an_empty_batch_has_no_answers() -> None:
    images = colour_batch(8)[0]
    exits = with_heads(network("resnet8"), ("layer1",), images)
    exits.thresholds.fill_(0.0)
    with torch.no_grad():
        assert exits(images[:0]).shape == (0, CLASSES)


def test_it_works_in_bfloat16_and_double() -> None:
    images = colour_batch(8)[0]
    exits = with_heads(network("resnet8"), ("layer1",), images)
    half_leave(exits, images)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert exits(images).isfinite().all()
    with torch.no_grad():
        assert exits.double()(images.double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("heads", "thresholds", "message"), [(1, None, "1 heads and 2 thresholds for 2"), (2, [0.5], "2 heads and 1 thr")]
)
def test_as_many_heads_and_thresholds_as_taps(heads: int, thresholds: list[float] | None, message: str) -> None:
    made = [ExitHead((16, 32, 32), (64, 8, 8), classes=3) for _ in range(heads)]
    with pytest.raises(MethodError, match=message):
        Exits(network("resnet8"), made, at=("layer1", "layer2"), thresholds=thresholds)


def test_a_path_that_names_nothing_is_corrected() -> None:
    with pytest.raises(TapError, match="exit at 'layer9': not a module of CifarResNet; close: layer"):
        Exits(network("resnet8"), [ExitHead((16, 32, 32), (64, 8, 8), classes=3)], at=("layer9",))


def test_thresholds_are_part_of_the_weights() -> None:
    exits = Exits(network("resnet8"), [ExitHead((16, 32, 32), (64, 8, 8), classes=3)], at=("layer1",))
    assert exits.state_dict()["thresholds"].tolist() == [math.inf]
