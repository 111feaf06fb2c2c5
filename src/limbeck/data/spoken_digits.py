"""Spoken digits: each sample is a frame of a recording with its neighbours, as acoustic models see speech.

Jackson, Souza, Flaks, Pan, Nicolas, Thite, "Free Spoken Digit Dataset", Zenodo, 2018: 3,000 recordings of the English
digits by six speakers, 50 of each digit by each of them, 8,000 samples per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Int64, UInt8
from pydantic import Field
from torch import Tensor

from limbeck.core.errors import DataError, close
from limbeck.core.settings import settings
from limbeck.data.files import first_folder
from limbeck.data.parts import InMemory
from limbeck.data.selection import amount_of, stratified
from limbeck.data.source import SEED, Found, ImageData
from limbeck.data.spectrogram import Sound, as_bytes, frame_count, log_mel, mel_filters, read_wav, windows
from limbeck.data.tables import class_labels, class_names, column_values, opened, require_datasets, table_files

_COLUMNS = ("audio", "label", "speaker")
_SPLITS = ("train", "test")


class Recordings(NamedTuple):
    """All recordings, those of the source's train split first.

    Args:
        sounds: decoded.
        digits: class of each.
        speakers: index of each into `names`.
        tests: which are of the source's test split.
        classes: of the digits.
        names: of the speakers.
    """

    sounds: list[Sound]
    digits: Int64[Tensor, " n"]
    speakers: Int64[Tensor, " n"]
    tests: Bool[Tensor, " n"]
    classes: tuple[str, ...]
    names: tuple[str, ...]


@settings
class SpokenDigits(ImageData):
    """Frames of log-mel energies with their context, as images of one channel: mels high, before + 1 + after wide.

    Looked for as Parquet files (train*.parquet, test*.parquet) with the columns audio, label and speaker, in root,
    root/spoken_digits and root/spoken_digits/data.

    A frame's label is the digit of its recording: nobody has said which sound is where. Means and deviations of the
    bands are taken per speaker, over all of a speaker's recordings, without labels, of test speakers too. `validation`
    counts recordings, not frames, so that no recording lies in both parts.

    Args:
        test_speakers: names of those whose recordings, all of them, are the test part; empty = the source's split, in
            which all speakers are in both parts.
        validation_speakers: the same for validation; empty = `validation` of the training recordings.
        before: frames of context before a frame (10 ms each).
        after: the same after it.
        mels: bands.
        every: takes every so many-th frame of each recording.
    """

    title: ClassVar[str] = "spoken_digits"

    test_speakers: tuple[str, ...] = ()
    validation_speakers: tuple[str, ...] = ()
    before: Annotated[int, Field(ge=0)] = 20
    after: Annotated[int, Field(ge=0)] = 5
    mels: Annotated[int, Field(ge=1)] = 40
    every: Annotated[int, Field(ge=1)] = 1

    def __post_init__(self) -> None:
        both = sorted({*self.test_speakers} & {*self.validation_speakers})
        if both:
            raise ValueError(f"{', '.join(both)} cannot be both in test_speakers and in validation_speakers")
        if self.validation_speakers and not self.validation:
            raise ValueError("validation: 0 asks for no validation part, validation_speakers for one: set only one")

    def files(self) -> Mapping[str, Path]:
        """The tables of both splits, by their names."""
        places = ("spoken_digits", "spoken_digits/data", ".")
        folder = first_folder(self.folder(), places, holding=["train*.parquet"], what=self.title)
        tables = table_files(folder, pattern="*.parquet")
        if not tables.get("test"):
            raise DataError(f"{folder} is incomplete: test.parquet missing; fetch {self.title} again")
        return {path.name: path for split in _SPLITS for path in tables[split]}

    def find(self) -> Found:
        """The frames of all recordings.

        Raises:
            DataError: files are missing or damaged, or a speaker is unknown.
            MissingPackage: `datasets` or `transformers` is not installed.
        """
        recorded = self._recordings()
        rate = recorded.sounds[0].rate
        filters = mel_filters(rate, self.mels)
        levels = as_bytes([log_mel(sound, filters) for sound in recorded.sounds], recorded.speakers)
        pieces = [windows(one, before=self.before, after=self.after, every=self.every) for one in levels]
        train, validation, test = self._split(recorded)
        held_out = _frames(pieces, recorded, validation) if validation.any() else None
        return Found(
            _frames(pieces, recorded, train),
            held_out,
            _frames(pieces, recorded, test),
            recorded.classes,
            f"a sample is a frame of a recording: {int(train.sum())} recordings to learn from, "
            f"{int(validation.sum())} to validate on, {int(test.sum())} to test on",
        )

    def utterances(self) -> Int64[Tensor, " ids"]:
        """The number of the recording that each sample is a frame of: `utterances()[part.ids]`.

        Raises:
            DataError: files are missing or damaged.
            MissingPackage: `datasets` is not installed.
        """
        counts = [-(-frame_count(sound) // self.every) for sound in self._recordings().sounds]
        return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))

    def _recordings(self) -> Recordings:
        require_datasets("audio")
        files = self.files()
        tables = opened({split: [path for name, path in files.items() if name.startswith(split)] for split in _SPLITS})
        for split, table in tables.items():
            missing = [column for column in _COLUMNS if column not in table.column_names]
            if missing:
                raise DataError(f"{self.title} ({split}) has no column {', '.join(missing)}; fetch it again")
        classes, names = (class_names(tables["train"], column, name=self.title) for column in ("label", "speaker"))
        sounds, digits, speakers = [], [], []
        for split, table in tables.items():
            name = f"{self.title} ({split})"
            digits.append(class_labels(table, "label", classes, name=name))
            speakers.append(class_labels(table, "speaker", names, name=name))
            for row, cell in enumerate(column_values(table, "audio")):
                if not cell or not cell["bytes"]:
                    raise DataError(f"{name}, row {row}: column 'audio' holds no bytes")
                sounds.append(read_wav(cell["bytes"], f"{name}, row {row}"))
        if len({sound.rate for sound in sounds}) != 1:
            rates = sorted({sound.rate for sound in sounds})
            raise DataError(f"{self.title}: expected recordings of one rate, got {rates} samples per second")
        tests = torch.arange(len(sounds)) >= len(digits[0])
        return Recordings(sounds, torch.cat(digits), torch.cat(speakers), tests, classes, names)

    def _split(self, recorded: Recordings) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"], Bool[Tensor, " n"]]:
        """Which recordings are to learn from, to validate on, and to test on."""
        validation = _spoken_by(recorded, self.validation_speakers, key="data.validation_speakers")
        test = _spoken_by(recorded, self.test_speakers, key="data.test_speakers")
        test = test if self.test_speakers else recorded.tests & ~validation
        train = ~(test | validation)
        if not train.any() or not test.any():
            raise DataError(
                f"{self.title}: {int(train.sum())} recordings are left to learn from and {int(test.sum())} to test on; "
                "choose fewer speakers to validate or to test on"
            )
        if self.validation and not self.validation_speakers:
            places = train.nonzero()[:, 0]
            count = amount_of(self.validation, total=len(places), key="data.validation")
            if not 0 < count < len(places):
                raise DataError(
                    f"data.validation {self.validation} of {len(places)} recordings leaves {len(places) - count} to "
                    f"learn from and {count} to validate on; both must have some (0 = none)"
                )
            validation[places[stratified(recorded.digits[places], places, count=count, seed=SEED)]] = True
            train &= ~validation
        return train, validation, test


def _spoken_by(recorded: Recordings, chosen: tuple[str, ...], *, key: str) -> Bool[Tensor, " n"]:
    for name in chosen:
        if name not in recorded.names:
            raise DataError(f"{key}: nobody is called {name!r}; {close(name, recorded.names)}")
    numbers = torch.tensor([recorded.names.index(name) for name in chosen], dtype=torch.int64)
    return torch.isin(recorded.speakers, numbers)


def _frames(
    pieces: list[UInt8[Tensor, "_samples 1 mels width"]], recorded: Recordings, chosen: Bool[Tensor, " n"]
) -> InMemory:
    """The frames of some recordings; a frame's id is its place among those of all recordings."""
    counts = torch.tensor([len(piece) for piece in pieces])
    first = counts.cumsum(0) - counts
    places = chosen.nonzero()[:, 0]
    return InMemory(
        torch.cat([pieces[place] for place in places.tolist()]),
        recorded.digits[places].repeat_interleave(counts[places]),
        torch.cat([first[place] + torch.arange(int(counts[place])) for place in places.tolist()]),
    )
