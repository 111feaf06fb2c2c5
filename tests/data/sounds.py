"""Little sets of recordings for tests: each digit is a tone, each speaker has a loudness."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import wavfile

RATE = 8000
SPEAKERS = ("ann", "ben", "theo", "yweweler")
DIGITS = tuple(str(number) for number in range(10))


def tone(digit: int, *, loudness: float = 0.5, seconds: float = 0.25, seed: int = 0) -> np.ndarray:
    """A tone of 300 + 300 · digit Hz with a little noise, as 16-bit samples."""
    times = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.01, len(times))
    samples = loudness * (np.sin(2 * np.pi * (300 + 300 * digit) * times) + noise)
    return np.clip(samples * 32767, -32768, 32767).astype(np.int16)


def wav(samples: np.ndarray, *, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    wavfile.write(file, rate, samples)
    return file.getvalue()


def write_recordings(
    folder: Path,
    *,
    takes: Mapping[str, int],
    speakers: Sequence[str] = SPEAKERS,
    rates: Mapping[int, int] | None = None,
) -> None:
    """Split -> a Parquet file with so many takes of each digit by each speaker, in the columns of the real set.

    Args:
        folder: receives them.
        takes: split -> how many.
        speakers: their names.
        rates: take -> samples per second, where it is not 8,000.
    """
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(parents=True, exist_ok=True)
    features = {
        "audio": {"sampling_rate": RATE, "_type": "Audio"},
        "label": {"names": list(DIGITS), "_type": "ClassLabel"},
        "speaker": {"names": list(speakers), "_type": "ClassLabel"},
    }
    for place, (split, count) in enumerate(takes.items()):
        rows = [(d, s, t) for d in range(10) for s in range(len(speakers)) for t in range(count)]
        audio = [
            wav(
                tone(d, loudness=0.1 + 0.2 * s, seconds=0.15 + 0.01 * (t + d), seed=100 * place + 10 * s + t),
                rate=(rates or {}).get(t, RATE),
            )
            for d, s, t in rows
        ]
        table = pyarrow.table(
            {
                "audio": [
                    {"bytes": data, "path": f"{d}_{s}_{t}.wav"} for data, (d, s, t) in zip(audio, rows, strict=True)
                ],
                "label": [d for d, _, _ in rows],
                "speaker": [s for _, s, _ in rows],
            }
        )
        told = {"huggingface": json.dumps({"info": {"features": features}})}
        pyarrow.parquet.write_table(table.replace_schema_metadata(told), folder / f"{split}.parquet")
