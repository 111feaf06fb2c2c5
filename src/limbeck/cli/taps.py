"""`limbeck taps`: where two networks can be tapped, and which taps belong together."""

from __future__ import annotations

from typing import Annotated

import typer

from limbeck.cli.options import RUNS, Runs

FORM = "A network as in a recipe (resnet20, timm/resnet18, '{name: ..., weights: ...}'), or a recipe that delivers one."


def taps(
    teacher: Annotated[str, typer.Argument(help=FORM)],
    student: Annotated[str, typer.Argument(help="The same.")],
    data: Annotated[str, typer.Argument(help="A data set as in a recipe: cifar10, '{name: folder, ...}'.")] = "digits",
    batches: Annotated[int, typer.Option(min=1, help="Of 64 images, to compare layers of trained networks.")] = 4,
    runs: Runs = RUNS,
) -> None:
    """List the modules of two networks that give features, and propose which of them to pair.

    Equal stages are paired by the size of their maps. Where both networks have weights, layers are compared too, by
    linear CKA on training images, and the most alike are paired.
    """
    from rich.console import Console

    from limbeck.cli.tapping import look
    from limbeck.recipe.context import Context

    console = Console()
    for line in look(teacher, student, data, batches=batches, root=runs, context=Context()):
        console.print(line, highlight=False, soft_wrap=True)
