"""The training batches of a run."""

from __future__ import annotations

from limbeck.data.dataset import Dataset
from limbeck.data.loader import Loader, steps_in
from limbeck.recipe.cached import views_of
from limbeck.recipe.context import Context
from limbeck.recipe.graph import Run
from limbeck.train.batches import Batches, SameEpoch


def training_batches(run: Run, dataset: Dataset, context: Context) -> Batches:
    """Training batches of this process; a method that learns from labels alone sees the labelled images, equally often.

    Args:
        run: for augmentation, batch size and seed.
        dataset: of the run.
        context: which process this is.
    """
    return in_whole_epochs(training_loader(run, dataset, context), run, dataset)


def training_loader(run: Run, dataset: Dataset, context: Context) -> Loader:
    """The same, with epochs as long as the images that the method learns from."""
    data, processes = run.recipe.data, context.processes
    return Loader(
        dataset.train if _uses_all(run, dataset) else dataset.train.labelled(),
        batch=data.batch,
        augment=data.augment,
        seed=run.seed,
        classes=len(dataset.classes),
        rank=processes.process_index,
        world=processes.num_processes,
        device=processes.device,
        accumulate=run.recipe.train.accumulate,
        workers=data.workers,
        prefetch=data.prefetch,
        pin_memory=data.pin_memory,
        at_most=dataset.at_most,
        views=views_of(run),
    )


def in_whole_epochs(loader: Loader, run: Run, dataset: Dataset) -> Batches:
    """A run's loader, with epochs as long as those of the whole training split."""
    if _uses_all(run, dataset):
        return loader
    data = run.recipe.data
    return SameEpoch(loader, steps_in(len(dataset.train), batch=data.batch, accumulate=run.recipe.train.accumulate))


def _uses_all(run: Run, dataset: Dataset) -> bool:
    return run.recipe.method.uses_unlabelled() or bool((dataset.train.labels >= 0).all())
