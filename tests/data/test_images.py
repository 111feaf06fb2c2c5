from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.core.errors import DataError
from limbeck.data.images import Files, Shape, decoded, probed, resized

from .making import picture, pixels_of


@pytest.fixture
def files(tmp_path: Path) -> Files:
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        picture(number).save(path)
    return Files(paths)


def test_decodes_in_the_order_asked(files: Files) -> None:
    got = decoded(files, torch.tensor([3, 0, 3]), shape=Shape(3, 6, 6), resize=False)
    assert torch.equal(got, torch.stack([pixels_of(3), pixels_of(0), pixels_of(3)]))


def test_nothing_is_an_empty_batch(files: Files) -> None:
    got = decoded(files, torch.tensor([], dtype=torch.int64), shape=Shape(3, 6, 6), resize=False)
    assert got.shape == (0, 3, 6, 6)


def test_a_damaged_image_is_named(files: Files) -> None:
    data = files.paths[2].read_bytes()
    files.paths[2].write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"2\.png is damaged"):
        decoded(files, torch.arange(5), shape=Shape(3, 6, 6), resize=False)


def test_a_text_file_is_named(files: Files) -> None:
    files.paths[1].write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"1\.png is damaged or is not an image"):
        probed(files, torch.arange(5), size=None, channels=None)


def test_a_missing_image_is_named(files: Files) -> None:
    files.paths[4].unlink()
    with pytest.raises(DataError, match=r"cannot read the image .*4\.png"):
        decoded(files, torch.tensor([4]), shape=Shape(3, 6, 6), resize=False)


def test_another_size_is_refused_unless_resizing_was_asked(files: Files) -> None:
    picture(7, size=(12, 6)).save(files.paths[3])
    with pytest.raises(DataError, match=r"3\.png is 12x6, the others are 6x6.*data\.size"):
        decoded(files, torch.arange(5), shape=Shape(3, 6, 6), resize=False)
    with pytest.raises(DataError, match=r"images differ in size"):
        probed(files, torch.arange(5), size=None, channels=None)
    assert probed(files, torch.arange(5), size=4, channels=None) == Shape(3, 4, 4)
    assert decoded(files, torch.arange(5), shape=Shape(3, 4, 4), resize=True).shape == (5, 3, 4, 4)


def test_resizing_cuts_the_centre(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, 2:6] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    got = decoded(Files([tmp_path / "a.png"]), torch.tensor([0]), shape=Shape(3, 4, 4), resize=True)
    assert torch.equal(got, torch.full((1, 3, 4, 4), 200, dtype=torch.uint8))


def test_grey_only_when_all_are(files: Files) -> None:
    for number in range(4):
        picture(number, mode="L").save(files.paths[number])
    assert probed(files, torch.arange(4), size=None, channels=None) == Shape(1, 6, 6)
    assert probed(files, torch.arange(5), size=None, channels=None) == Shape(3, 6, 6)
    assert probed(files, torch.arange(5), size=None, channels=1) == Shape(1, 6, 6)


def test_grey_images_repeat_in_a_colour_set(files: Files) -> None:
    picture(0, mode="L").save(files.paths[0])
    got = decoded(files, torch.tensor([0]), shape=Shape(3, 6, 6), resize=False)
    assert torch.equal(got[0, 0], got[0, 1])
    assert torch.equal(got[0, 1], got[0, 2])


def test_colour_is_not_dropped_silently(files: Files) -> None:
    with pytest.raises(DataError, match=r"colour image in a set of grey ones; set data\.channels: 3"):
        decoded(files, torch.arange(5), shape=Shape(1, 6, 6), resize=False)


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257 * 3], [65535, 32768]], dtype=np.uint16)).save(tmp_path / "a.png")
    got = decoded(Files([tmp_path / "a.png"]), torch.tensor([0]), shape=Shape(1, 2, 2), resize=False)
    assert got.flatten().tolist() == [0, 3, 255, 127]


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(0, size=(4, 6)).save(tmp_path / "a.png", exif=exif)
    assert probed(Files([tmp_path / "a.png"]), torch.tensor([0]), size=None, channels=None) == Shape(3, 4, 6)


def test_arrays_resize_to_a_constant_and_keep_their_size() -> None:
    grey = torch.full((3, 1, 10, 7), 90, dtype=torch.uint8)
    assert torch.equal(resized(grey, 5), torch.full((3, 1, 5, 5), 90, dtype=torch.uint8))
    square = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8)
    assert resized(square, 5) is square
    assert resized(square, 11).shape == (2, 3, 11, 11)


def test_halving_arrays_is_close_to_the_mean_of_four() -> None:
    ramp = (torch.arange(16) * 8).to(torch.uint8).repeat(1, 1, 16, 1)
    expected = ramp.float().view(1, 1, 8, 2, 8, 2).mean((3, 5))
    assert (resized(ramp, 8).float() - expected)[..., 1:-1].abs().max() <= 1


def test_what_is_no_image_is_named_without_a_buffer(files: Files) -> None:
    files.paths[1].write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"1\.png") as caught:
        probed(files, torch.arange(5), size=None, channels=None)
    assert "BytesIO" not in str(caught.value)
