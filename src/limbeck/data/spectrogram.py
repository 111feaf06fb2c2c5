"""From recordings to windows of log-mel frames, kept as bytes like the pixels of an image.

    s[t, k] = max(10 log10(Σ_f M[f, k] |STFT[f, t]|²), loudest - 80 dB)      a frame every 10 ms, over 25 ms
    x[t, k] = (s[t, k] - m[k]) / d[k]                                        m, d over all frames of a speaker
    byte    = round(255 · (x + 4) / 8), cut to 0 … 255

M are Slaney's triangular mel filters; `loudest` is the largest value of the recording. A byte step is 8/255 of a
standard deviation of its band, so what is between -4 and 4 deviations is off by at most 0.016 of one; the rest is cut.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from limbeck.core.errors import DataError, MissingPackage

RANGE = 4.0
"""Standard deviations of a band on either side of its mean that the bytes span."""

SILENCE = 128
"""The byte before and after a recording: the speaker's mean."""

_WINDOW, _HOP = 0.025, 0.010
_DYNAMIC = 80.0
_POWER_FLOOR = 1e-10
_LEAST_DEVIATION = 1.0


class Sound(NamedTuple):
    """A decoded recording.

    Args:
        samples: in [-1, 1].
        rate: per second.
    """

    samples: Float[Tensor, " n"]
    rate: int


def read_wav(data: bytes, name: str) -> Sound:
    """Decode a WAV file of one channel.

    Args:
        data: of the file.
        name: for messages.

    Raises:
        DataError: it is damaged, has several channels, or no samples.
    """
    import numpy as np
    from scipy.io import wavfile

    try:
        rate, samples = wavfile.read(io.BytesIO(data))
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{name} is not a WAV file that can be read: {error}") from error
    if samples.ndim != 1 or not len(samples):
        raise DataError(f"{name}: expected one channel with samples, got an array of shape {list(samples.shape)}")
    if samples.dtype == np.uint8:  # WAV keeps eight bits without a sign, more with one
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return Sound(torch.from_numpy(samples.astype(np.float32)), int(rate))


def frame_count(sound: Sound) -> int:
    """How many frames `log_mel` gives."""
    return 1 + len(sound.samples) // round(_HOP * sound.rate)


def mel_filters(rate: int, mels: int) -> Float[Tensor, "bins mels"]:
    """Triangles over the frequencies of a frame, equally spaced on the mel scale from 0 to half the rate.

    Args:
        rate: samples per second.
        mels: how many triangles.

    Raises:
        DataError: a triangle is so narrow that no frequency lies in it.
        MissingPackage: transformers, whose filters these are, is not installed.
    """
    try:
        from transformers.audio_utils import mel_filter_bank
    except ImportError as error:
        raise MissingPackage("transformers", "audio") from error
    bins = _points(rate) // 2 + 1
    bank = torch.from_numpy(
        mel_filter_bank(bins, mels, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney").astype("float32")
    )
    empty = int((bank.amax(0) <= 0).sum())
    if empty:
        raise DataError(
            f"data.mels: of {mels} bands {empty} hold none of the {bins} frequencies that recordings of {rate} samples "
            "per second have; take fewer"
        )
    return bank


def log_mel(sound: Sound, filters: Float[Tensor, "bins mels"]) -> Float[Tensor, "frames mels"]:
    """A recording's log-mel spectrogram, in decibels; at most 80 dB below its loudest value.

    Args:
        sound: is taken to be silent before and after.
        filters: from `mel_filters`.
    """
    points, window = _points(sound.rate), round(_WINDOW * sound.rate)
    spectrum = torch.stft(
        sound.samples,
        points,
        hop_length=round(_HOP * sound.rate),
        win_length=window,
        window=torch.hann_window(window),
        pad_mode="constant",
        return_complex=True,
    )
    power = spectrum.abs().square().mT @ filters
    levels = 10 * power.clamp(min=_POWER_FLOOR).log10()
    return levels.clamp(min=float(levels.max()) - _DYNAMIC)


def as_bytes(
    spectrograms: Sequence[Float[Tensor, "_frames mels"]], speakers: Int64[Tensor, " n"]
) -> list[UInt8[Tensor, "_frames mels"]]:
    """Every recording less its speaker's mean, over the speaker's deviation, in bytes.

    Args:
        spectrograms: in decibels.
        speakers: of each recording.
    """
    kept: dict[int, UInt8[Tensor, "_frames mels"]] = {}
    for speaker in speakers.unique().tolist():
        own = (speakers == speaker).nonzero()[:, 0].tolist()
        levels = torch.cat([spectrograms[place] for place in own])
        # a band that never changes, as in a recording of silence, would be divided by zero
        mean, deviation = levels.mean(0), levels.std(0, correction=0).clamp(min=_LEAST_DEVIATION)
        for place in own:
            units = (spectrograms[place] - mean) / deviation
            kept[place] = ((units + RANGE) * (255 / (2 * RANGE))).round().clamp(0, 255).to(torch.uint8)
    return [kept[place] for place in range(len(spectrograms))]


def windows(
    spectrogram: UInt8[Tensor, "frames mels"], *, before: int, after: int, every: int
) -> UInt8[Tensor, "samples 1 mels width"]:
    """Frames with their neighbours, as images: time runs to the right, low bands lie at the bottom.

    Args:
        spectrogram: of one recording.
        before: frames of context to the left.
        after: to the right.
        every: takes the frames 0, every, 2 · every, ...
    """
    padded = F.pad(spectrogram, (0, 0, before, after), value=SILENCE)
    return padded.unfold(0, before + 1 + after, 1)[::every].flip(1)[:, None]


def _points(rate: int) -> int:
    """Of the Fourier transform: the power of two that holds a window."""
    points: int = 1 << (round(_WINDOW * rate) - 1).bit_length()
    return points
