import pytest
from torch import nn

from limbeck.core.errors import ModelError
from limbeck.models.arguments import (
    check_names,
    named_parameters,
    parameters_within,
    require_none,
    unexpected_argument,
)


class Base(nn.Module):
    def __init__(self, *, drop: float = 0.0) -> None:
        super().__init__()


class Network(Base):
    def __init__(self, depth: int, **kwargs: object) -> None:
        super().__init__(**kwargs)


class Config:
    def __init__(self, stride: int) -> None: ...


def _helper(blocks: int, *, width: float = 1.0, **kwargs: object) -> Network:
    Config(stride=1)
    return Network(blocks, **kwargs)


def builder(*, weights: str | None = None, **kwargs: object) -> Network:
    return _helper(3, **kwargs)


def test_parameters_are_found_along_the_way():
    assert parameters_within(builder) == {"weights", "blocks", "width", "depth", "drop"}


def test_named_parameters_tells_whether_others_are_taken():
    assert named_parameters(builder) == ({"weights"}, True)
    assert named_parameters(Config) == ({"stride"}, False)


def test_all_wrong_names_are_told_with_close_ones():
    with pytest.raises(ModelError, match=r"net has no argument 'dept' \(close: depth\); 'x' \(known: depth, width\)"):
        check_names("net", ["dept", "width", "x"], {"depth", "width"})
    check_names("net", ["depth"], {"depth", "width"})


def test_reserved_arguments_tell_what_to_use():
    with pytest.raises(ModelError, match="net: 'weights' is not an argument here; use `weights: PATH`"):
        require_none("net", {"weights": 1}, {"weights": "`weights: PATH`"})


def test_a_library_s_type_error_becomes_ours():
    error = TypeError("Net.__init__() got an unexpected keyword argument 'dept'")
    assert "no argument 'dept' (close: depth)" in str(unexpected_argument("net", error, {"depth"}))
    assert "cannot be built: other" in str(unexpected_argument("net", TypeError("other"), {"depth"}))
