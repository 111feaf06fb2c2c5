from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from limbeck.data.digits import Digits


def test_every_image_once_in_one_of_the_parts() -> None:
    found = Digits().find()
    assert (len(found.train), len(found.test)) == (1200, 597)
    ids = torch.cat([found.train.ids, found.test.ids])
    assert ids.sort().values.tolist() == list(range(1797))
    pixels = torch.cat([found.train.pixels, found.test.pixels])[ids.argsort()]
    labels = torch.cat([found.train.labels, found.test.labels])[ids.argsort()]
    source = load_digits()
    assert torch.allclose(pixels[:, 0].double() / 255 * 16, torch.from_numpy(source.images), atol=0.04)
    assert labels.tolist() == source.target.tolist()


def test_the_split_is_stratified() -> None:
    found = Digits().find()
    shares = found.test.labels.bincount() / (found.train.labels.bincount() + found.test.labels.bincount())
    assert (shares - 597 / 1797).abs().max() < 0.01


def test_loads_without_a_folder(monkeypatch) -> None:
    monkeypatch.delenv("LIMBECK_DATA", raising=False)
    data = Digits().load()
    assert (len(data.train), len(data.validation), len(data.test)) == (1080, 120, 597)
    assert data.classes == tuple("0123456789")
    assert (data.channels, data.height, data.width) == (1, 8, 8)


def test_the_fingerprint_is_that_of_the_data() -> None:
    assert Digits().fingerprint() == Digits(batch=4, validation=0).fingerprint()
    assert len(Digits().fingerprint()) == 64
