"""What BYOT trains and what it delivers; its values are checked in `tests/reference`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from limbeck.adapters.exit_thresholds import NEVER
from limbeck.adapters.exits import Exits
from limbeck.core.bridge import Bridge, inner
from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError, TapError
from limbeck.data.digits import Digits
from limbeck.data.loader import Loader, evaluation_batches
from limbeck.evaluate.cost import flops
from limbeck.methods.byot import BYOT
from limbeck.methods.compose import Compose
from limbeck.methods.hint import Hint
from limbeck.methods.kd import KD
from limbeck.models.cnn import cnn
from limbeck.tasks.classification import Classification
from limbeck.train.ema import Ema
from limbeck.train.fit import fit
from limbeck.train.settings import SGD, Train
from little import changed, conv_net, image_batch, steps_by_hand, values
from little_vision import colour_batch, network, vit

EARLY = BYOT(delivers="early_exit", accuracy_drop=1.0)


def distiller(method: BYOT, student: nn.Module | None = None, **arguments: Any) -> Distiller:
    return Distiller(method, Classification(), {"student": student or conv_net(8)}, image_batch(8), **arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 1.1},
        {"feature_weight": -1},
        {"temperature": 0},
        {"at": ()},
        {"at": "all"},
        {"delivers": "nothing"},
        {"delivers": "early_exit"},
        {"delivers": "early_exit", "accuracy_drop": 1, "cost": 0.5},
        {"accuracy_drop": 1},
        {"cost": 0.5, "accuracy_drop": 1},
        {"delivers": "ensemble", "cost": 0.5},
        {"delivers": "early_exit", "cost": 0},
    ],
)
def test_ranges(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BYOT(**wrong)


def test_auto_is_settled_in_the_distiller_and_the_method_given_stays_open() -> None:
    method = BYOT(alpha=0.2)
    found = Distiller(method, Classification(), {"student": network("resnet14")}, colour_batch(2))
    assert found.method == BYOT(alpha=0.2, at=("layer1", "layer2"), deepest="layer3")
    assert method.at == "auto"
    with pytest.raises(MethodError, match="auto is decided when a Distiller is made"):
        method.tapped()
    blocks = Distiller(method, Classification(), {"student": vit(depth=6)}, colour_batch(2)).method
    assert (blocks.at, blocks.deepest) == (("blocks.1", "blocks.3"), "blocks.5")
    named = BYOT(at=("2",), deepest="5")
    assert distiller(named).method is named
    assert distiller(BYOT(at=("0",))).method == BYOT(at=("0",), deepest="5")


def test_heads_end_in_the_form_of_the_deepest_map() -> None:
    found = Distiller(BYOT(), Classification(), {"student": network("resnet14")}, colour_batch(2))
    facts = [head.facts() for head in found.adapters.values()]
    common = {"deepest": [64, 8, 8], "classes": 3, "nonnegative": True}
    assert facts == [{"features": [16, 32, 32], **common}, {"features": [32, 16, 16], **common}]
    assert list(found.adapters) == ["exit1", "exit2"]
    assert [head.bottleneck[3].kernel_size for head in found.adapters.values()] == [(4, 4), (2, 2)]


def test_terms_have_names_that_curves_can_show() -> None:
    def names(**arguments: float) -> list[str]:
        return list(distiller(BYOT(**arguments))(image_batch()))

    assert names() == ["task", "exit1/labels", "exit1/soft", "exit1/feature"]
    assert names(alpha=0, feature_weight=0) == ["task", "exit1/labels"]
    assert names(alpha=1) == ["task", "exit1/soft", "exit1/feature"]


def test_network_and_heads_learn_and_the_heads_stay_behind() -> None:
    found = distiller(BYOT())
    before = values(found)
    log = steps_by_hand(found, [image_batch()], 30, lr=0.1)
    assert {name.partition(".")[0] for name in changed(before, found)} == {"nets", "adapters"}
    assert log[-1]["task"] < log[0]["task"]
    assert log[-1]["exit1/labels"] < log[0]["exit1/labels"]
    assert found.deliver() is found["student"].model
    assert set(found.deliver().state_dict()) == set(conv_net(8).state_dict())


def test_unlabelled_images_teach_the_heads_by_the_end_alone() -> None:
    images, labels, ids = image_batch()
    terms = distiller(BYOT())((images, labels.fill_(-100), ids))
    assert terms["task"].item() == terms["exit1/labels"].item() == 0
    assert min(terms["exit1/soft"].item(), terms["exit1/feature"].item()) > 0


def test_heads_give_the_columns_of_a_bridge_and_learn_what_is_shown() -> None:
    def bridge(shown: list[float] | None) -> Bridge:
        return Bridge(conv_net(8), columns=[2, 0], shown=shown)

    images, labels, ids = image_batch()
    batch = images, labels % 2, ids
    found = Distiller(BYOT(), Classification(), {"student": bridge(None)}, batch)
    assert found.adapters["exit1"].classes == 2
    shifted = Distiller(BYOT(), Classification(), {"student": bridge([0.5, 1.5])}, batch)
    plain, prior = found.eval()(batch), shifted.eval()(batch)
    torch.testing.assert_close(plain["exit1/labels"], prior["exit1/labels"])
    assert abs(found.train()(batch)["exit1/labels"] - shifted.train()(batch)["exit1/labels"]) > 1e-3


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (BYOT(at=("5",), deepest="2"), "got 5, 2, which a pass reaches in the order 2, 5"),
        (BYOT(at=("5", "2"), deepest="6"), "from shallow to deep"),
        (BYOT(at=("2", "5"), deepest="5"), "another one for the deepest map, got '5' twice"),
        (BYOT(at=("2", "2"), deepest="5"), "got '2' twice"),
        (BYOT(at=("2",), deepest="0"), "from shallow to deep"),
    ],
)
def test_taps_in_another_order_are_refused(method: BYOT, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        distiller(method)


def test_what_cannot_be_left_is_refused_before_training_and_trains_otherwise() -> None:
    batch = colour_batch(4)
    inside = {"at": ("layer1.0.conv2",), "deepest": "layer3"}
    Distiller(BYOT(**inside), Classification(), {"student": network("resnet8")}, batch)
    with pytest.raises(MethodError, match=r"no sample can leave at 'layer1.0.conv2': a later layer needs the whole"):
        Distiller(
            BYOT(**inside, delivers="early_exit", cost=0.5), Classification(), {"student": network("resnet8")}, batch
        )
    with pytest.raises(TapError, match="layer8"):
        distiller(BYOT(at=("layer8",), deepest="5"))
    with pytest.raises(MethodError, match="needs a network for the role 'student'"):
        Distiller(BYOT(), Classification(), {}, image_batch())


def test_auto_needs_more_than_one_stage() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(MethodError, match="auto finds neither a feature map"):
        distiller(BYOT(), flat)


class Trained:
    """A network with heads, trained on digits in seconds."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.data = Digits(validation=0.25).load()
        assert self.data.validation is not None
        assert self.data.test is not None
        network = Bridge(cnn(classes=10, channels=1, width=8, depth=3), mean=self.data.mean, std=self.data.std)
        loader = Loader(self.data.train, batch=64, seed=0, classes=10)
        example = next(loader.batches())[0]
        self.found = Distiller(EARLY, Classification(), {"student": network}, example)
        fit(self.found, loader, Train(length="6 epochs", optimizer=SGD(lr=0.1)), progress=False, validation=self)

    def __iter__(self) -> Iterator[Any]:
        return iter(evaluation_batches(self.data.validation))

    def under(self, method: BYOT) -> Exits:
        """What another target makes of it."""
        self.found.method = method
        delivered = self.found.deliver([None], self)
        assert isinstance(delivered, Exits)
        return delivered.eval()

    def accuracy(self, model: nn.Module) -> float:
        return Classification().evaluate(model, (), self)["accuracy"]


