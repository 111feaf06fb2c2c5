"""What each variant of born-again networks asks for; its values are checked in `tests/reference`."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.distiller import Distiller
from limbeck.core.net import Kind
from limbeck.losses.divergence import with_others_permuted
from limbeck.methods.born_again import BornAgain
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch


def terms(variant: str, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    models = {"student": conv_net(batch_norm=False), "teacher": conv_net(seed=1, batch_norm=False)}
    images, own, ids = image_batch()
    batch = (images, own if labels is None else labels, ids)
    return Distiller(BornAgain(variant=variant), Classification(), models, batch)(batch)


def test_roles_and_where_stored_samples_would_be_unbiased() -> None:
    assert BornAgain().roles() == {"student": Kind.TRAINED, "teacher": Kind.FROZEN}
    assert [BornAgain(variant=v).linear_at("teacher") for v in ("ban", "ban+l", "cwtm", "dkpp")] == [1, 1, None, None]


@pytest.mark.parametrize(
    ("variant", "names"), [("ban", {"born_again"}), ("ban+l", {"task", "born_again"}), ("cwtm", {"task"})]
)
def test_the_terms_of_each_variant(variant: str, names: set[str]) -> None:
    assert set(terms(variant)) == names


def test_only_two_variants_look_at_labels() -> None:
    other = (image_batch()[1] + 1) % 3
    for variant, looks in {"ban": False, "dkpp": False, "ban+l": True, "cwtm": True}.items():
        torch.manual_seed(0)
        one = sum(terms(variant).values())
        torch.manual_seed(0)
        assert torch.equal(one, sum(terms(variant, other).values())) is not looks


def test_permuted_rows_keep_their_largest_entry_and_all_values_and_differ_from_each_other() -> None:
    torch.manual_seed(0)
    logits = torch.arange(8.0).roll(3).expand(500, 8)
    made = with_others_permuted(logits)
    assert (made.argmax(-1) == logits.argmax(-1)).all()
    assert torch.equal(made.sort(-1).values, logits.sort(-1).values)
    assert len(made.unique(dim=0)) > 400
    # each of the others is as likely in each of the other places: 500 / 7 times, give or take
    counts = torch.stack([(made == value).sum(0) for value in range(7)])
    places = [place for place in range(8) if place != int(logits[0].argmax())]
    assert 40 < counts[:, places].min() <= counts[:, places].max() < 110


def test_a_permutation_of_two_classes_changes_nothing() -> None:
    logits = torch.randn(20, 2)
    assert torch.equal(with_others_permuted(logits), logits)
