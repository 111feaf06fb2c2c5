"""The front end against its equations in NumPy float64."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from limbeck.core.errors import DataError, MissingPackage
from limbeck.data.spectrogram import (
    RANGE,
    SILENCE,
    Sound,
    as_bytes,
    frame_count,
    log_mel,
    mel_filters,
    read_wav,
    windows,
)

from .sounds import RATE, tone, wav

pytest.importorskip("transformers")


def sound(digit: int, **how: float) -> Sound:
    return read_wav(wav(tone(digit, **how)), "a tone")


def in_numpy(samples: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Frames of 200 samples, a quarter of their length apart, centred in 256 points."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(200) / 200)
    padded = np.pad(samples.astype(np.float64), 128)
    frames = [padded[at + 28 : at + 228] * hann for at in range(0, len(samples) + 1, 80)]
    power = np.abs(np.fft.rfft(frames, 256)) ** 2
    levels = 10 * np.log10(np.maximum(power @ filters, 1e-10))
    return np.maximum(levels, levels.max() - 80)


def test_a_spectrogram_is_that_of_the_equation() -> None:
    made, filters = sound(3), mel_filters(RATE, 40)
    found = log_mel(made, filters)
    assert found.shape == (frame_count(made), 40)
    expected = in_numpy(made.samples.numpy(), filters.double().numpy())
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-2)


def test_a_higher_tone_is_loudest_in_a_higher_band() -> None:
    filters = mel_filters(RATE, 40)
    loudest = [int(log_mel(sound(digit), filters).mean(0).argmax()) for digit in range(10)]
    assert loudest == sorted(set(loudest))


def test_bytes_give_deviations_back_and_no_loudness() -> None:
    filters = mel_filters(RATE, 40)
    levels = [log_mel(sound(digit, seed=digit), filters) for digit in range(4)]
    speakers = torch.tensor([0, 1, 0, 1])
    kept = as_bytes(levels, speakers)
    own = torch.cat([levels[0], levels[2]])
    expected = (levels[0] - own.mean(0)) / own.std(0, correction=0).clamp(min=1)
    back = kept[0].double() / 255 * 2 * RANGE - RANGE
    inside = expected.abs() < RANGE
    assert (back - expected)[inside].abs().max() <= RANGE / 255 + 1e-4
    assert inside.double().mean() > 0.95
    louder = as_bytes([levels[0] + 20, levels[1], levels[2] + 20, levels[3]], speakers)
    assert all((one.int() - other.int()).abs().max() <= 1 for one, other in zip(kept, louder, strict=True))


def test_silence_divides_by_nothing() -> None:
    quiet = Sound(torch.zeros(800), RATE)
    (kept,) = as_bytes([log_mel(quiet, mel_filters(RATE, 40))], torch.tensor([0]))
    assert kept.unique().tolist() == [SILENCE]


def test_windows_hold_a_frame_and_its_neighbours() -> None:
    spectrogram = torch.arange(1, 11, dtype=torch.uint8)[:, None] + torch.tensor([0, 100], dtype=torch.uint8)
    found = windows(spectrogram, before=2, after=1, every=3)
    assert found.shape == (4, 1, 2, 4)  # the frames 0, 3, 6, 9
    high, low = found[:, 0].unbind(1)
    assert low.tolist() == [[SILENCE, SILENCE, 1, 2], [2, 3, 4, 5], [5, 6, 7, 8], [8, 9, 10, SILENCE]]
    assert high[1].tolist() == [102, 103, 104, 105]


def test_bands_without_a_frequency_are_refused() -> None:
    with pytest.raises(DataError, match=r"data\.mels: of 400 bands .* take fewer"):
        mel_filters(RATE, 400)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers.audio_utils", None)
    with pytest.raises(MissingPackage, match=r"limbeck\[audio\]"):
        mel_filters(RATE, 40)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_samples_are_between_minus_one_and_one(kind: type) -> None:
    wave = np.sin(np.arange(400) / 5)
    scaled = {np.uint8: wave * 127 + 128, np.int16: wave * 32767, np.int32: wave * (2**31 - 1), np.float32: wave}[kind]
    found = read_wav(wav(scaled.astype(kind)), "a wave")
    assert found.rate == RATE
    np.testing.assert_allclose(found.samples.numpy(), wave, atol=0.02 if kind is np.uint8 else 1e-4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", "row 3 is not a WAV file"),
        (
            wav(np.zeros((40, 2), np.int16)),
            r"row 3: expected one channel with samples, got an array of shape \[40, 2\]",
        ),
        (wav(np.zeros(0, np.int16)), "expected one channel with samples"),
    ],
)
def test_what_is_no_recording_is_named(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_wav(data, "row 3")
