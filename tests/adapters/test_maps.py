"""Features of any network become maps, and maps come to one size."""

from __future__ import annotations

import pytest
import torch

from limbeck.adapters.maps import as_map, at_one_size, check_maps, map_channels, map_size, resized
from limbeck.core.errors import MethodError
from limbeck.core.method import Shape


def test_a_map_comes_back_as_it_is() -> None:
    features = torch.rand(2, 3, 4, 5)
    assert as_map(features) is features


@pytest.mark.parametrize("class_tokens", [0, 1, 2])
def test_tokens_are_laid_out_row_by_row_without_the_class_tokens_before_them(class_tokens: int) -> None:
    grid = torch.arange(2.0 * 9 * 5).view(2, 9, 5)
    found = as_map(torch.cat((torch.full((2, class_tokens, 5), -1.0), grid), dim=1))
    assert found.shape == (2, 5, 3, 3)
    for row in range(3):
        for column in range(3):
            assert torch.equal(found[:, :, row, column], grid[:, 3 * row + column])


def test_a_vector_is_one_place() -> None:
    vector = torch.rand(2, 7)
    assert torch.equal(as_map(vector), vector.view(2, 7, 1, 1))


@pytest.mark.parametrize(
    ("shape", "size", "channels"),
    [((2, 3, 4, 5), (4, 5), 3), ((2, 65, 24), (8, 8), 24), ((2, 64, 24), (8, 8), 24), ((2, 7), (1, 1), 7)],
)
def test_size_and_channels_are_those_of_the_map(shape: tuple[int, ...], size: tuple[int, int], channels: int) -> None:
    assert (map_size(shape), map_channels(shape)) == (size, channels)
    assert as_map(torch.zeros(shape)).shape == (2, channels, *size)


@pytest.mark.parametrize("shape", [(2,), (2, 8, 5), (2, 12, 5), (2, 3, 4, 5, 6), ()])
def test_any_other_form_says_what_came_and_what_is_expected(shape: tuple[int, ...]) -> None:
    with pytest.raises(MethodError, match=r"cannot be laid out as a map; expected \[b c h w\], \[b c\], or tokens"):
        as_map(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 14, 14, 384), (2, 7, 7, 768), (2, 4, 4, 16)])
def test_channels_that_come_last_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MethodError, match="have their channels last"):
        check_maps({"student": ["a"]}, {"student": {"a": shape}})


def test_maps_are_checked_with_the_name_of_the_tap() -> None:
    good = {"student": {"a": (2, 3, 4, 4)}, "teacher": {"b": (2, 65, 8), "c": (2, 4)}}
    taps = {role: list(paths) for role, paths in good.items()}
    check_maps(taps, good)
    check_maps(taps, {**good, "teacher": {**good["teacher"], "of another method": (2, 8, 5)}})
    with pytest.raises(MethodError, match=r"tap 'b' of the teacher: features of shape \(2, 8, 5\) cannot be laid out"):
        check_maps({"teacher": ["b"]}, good | {"teacher": {"b": (2, 8, 5)}})


def test_a_map_of_the_asked_size_comes_back_as_it_is() -> None:
    features = torch.rand(2, 3, 4, 5)
    assert resized(features, (4, 5)) is features


def test_a_map_shrinks_to_means_of_its_places() -> None:
    features = torch.arange(8.0).view(1, 1, 2, 4)
    assert resized(features, (1, 2)).tolist() == [[[[2.5, 4.5]]]]
    assert resized(features, (2, 1)).tolist() == [[[[1.5], [5.5]]]]


def test_a_map_grows_on_straight_lines_between_its_places() -> None:
    features = torch.tensor([[[[0.0, 4.0]]]])
    # Places are areas: the new ones have their centres at -1/4, 1/4, 3/4 and 5/4 of the distance between the old ones.
    assert resized(features, (1, 4)).tolist() == [[[[0.0, 1.0, 3.0, 4.0]]]]
    assert resized(torch.full((1, 1, 1, 1), 3.0), (2, 5)).tolist() == [[[[3.0] * 5] * 2]]


def test_a_map_may_shrink_on_one_side_and_grow_on_the_other() -> None:
    features = torch.tensor([[[[0.0, 2.0], [0.0, 4.0], [1.0, 5.0], [1.0, 7.0]]]])
    # Means of neighbouring rows are (0, 3) and (1, 6).
    found = resized(features, (2, 4))
    assert found.tolist() == [[[[0.0, 0.75, 2.25, 3.0], [1.0, 2.25, 4.75, 6.0]]]]


@pytest.mark.parametrize(
    ("student", "teacher", "size"),
    [
        ((2, 3, 8, 8), (2, 5, 4, 4), (4, 4)),
        ((2, 3, 4, 4), (2, 5, 8, 8), (4, 4)),
        ((2, 3, 8, 2), (2, 5, 4, 4), (4, 2)),
        ((2, 3, 16, 16), (2, 65, 5), (8, 8)),
        ((2, 16, 3), (2, 5), (1, 1)),
    ],
)
def test_both_maps_come_to_the_smaller_size(
    student: tuple[int, ...], teacher: tuple[int, ...], size: tuple[int, int]
) -> None:
    own, other = at_one_size(torch.rand(student), torch.rand(teacher))
    assert own.shape == (2, 3, *size)
    assert other.shape == (2, 5, *size)


def seen(shape: tuple[int, ...], given: tuple[int, ...]) -> Shape:
    return Shape.of(torch.zeros(shape), given=given)


@pytest.mark.parametrize(
    ("shape", "given", "text"),
    [
        ((2, 56, 56, 96), (2, 3, 224, 224), "have their channels last"),
        ((2, 64, 8), (2, 3, 16, 64), r"of an image of 16×64 cannot be laid out as a map; .* of a square image"),
        ((32, 5, 4, 4), (2, 3, 8, 8), r"features of shape \(32, 5, 4, 4\) for 2 samples; expected a row for each"),
    ],
)
def test_what_the_network_was_given_tells_what_its_features_are(
    shape: tuple[int, ...], given: tuple[int, ...], text: str
) -> None:
    with pytest.raises(MethodError, match=text):
        check_maps({"student": ["a"]}, {"student": {"a": seen(shape, given)}})


def test_a_map_of_a_wide_image_is_one() -> None:
    check_maps({"student": ["a"]}, {"student": {"a": seen((2, 16, 16, 64), (2, 3, 16, 64))}})
    assert map_size(seen((2, 16, 16, 64), (2, 3, 16, 64))) == (16, 64)
