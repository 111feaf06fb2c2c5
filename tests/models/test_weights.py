import os
import pickle

import pytest
import torch
from safetensors import safe_open
from torch import nn

from limbeck.core.errors import RunError, WeightsError
from limbeck.models.build import build
from limbeck.models.weights import load_weights, read_metadata, read_weights, save_weights


def network(seed: int = 0, classes: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return build("resnet8", {}, classes=classes, channels=1, height=8, width=8)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_roundtrip_with_metadata(tmp_path):
    first, second = network(1), network(2)
    first(torch.rand(4, 1, 8, 8))  # buffers must travel too
    save_weights(first, tmp_path / "new" / "net.safetensors", metadata={"name": "resnet8"})
    assert not same(first, second)
    load_weights(second, tmp_path / "new" / "net.safetensors")
    assert same(first, second)
    assert read_metadata(tmp_path / "new" / "net.safetensors") == {"name": "resnet8"}
    assert os.listdir(tmp_path / "new") == ["net.safetensors"]


def test_weights_are_copied_into_the_parameters_that_exist(tmp_path):
    first, second = network(1), network(2)
    save_weights(first, tmp_path / "net.safetensors")
    before = dict(second.named_parameters())
    load_weights(second, tmp_path / "net.safetensors")
    assert all(parameter is before[name] for name, parameter in second.named_parameters())


def test_channels_last_weights_are_saved(tmp_path):
    first, second = network(1).to(memory_format=torch.channels_last), network(2)
    assert not first.layer2[0].conv1.weight.is_contiguous()
    save_weights(first, tmp_path / "net.safetensors")
    load_weights(second, tmp_path / "net.safetensors")
    assert same(first, second)


def test_tied_weights_are_saved(tmp_path):
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save_weights(tied, tmp_path / "net.safetensors")
    loaded = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    load_weights(loaded, tmp_path / "net.safetensors")
    assert same(tied, loaded)


def test_a_compiled_network_is_saved_under_plain_names(tmp_path):
    save_weights(torch.compile(network(1)), tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(network().state_dict())


def nested(key):
    return lambda state: {key: state, "epoch": 3}


def renamed(prefix):
    return lambda state: {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "change",
    [
        dict,
        nested("state_dict"),
        nested("model"),
        renamed("module."),
        renamed("_orig_mod."),
        renamed("module._orig_mod."),
        lambda state: nested("state_dict")(renamed("module.")(state)),
        lambda state: {name.replace("layer1.", "layer1._orig_mod."): tensor for name, tensor in state.items()},
        lambda state: {name: tensor for name, tensor in state.items() if "num_batches" not in name},
    ],
    ids=["plain", "state_dict", "model", "parallel", "compiled", "both", "nested-parallel", "compiled-block", "old"],
)
def test_checkpoints_of_torch_are_read(tmp_path, change):
    first, second = network(1), network(2)
    torch.save(change(first.state_dict()), tmp_path / "net.pth")
    load_weights(second, tmp_path / "net.pth")
    assert same(first, second)


def test_a_network_may_have_a_part_called_module(tmp_path):
    first, second = (nn.ModuleDict({"module": nn.Linear(2, 2)}) for _ in range(2))
    save_weights(first, tmp_path / "net.safetensors")
    load_weights(second, tmp_path / "net.safetensors")
    assert same(first, second)


def test_everything_that_does_not_fit_is_told_and_nothing_is_loaded(tmp_path):
    state = network(1).state_dict()
    del state["stem.conv.weight"]
    state |= {"extra": torch.zeros(1), "fc.weight": torch.zeros(5, 64)}
    torch.save(state, tmp_path / "net.pth")
    target, untouched = network(2), network(2)
    with pytest.raises(WeightsError) as caught:
        load_weights(target, tmp_path / "net.pth")
    message = str(caught.value)
    assert "does not fit CifarResNet" in message
    assert "1 missing: stem.conv.weight" in message
    assert "1 unexpected: extra" in message
    assert "1 of another shape: fc.weight [5, 64] in the file, [3, 64] in the network" in message
    assert same(target, untouched)


def test_long_lists_are_cut(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"\d\d missing: stem.conv.weight, .*, …; 1 unexpected"):
        load_weights(network(), tmp_path / "net.pth")


@pytest.mark.parametrize("protocol", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused(tmp_path, protocol):
    content = {"fc.weight": Malicious(tmp_path / "code_ran")}
    if protocol == "torch":
        torch.save(content, tmp_path / "net.pth")
    else:
        (tmp_path / "net.pth").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(WeightsError, match="would run code"):
        load_weights(network(), tmp_path / "net.pth")
    assert not (tmp_path / "code_ran").exists()


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch.save(network(), tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"would run code.*state_dict\(\)"):
        load_weights(network(), tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_cut_files_are_refused(tmp_path, suffix, share):
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(network().state_dict(), path)
    else:
        save_weights(network(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match="net"):
        load_weights(network(), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "holds no weights.*a list"),
        ({"epoch": 3}, "holds no weights.*keys epoch"),
        ({"fc.weight": torch.zeros(1), "epoch": 3}, "other things beside tensors: epoch"),
    ],
)
def test_files_without_weights_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / "net.pth")


def test_a_path_that_is_no_file(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        load_weights(network(), tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="is a folder"):
        load_weights(network(), tmp_path)
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        read_metadata(tmp_path / "none.safetensors")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        save_weights(network(), tmp_path / "file" / "net.safetensors")
