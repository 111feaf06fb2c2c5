import pytest
from torch import nn

from limbeck.core.errors import ModelError
from limbeck.models.arguments import Interface
from limbeck.models.from_path import build_from_path, build_from_zoo

INTERFACE = Interface(classes=7, channels=2, height=5, width=6)

SOURCE = """
from torch import nn

class Plain(nn.Linear):
    @classmethod
    def wide(cls, *, classes):
        return cls(1000, classes)

def image(classes, channels, height, width, *, bias=True):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes, bias=bias))

def thin(*, classes, width):
    return nn.Linear(width, classes)

def any_(**kwargs):
    return nn.Linear(kwargs["inputs"], 3)

def published(classes, pretrained=False):
    return nn.Linear(100 if pretrained else 1, classes)

def refusing():
    from limbeck.core.errors import ModelError
    raise ModelError("mine")

NUMBER = 3
"""


@pytest.fixture(autouse=True)
def _user_s_module(tmp_path, monkeypatch):
    (tmp_path / "user_networks.py").write_text(SOURCE)
    (tmp_path / "user_broken.py").write_text("import package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)


def built(path: str, *, pretrained: bool = False, **arguments: object) -> nn.Module:
    return build_from_path(path, arguments, INTERFACE, pretrained=pretrained)


def test_the_interface_is_passed_where_the_signature_names_it():
    network = built("user_networks:image", bias=False)
    assert (network[1].in_features, network[1].out_features) == (60, 7)
    assert network[1].bias is None


def test_a_lone_width_is_the_user_s_own():
    assert built("user_networks:thin", width=4).in_features == 4
    with pytest.raises(ModelError, match=r"missing a required.* argument: 'width'"):
        built("user_networks:thin")


def test_arguments_win_over_the_interface():
    assert built("user_networks:image", classes=1000)[1].out_features == 1000


def test_a_class_or_its_method_will_do():
    assert built("user_networks:Plain", in_features=3, out_features=4).out_features == 4
    assert built("user_networks:Plain.wide").out_features == 7


def test_a_callable_with_kwargs_gets_any_argument_and_nothing_else():
    assert built("user_networks:any_", inputs=9).in_features == 9


def test_pretrained_is_passed_on_or_refused():
    assert built("user_networks:published", pretrained=True).in_features == 100
    with pytest.raises(ModelError, match="no argument 'pretrained'"):
        built("user_networks:image", pretrained=True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("user_network:image", "no module 'user_network'"),
        ("user_networks.deeper:image", "no module 'user_networks.deeper'"),
        ("user_networks:imag", r"has no 'imag' \(close: image\)"),
        ("user_networks:NUMBER", "is a int; expected a function or class"),
        ("builtins:dict", "tells no signature"),
    ],
)
def test_paths_that_lead_nowhere(path, message):
    with pytest.raises(ModelError, match=message):
        built(path)


def test_an_error_inside_the_user_s_module_is_shown_as_it_is():
    with pytest.raises(ModuleNotFoundError, match="package_that_is_not_there"):
        built("user_broken:image")


def test_unknown_arguments_have_close_names():
    with pytest.raises(ModelError, match=r"no argument 'bais' \(close: bias\)"):
        built("user_networks:image", bais=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hiden": [3]}, r"mlp has no argument 'hiden' \(close: hidden\)"),
        ({"hidden": [3, "four"]}, r"hidden\.1: .*integer.*'four'"),
        ({"hidden": [0]}, r"hidden\.0: .*greater than 0"),
        ({"dropout": 1.0}, "dropout: .*less than 1"),
        ({"dropout": True}, "dropout: .*number.*True"),
    ],
)
def test_arguments_of_the_zoo_are_checked(arguments, message):
    with pytest.raises(ModelError, match=message):
        build_from_zoo("mlp", arguments, INTERFACE, pretrained=False)


def test_the_zoo_takes_lists_and_whole_numbers():
    network = build_from_zoo("mlp", {"hidden": [4], "dropout": 0}, INTERFACE, pretrained=False)
    assert network.layer1.linear.in_features == 60


def test_the_zoo_has_no_published_weights():
    with pytest.raises(ModelError, match=r"no published weights.*weights: PATH"):
        build_from_zoo("resnet8", {}, INTERFACE, pretrained=True)


def test_published_classes_are_the_callable_s_own():
    keep = Interface(classes=None, channels=2, height=5, width=6)
    network = build_from_path("user_networks:published", {"classes": 9}, keep, pretrained=True)
    assert network.out_features == 9
    with pytest.raises(ModelError, match="missing a required argument: 'classes'"):
        build_from_path("user_networks:published", {}, keep, pretrained=True)


def test_an_error_inside_the_callable_names_the_network_and_its_cause():
    with pytest.raises(ModelError, match="user_networks:any_ cannot be built: KeyError: 'inputs'") as caught:
        built("user_networks:any_")
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_argument_of_a_wrong_type_names_the_network():
    with pytest.raises(ModelError, match="user_networks:thin cannot be built: TypeError: "):
        built("user_networks:thin", width="wide")


def test_an_error_of_limbeck_s_own_inside_the_callable_stays_as_it_is():
    with pytest.raises(ModelError, match=r"^mine$"):
        built("user_networks:refusing")


def test_an_error_inside_a_network_of_the_zoo_names_it(monkeypatch):
    monkeypatch.setattr("limbeck.models.cifar_resnet.resnet8", lambda *, classes: [][classes])
    with pytest.raises(ModelError, match="resnet8 cannot be built: IndexError"):
        build_from_zoo("resnet8", {}, INTERFACE, pretrained=False)
