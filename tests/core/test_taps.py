"""Taps read inside a network by path, only while they are asked to, and leave nothing behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.bridge import Bridge
from limbeck.core.errors import TapError
from limbeck.core.net import Kind, Net
from limbeck.core.taps import StopAtTap, TapPath, Taps
from little import conv_net, image_batch, run


class Pair(nn.Module):
    """A module with two inputs and two outputs."""

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return left + right, left * right


class Uses(nn.Module):
    """Runs `pair` on two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        total, product = self.pair(x, x + 1)
        return total - product


def recorded(model: nn.Module, paths: list[str], x: Tensor) -> dict[str, Tensor]:
    taps = Taps(model, paths)
    taps.start()
    model(x)
    return taps.stop()


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a.b", ("a.b", False, 0)),
        ("a.b#1", ("a.b", False, 1)),
        ("a:input", ("a", True, 0)),
        ("a:input#2", ("a", True, 2)),
    ],
)
def test_a_path_may_name_an_item_and_the_input(text: str, parsed: tuple[str, bool, int]) -> None:
    path = TapPath.parse(text)
    assert (path.module, path.takes_input, path.index) == parsed


@pytest.mark.parametrize("text", ["a#", "a#x", "a:output", "a:input#-1", "a#1:input"])
def test_any_other_form_is_an_error_that_lists_the_forms(text: str) -> None:
    with pytest.raises(TapError, match="expected 'module', 'module#1'"):
        TapPath.parse(text)


def test_outputs_and_inputs_are_the_tensors_that_flowed() -> None:
    model, x = conv_net().eval(), image_batch()[0]
    seen = recorded(model, ["0", "3", "3:input", "9"], x)
    torch.testing.assert_close(seen["0"], model[0](x))
    torch.testing.assert_close(seen["3:input"], model[:3](x))
    torch.testing.assert_close(seen["3"], model[:4](x))
    torch.testing.assert_close(seen["9"], model(x))


def test_items_of_tuples_are_counted_from_zero() -> None:
    x = torch.arange(3.0)
    seen = recorded(Uses(), ["pair", "pair#1", "pair:input", "pair:input#1"], x)
    assert torch.equal(seen["pair"], x + x + 1)
    assert torch.equal(seen["pair#1"], x * (x + 1))
    assert torch.equal(seen["pair:input"], x)
    assert torch.equal(seen["pair:input#1"], x + 1)


def test_an_item_that_is_not_there_says_what_came() -> None:
    with pytest.raises(TapError, match=r"expected a tensor at index 2, the module gave 2 item\(s\) of type Tensor"):
        recorded(Uses(), ["pair#2"], torch.ones(2))


def test_a_module_called_with_keywords_only_has_no_input_to_tap() -> None:
    class Keywords(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inside(input=x)

    with pytest.raises(TapError, match="the module got nothing but keywords"):
        recorded(Keywords(), ["inside:input"], torch.ones(2))


def test_an_unknown_path_names_close_modules() -> None:
    model = nn.ModuleDict({"layer1": nn.Linear(1, 1), "layer4": nn.Linear(1, 1)})
    with pytest.raises(TapError, match=r"tap 'layer9' is not a module of ModuleDict; close: .*layer4"):
        Taps(model, ["layer9"])
    with pytest.raises(TapError, match="tap ':input'"):
        Taps(model, [":input"])


def test_a_bridge_is_looked_through() -> None:
    model, x = conv_net().eval(), image_batch()[0]
    seen = recorded(Bridge(model, mean=[0.5], std=[0.25]), ["0:input"], x)
    torch.testing.assert_close(seen["0:input"], (x - 0.5) / 0.25)


def test_nothing_is_recorded_before_start_or_after_stop() -> None:
    model, x = conv_net(), image_batch()[0]
    taps = Taps(model, ["0"])
    model(x)
    taps.start()
    assert taps.stop() == {}
    model(x)
    assert taps.stop() == {}


def test_two_networks_that_share_modules_do_not_record_each_other() -> None:
    shared = nn.Linear(2, 2)
    first, second = nn.Sequential(shared), nn.Sequential(shared, nn.ReLU())
    mine, others = Taps(first, ["0"]), Taps(second, ["0"])
    mine.start()
    others.start()
    others.stop()
    first(torch.ones(1, 2))
    assert set(mine.stop()) == {"0"}
    assert others.stop() == {}


def test_a_module_that_runs_twice_is_recorded_at_its_last_run() -> None:
    layer = nn.Linear(2, 2)
    model, x = nn.Sequential(layer, layer), torch.ones(1, 2)
    assert torch.equal(recorded(model, ["0"], x)["0"], layer(layer(x)))


def test_a_module_that_runs_twice_comes_where_it_ran_last() -> None:
    layer, other = nn.Linear(2, 2), nn.ReLU()
    model, x = nn.Sequential(layer, other, layer), torch.ones(1, 2)
    assert list(recorded(model, ["0", "1"], x)) == ["1", "0"]
    assert list(recorded(nn.Sequential(layer, other), ["0", "1"], x)) == ["0", "1"]


def test_until_leaves_the_pass_and_must_be_a_tap() -> None:
    model, x = conv_net(), image_batch()[0]
    taps = Taps(model, ["2", "5"])
    taps.start("2")
    with pytest.raises(StopAtTap):
        model(x)
    assert set(taps.stop()) == {"2"}
    with pytest.raises(TapError, match=r"until '3' is not a tap .*known: 2, 5"):
        taps.start("3")


@pytest.mark.parametrize("later", [nn.ReLU(inplace=True), nn.Hardswish(inplace=True)])
def test_a_later_change_in_place_is_found(later: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(2, 2), later)
    taps = Taps(model, ["0"])
    taps.start()
    with torch.no_grad():
        model(torch.ones(1, 2))
    with pytest.raises(TapError, match=r"tap '0': a later module changes this tensor in place .* inplace=False"):
        taps.check_unchanged(taps.stop())


def test_a_module_that_itself_works_in_place_is_a_good_tap() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True), nn.Linear(2, 2))
    taps = Taps(model, ["1"])
    taps.start()
    model(torch.ones(1, 2))
    taps.check_unchanged(taps.stop())


def test_closed_taps_are_gone_from_the_network() -> None:
    model = conv_net()
    taps = Taps(model, ["0", "3:input"])
    assert model[0]._forward_hooks
    assert model[3]._forward_pre_hooks
    taps.close()
    assert not model[0]._forward_hooks
    assert not model[3]._forward_pre_hooks
    taps.start()
    model(image_batch()[0])
    assert taps.stop() == {}


class Shared(nn.Module):
    """One ReLU that runs twice, and a module that never does."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.relu, self.unused = nn.Linear(3, 3), nn.Linear(3, 3), nn.ReLU(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.two(self.relu(self.one(x))))


def test_a_pass_until_a_module_that_runs_twice_stops_at_its_last_run() -> None:
    batch = (torch.randn(4, 3),)
    net = Net(Shared(), run, taps=["relu"], kind=Kind.FROZEN)
    net.probe(batch)
    whole = net(batch).taps["relu"]
    net.forget()
    assert torch.equal(net(batch, until="relu").taps["relu"], whole)


def test_a_wrong_path_after_a_right_one_leaves_no_hook() -> None:
    model = conv_net()
    with pytest.raises(TapError, match="'nowhere' is not a module"):
        Taps(model, ["2", "nowhere"])
    assert not any(module._forward_hooks for module in model.modules())
