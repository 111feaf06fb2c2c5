from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from limbeck.core.errors import DataError, MissingPackage
from limbeck.data.loader import Loader
from limbeck.data.parts import Part
from limbeck.data.spoken_digits import SpokenDigits

from .sounds import SPEAKERS, write_recordings

pytest.importorskip("datasets")
pytest.importorskip("transformers")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 recordings for each take: train has two of them, test one."""
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    write_recordings(tmp_path / "spoken_digits", takes={"train": 2, "test": 1})
    return tmp_path


def recordings(data: SpokenDigits, part: Part) -> set[int]:
    return set(data.utterances()[part.ids].tolist())


def test_a_sample_is_a_frame_with_its_context(root: Path) -> None:
    data = SpokenDigits(validation=0)
    loaded = data.load()
    assert (loaded.channels, loaded.height, loaded.width) == (1, 40, 26)
    assert loaded.classes == tuple("0123456789")
    assert recordings(data, loaded.train) == set(range(80))
    assert recordings(data, loaded.test) == set(range(80, 120))
    assert len(loaded.train) + len(loaded.test) == len(data.utterances())
    digits = torch.arange(10).repeat_interleave(8)  # the rows of train: digit by digit
    assert torch.equal(loaded.train.labels, digits[data.utterances()[loaded.train.ids]])
    # the frame itself is column 20 of its window, and the last column of the window five frames earlier
    assert torch.equal(loaded.train.pixels[5, ..., 20], loaded.train.pixels[0, ..., 25])
    batch = Loader(loaded.train, batch=32, seed=0, classes=10).step(0)[0]
    assert batch.images.shape == (32, 1, 40, 26)


def test_frames_can_be_left_out(root: Path) -> None:
    every, third = SpokenDigits(validation=0).load(), SpokenDigits(validation=0, every=3).load()
    first = SpokenDigits(validation=0, every=3).utterances()[third.train.ids] == 0
    whole = SpokenDigits().utterances()[every.train.ids] == 0
    assert torch.equal(third.train.pixels[first], every.train.pixels[whole][::3])


def test_speakers_of_the_test_are_heard_nowhere_else(root: Path) -> None:
    data = SpokenDigits(test_speakers=("theo",), validation_speakers=("ben",))
    loaded = data.load()
    speakers = torch.cat([torch.arange(4).repeat_interleave(2).repeat(10), torch.arange(4).repeat(10)])
    heard = {
        name: {SPEAKERS[int(speakers[number])] for number in recordings(data, getattr(loaded, name))}
        for name in ("train", "validation", "test")
    }
    assert heard == {"train": {"ann", "yweweler"}, "validation": {"ben"}, "test": {"theo"}}
    assert len(recordings(data, loaded.test)) == 30  # of the source's train and test


def test_no_recording_lies_in_two_parts(root: Path) -> None:
    data = SpokenDigits(validation=0.25)
    loaded = data.load()
    train, validation = recordings(data, loaded.train), recordings(data, loaded.validation)
    assert not train & validation
    assert (len(train), len(validation)) == (60, 20)
    digits = torch.arange(10).repeat_interleave(8)
    assert digits[sorted(validation)].bincount().tolist() == [2] * 10


def test_the_loudness_of_a_speaker_is_not_seen(root: Path) -> None:
    """The quietest speaker and the loudest say the same digits: their frames look alike."""
    data = SpokenDigits(validation=0)
    loaded, speakers = data.load(), torch.arange(4).repeat_interleave(2).repeat(10)
    own = speakers[data.utterances()[loaded.train.ids]]
    quiet, loud = (loaded.train.pixels[own == number].double().mean() for number in (0, 3))
    assert abs(quiet - loud) < 3


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"test_speakers": ("teo",)}, r"data\.test_speakers: nobody is called 'teo'; close: theo"),
        ({"validation_speakers": ("bob",)}, r"data\.validation_speakers: nobody is called 'bob'"),
        ({"test_speakers": SPEAKERS}, "0 recordings are left to learn from and 120 to test on"),
        ({"validation_speakers": SPEAKERS}, "0 recordings are left to learn from and 0 to test on"),
        ({"validation": 0.001}, "leaves 80 to learn from and 0 to validate on"),
        ({"validation": 80}, "leaves 0 to learn from and 80 to validate on"),
    ],
)
def test_wrong_cuts_are_named(root: Path, keys: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        SpokenDigits(**keys).load()


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValueError, match="theo cannot be both"):
        SpokenDigits(test_speakers=("theo", "ann"), validation_speakers=("theo",))
    with pytest.raises(ValueError, match="set only one"):
        SpokenDigits(validation_speakers=("theo",), validation=0)


def test_damaged_sets_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "spoken_digits"
    with pytest.raises(DataError, match="spoken_digits not found"):
        SpokenDigits(root=str(tmp_path)).load()
    write_recordings(folder, takes={"train": 1})
    with pytest.raises(DataError, match=r"test\.parquet missing"):
        SpokenDigits(root=str(tmp_path)).load()
    write_recordings(folder, takes={"train": 2, "test": 1}, rates={1: 16000})
    with pytest.raises(DataError, match=r"one rate, got \[8000, 16000\]"):
        SpokenDigits(root=str(tmp_path)).load()


def test_a_table_of_something_else_is_named(tmp_path: Path) -> None:
    from .making import write_table

    for split in ("train", "test"):
        write_table(tmp_path / f"{split}.parquet", [0, 1], names=["a", "b"])
    with pytest.raises(DataError, match=r"spoken_digits \(train\) has no column audio, speaker"):
        SpokenDigits(root=str(tmp_path)).load()


def test_a_missing_package_names_the_extra(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingPackage, match=r"limbeck\[audio\]"):
        SpokenDigits().load()


def test_the_real_set(data_root: Path) -> None:
    if not (data_root / "spoken_digits").is_dir():
        pytest.skip(f"{data_root} holds no spoken_digits")
    data = SpokenDigits(root=str(data_root), test_speakers=("theo", "yweweler"), validation=0, every=4)
    loaded = data.load()
    assert (len(recordings(data, loaded.train)), len(recordings(data, loaded.test))) == (2000, 1000)
    assert data.utterances().unique().tolist() == list(range(3000))
    assert len(SpokenDigits(root=str(data_root)).utterances()) == 132750
    assert 0.45 < loaded.mean[0] < 0.55
    assert 0.1 < loaded.std[0] < 0.15
    cut = (loaded.train.pixels == 0) | (loaded.train.pixels == 255)
    assert cut.double().mean() < 0.002