@pytest.fixture(scope="module")
def trained() -> Trained:
    return Trained()


TAPS = {"at": ("layer1", "layer2"), "deepest": "layer3"}


def cost_of(exits: Exits, trained: Trained) -> float:
    """Mean operations of the validation images, one at a time and really counted, as a share of the network's."""
    images = torch.cat([batch.images for batch in trained])[:60]
    return sum(flops(exits, image[None]) for image in images) / len(images) / flops(exits.network, images)


def test_early_exits_keep_their_accuracy_and_are_as_fast_as_it_allows(trained: Trained) -> None:
    full = trained.accuracy(trained.found["student"].model)
    costs = []
    for drop in (0.0, 1.0, 5.0):
        exits = trained.under(BYOT(**TAPS, delivers="early_exit", accuracy_drop=drop))
        assert trained.accuracy(exits) >= full - drop / 100 - 1e-9
        costs.append(cost_of(exits, trained))
    assert costs[0] >= costs[1] >= costs[2]
    assert costs[2] < 0.9


def test_a_cost_is_kept(trained: Trained) -> None:
    exits = trained.under(BYOT(**TAPS, delivers="early_exit", cost=0.6))
    assert cost_of(exits, trained) < 0.66  # sixty of the three hundred images that it was chosen on
    tight = trained.under(BYOT(**TAPS, delivers="early_exit", cost=0.45))
    assert trained.accuracy(tight) <= trained.accuracy(exits)
    with pytest.raises(MethodError, match="no thresholds bring the mean cost to 1%"):
        trained.under(BYOT(**TAPS, delivers="early_exit", cost=0.01))


