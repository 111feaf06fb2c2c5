"""Which images are shown, and what is said about them."""

from __future__ import annotations

import base64
import dataclasses
import io

import pytest
import torch

from limbeck.core.errors import DataError
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.results import Results
from limbeck.report.gallery import gallery


def sure(results: Results, answers: dict[str, list[int]], labels: list[int], ids: list[int] | None = None) -> Results:
    """The same results, as if each role had given these answers, nearly certain."""

    def predictions(role: str) -> Predictions:
        logits = 20.0 * torch.nn.functional.one_hot(torch.tensor(answers[role]), len(results.classes)).float()
        places = torch.arange(len(labels)) if ids is None else torch.tensor(ids)
        assert results.dataset.test is not None
        known = results.dataset.test.ids[places] if ids is None else places
        return Predictions(logits=logits, labels=torch.tensor(labels), ids=known)

    entries = [dataclasses.replace(entry, predictions=predictions(entry.role)) for entry in results.entries]
    return dataclasses.replace(results, entries=entries)


def test_only_disagreement_is_shown(distilled: Results) -> None:
    made = sure(distilled, {"teacher": [1, 2, 3], "alone": [1, 5, 3], "distilled": [1, 2, 3]}, [1, 2, 7])
    shown = gallery(made)
    assert shown is not None
    assert [picture.truth for picture in shown.pictures] == ["2"]
    (picture,) = shown.pictures
    assert picture.outcome == "right: teacher and distilled"
    two = next(saying for saying in picture.sayings if saying.name == "2")
    assert two.true
    assert [bar.text for bar in two.bars] == ["100", "0", "100"]
    assert [bar.first for bar in two.bars] == [True, False, True]


def test_full_agreement_shows_nothing(distilled: Results) -> None:
    assert gallery(sure(distilled, {"teacher": [1, 2], "alone": [1, 2], "distilled": [1, 2]}, [1, 5])) is None


def test_the_largest_difference_comes_first(distilled: Results) -> None:
    shown = gallery(distilled)
    assert shown is not None
    assert len(shown.pictures) == 12
    spreads = [_largest(picture) for picture in shown.pictures]
    assert spreads[0] > 0.5
    assert spreads[0] >= spreads[-1] - 0.05


def _largest(picture) -> float:
    return max(max(b.probability for b in s.bars) - min(b.probability for b in s.bars) for s in picture.sayings)


def test_an_image_is_the_right_one_in_whole_pixels(distilled: Results) -> None:
    pil = pytest.importorskip("PIL.Image", reason="pictures need pillow")
    test = distilled.dataset.test
    assert test is not None
    made = sure(distilled, {"teacher": [1, 2], "alone": [1, 5], "distilled": [1, 2]}, [1, 2])
    shown = gallery(made)
    assert shown is not None
    image = pil.open(io.BytesIO(base64.b64decode(shown.pictures[0].source.partition(",")[2])))
    assert image.size == (112, 112)
    pixels = torch.tensor(list(image.get_flattened_data() if hasattr(image, "get_flattened_data") else image.getdata()))
    assert torch.equal(pixels.view(112, 112)[::14, ::14].to(torch.uint8), test.pixels_at(torch.tensor([1]))[0, 0])


def test_a_single_network_shows_its_mistakes(alone: Results) -> None:
    shown = gallery(sure(alone, {"trained": [1, 2]}, [1, 5]))
    assert shown is not None
    assert [(picture.truth, picture.outcome) for picture in shown.pictures] == [("5", "wrong")]


def test_unlabelled_images_are_called_so(distilled: Results) -> None:
    shown = gallery(sure(distilled, {"teacher": [1], "alone": [2], "distilled": [1]}, [-100]))
    assert shown is not None
    assert (shown.pictures[0].truth, shown.pictures[0].outcome) == ("unlabelled", "")


def test_other_data_than_the_predictions_is_refused(distilled: Results) -> None:
    made = sure(distilled, {"teacher": [1], "alone": [2], "distilled": [1]}, [1], ids=[123_456])
    with pytest.raises(DataError, match="id 123456"):
        gallery(made)
