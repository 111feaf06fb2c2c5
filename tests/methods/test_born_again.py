"""What each variant of born-again networks asks for; its values are checked in `tests/reference`."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

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
    ("variant", "names"), [("ban", {"born_again"}), ("ban+l", {"task", "born_again"}), ("cwtm", {"born_again"})]
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


def test_confidence_weighs_what_has_a_label_and_nothing_else() -> None:
    assert [BornAgain(variant=v).uses_unlabelled() for v in ("ban", "ban+l", "cwtm", "dkpp")] == [
        True,
        True,
        False,
        True,
    ]
    labels = image_batch()[1]
    models = {"student": conv_net(batch_norm=False), "teacher": conv_net(seed=1, batch_norm=False)}
    images, ids = image_batch()[0], image_batch()[2]
    half = labels.clone()
    half[::2] = -100
    method = BornAgain(variant="cwtm")
    mixed = Distiller(method, Classification(), models, (images, half, ids))((images, half, ids))
    alone = (images[1::2], labels[1::2], ids[1::2])
    torch.testing.assert_close(
        mixed["born_again"], Distiller(method, Classification(), models, alone)(alone)["born_again"]
    )
    assert not terms("cwtm", torch.full_like(labels, -100))["born_again"].any()


def test_confidence_weighs_smoothed_losses_where_the_task_smooths() -> None:
    models = {"student": conv_net(batch_norm=False), "teacher": conv_net(seed=1, batch_norm=False)}
    batch = image_batch()
    found = Distiller(BornAgain(variant="cwtm"), Classification(label_smoothing=0.3), models, batch)
    weights = found["teacher"](batch).output.softmax(-1).amax(-1)
    losses = F.cross_entropy(found["student"](batch).output, batch[1], reduction="none", label_smoothing=0.3)
    torch.testing.assert_close(found(batch)["born_again"], (weights / weights.sum() * losses).sum())


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