def test_thresholds_see_the_validation_images_only(trained: Trained) -> None:
    trained.found.method = BYOT(**TAPS, delivers="early_exit", accuracy_drop=1.0)

    def broken() -> Iterator[Any]:
        raise AssertionError("training images were asked for")
        yield

    assert isinstance(trained.found.deliver(broken(), trained), Exits)
    with pytest.raises(MethodError, match="early exits need a validation split"):
        trained.found.deliver([image_batch()], [])
    closed = trained.found.deliver()
    assert isinstance(closed, Exits)
    assert closed.thresholds.tolist() == [NEVER, NEVER]
    assert EARLY.uses_validation()
    assert not BYOT().uses_validation()


def test_heads_are_averaged_with_the_network_under_them() -> None:
    """What is delivered of an average is all of it."""
    models = {"student": conv_net(8)}
    found = Distiller(BYOT(delivers="ensemble"), Classification(), models, image_batch())
    start, ema = values(found), Ema(found, 0.75)
    with torch.no_grad():
        for tensor in found.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(1.0)
    ema.update()
    ema.keep()
    floats = {name: tensor for name, tensor in found.state_dict().items() if tensor.is_floating_point()}
    assert any(name.startswith("adapters.exit1") for name in floats)
    for name, tensor in floats.items():
        torch.testing.assert_close(tensor, start[name] + 0.25)


def test_the_ensemble_is_at_least_an_answer_of_all(trained: Trained) -> None:
    exits = trained.under(BYOT(**TAPS, delivers="ensemble"))
    images, seen = next(iter(trained)).images, list[Tensor]()
    for path in exits.at:
        inner(exits.network).get_submodule(path).register_forward_hook(
            lambda _module, _inputs, output: seen.append(output)
        )
    with torch.no_grad():
        end = exits.network(images)
        answers = [head(features)[1] for head, features in zip(exits.heads, seen, strict=True)]
        torch.testing.assert_close(exits(images), (sum(answers) + end) / (len(answers) + 1))
    assert trained.accuracy(exits) > 0.9


def test_every_exit_has_learnt(trained: Trained) -> None:
    exits = trained.under(BYOT(**TAPS, delivers="ensemble"))
    right = torch.zeros(3)
    for batch in trained:
        with torch.no_grad():
            right += torch.tensor(
                [float((z.argmax(1) == batch.labels).sum()) for z in exits.logits_of_all(batch.images)]
            )
    assert (right / 300).min() > 0.6


def test_within_compose_its_label_term_is_the_common_one() -> None:
    models: dict[str, nn.Module] = {"student": conv_net(8), "teacher": conv_net(12, seed=1)}
    method = Compose(methods=(BYOT(delivers="ensemble"), KD(), Hint()))
    found = Distiller(method, Classification(), models, image_batch(4))
    terms: dict[str, Tensor] = found(image_batch())
    assert [name for name in terms if name.startswith("byot")] == [
        "byot/exit1/labels",
        "byot/exit1/soft",
        "byot/exit1/feature",
    ]
    assert isinstance(found.deliver(), Exits)


def test_a_cost_that_no_exit_reaches_is_refused_before_training() -> None:
    models = {"student": network("resnet8")}
    method = BYOT(at=("layer1", "layer2"), deepest="layer3", delivers="early_exit", cost=0.01)
    with pytest.raises(
        MethodError, match=r"1% of the network's .* the cheapest exit, 'layer1', costs \d+% with its head"
    ):
        Distiller(method, Classification(), models, colour_batch(4))
    images = colour_batch(4)[0]
    student = models["student"].eval()
    student.get_submodule("layer2").train()
    before = [module.training for module in student.modules()]
    replace(method, cost=0.9).networks(models, lambda model: model(images))
    assert [module.training for module in student.modules()] == before
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert not any(module._forward_hooks for module in student.modules())
