"""What an ensemble says beyond one of its members: where the student learns, and where it is tested.

    d(one) = Σ over frames KL(ensemble ‖ one) / frames                      in nats, at temperature 1

A student can only learn what the ensemble says on the frames that it is taught on. If its members agree there, because
they have all learned these frames, then what the ensemble gains elsewhere is not shown to the student.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from limbeck.evaluate.classification import compare
from limbeck.evaluate.predictions import Predictions, predict
from limbeck.recipe.measure import batches_of
from limbeck.reproduce.ensembles import mean_of
from limbeck.reproduce.experiment import Line
from limbeck.sweep.finished import Finished


def beyond(ensembles: Sequence[tuple[Sequence[Finished], Finished]]) -> tuple[Line, ...]:
    """How far one member, and the student, are from the ensemble, on training and on test frames.

    Args:
        ensembles: members and their student, for each seed.
    """
    found: dict[str, list[tuple[float, float]]] = {"one of them": [], "the network distilled from them": []}
    for members, student in ensembles:
        trained = _distances([_on_training_frames(one) for one in (*members, student)])
        tested = _distances([one.predictions() for one in (*members, student)])
        found["one of them"].append((fmean(trained[:-1]), fmean(tested[:-1])))
        found["the network distilled from them"].append((trained[-1], tested[-1]))
    return tuple(
        Line(
            f"nats from the ensemble to {name}: on training frames; on test frames",
            "–",
            "; ".join(f"{fmean(several):.3f}" for several in zip(*pairs, strict=True)),
        )
        for name, pairs in found.items()
    )


def _distances(said: Sequence[Predictions]) -> list[float]:
    """Of the members, and of the student, which comes last, from the members' arithmetic mean."""
    ensemble = mean_of(said[:-1])
    return [compare(one, ensemble)["kl"] for one in said]


def _on_training_frames(one: Finished) -> Predictions:
    device = one.context.processes.device
    return predict(one.network().to(device), batches_of(one.data.train, one.run.recipe, device))
