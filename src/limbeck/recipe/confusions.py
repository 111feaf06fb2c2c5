"""The classes of a specialist, from what the network that it starts from confuses."""

from __future__ import annotations

from collections.abc import Callable

from limbeck.core.errors import DataError
from limbeck.data.dataset import Dataset
from limbeck.data.special import Confused
from limbeck.evaluate.confusable import check_cover, confusable_classes
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run


def special_classes(
    run: Run, confused: Confused, dataset: Dataset, *, predictions_of: Callable[[Run, Dataset], Predictions]
) -> tuple[str, ...]:
    """The names of a run's special classes.

    Args:
        run: of the specialist.
        confused: which of the clusters.
        dataset: the whole, from which the classes are to be told apart.
        predictions_of: what a finished run's network says on the training images of this data.

    Returns:
        The classes, as its folder says of a finished run; while the run that the specialist starts from is not
        finished, equally many others in their place, which show the shapes.

    Raises:
        DataError: the student does not start from another run.
        ModelError: so many clusters of this size cannot cover all classes.
    """
    folder = RunFolder(run.folder)
    if folder.state == "finished":  # what was decided then, even where this machine would round otherwise
        return tuple(folder.read("network.json", keys=("classes",))["classes"][:-1])
    generalist = run.upstream.get("student")
    if generalist is None:
        raise DataError(
            "data.special.classes: a cluster of classes that the student confuses before it is trained; expected a "
            "student that knows them, models.student: {from: RECIPE}, or a list of names"
        )
    check_cover(len(dataset.classes), specialists=confused.of, size=confused.size)
    if RunFolder(generalist.folder).state != "finished":
        return dataset.classes[: confused.size]
    logits = predictions_of(generalist, dataset).logits
    clusters = confusable_classes(logits, specialists=confused.of, size=confused.size, seed=confused.seed)
    return tuple(dataset.classes[number] for number in clusters[confused.cluster])
