"""What `limbeck taps` finds out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.markup import escape
from torch import nn

from limbeck.core.errors import MethodError, ModelError, RecipeError
from limbeck.core.files import disk_errors
from limbeck.core.outline import Outline, Unit, outline
from limbeck.core.pairs import Pair, matched, middle, what_is_lacking
from limbeck.core.sections import sections_of
from limbeck.data.dataset import Dataset
from limbeck.data.loader import evaluation_batches
from limbeck.evaluate.cka import alignments, most_alike
from limbeck.evaluate.cost import parameters
from limbeck.recipe.context import Context
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import Run, network_name, plan
from limbeck.recipe.models import Network
from limbeck.recipe.networks import join
from limbeck.recipe.preflight import untrained
from limbeck.recipe.resolve import resolve
from limbeck.recipe.shipped import SUFFIXES, shipped

if TYPE_CHECKING:
    from rich.table import Table

BATCH = 64


@dataclass(frozen=True, eq=False)
class Seen:
    """A network that was looked at.

    Args:
        name: of the network.
        network: with its bridge to the data.
        outline: its units.
        trained: whether it has weights from somewhere.
    """

    name: str
    network: nn.Module
    outline: Outline
    trained: bool


def look(teacher: str, student: str, data: str, *, batches: int, root: Path, context: Context) -> Iterator[Any]:
    """Lines and tables for the console.

    Args:
        teacher: a network as in a recipe, or a recipe.
        student: the same.
        data: a data set as in a recipe.
        batches: of images on which trained networks are compared.
        root: the folder of all runs.
        context: loads the data.
    """
    seen = {}
    for role, form in (("teacher", teacher), ("student", student)):
        run = _run(role, form, data, root)
        dataset = context.dataset(run)
        try:
            seen[role] = _seen(run, dataset, context)
        except ModelError as error:
            raise ModelError(str(error).replace("models.student", f"the {role} {form!r}")) from None
        yield _units(role, seen[role])
    own, other = seen["student"], seen["teacher"]
    for role, one in seen.items():
        lacking = what_is_lacking(one.outline)
        if lacking:
            yield f"\nNothing to pair: the {role} has {escape(lacking)}."
            return
    pairs = [Pair(student=one.path, teacher=two.path) for one, two in matched(own.outline, other.outline)]
    yield from _proposal("by stage (this is what `taps: auto` takes)", pairs)
    yield from _staged(own.outline, other.outline, pairs)
    if own.trained and other.trained:
        yield from _alike(own, other, islice(evaluation_batches(dataset.train, batch=BATCH), batches))
    else:
        lacking = " and ".join(role for role, one in seen.items() if not one.trained)
        yield f"\nNot compared by what they see: no weights for the {lacking}. A recipe has them when it has been run."


def _run(role: str, form: str, data: str, root: Path) -> Run:
    """A run whose student is the network asked for.

    Raises:
        RecipeError: one of the arguments is wrong; it is said which.
    """
    student = {"from": form} if form.endswith(SUFFIXES) or form in {one.name for one in shipped()} else _read(form)
    several = isinstance(student, dict) and not student.keys().isdisjoint({"ensemble", "generalist"})
    method = "as_is" if several else "supervised"  # several networks as one can only be taken as they are
    recipe = {"data": _read(data), "models": {"student": student}, "method": method, "report": False}
    # in the current folder, because that is what relative paths in the arguments mean
    here = Path.cwd()
    with (
        disk_errors(here),
        tempfile.NamedTemporaryFile("w", dir=here, prefix=".taps-", suffix=".yaml", encoding="utf-8") as file,
    ):
        yaml.safe_dump(recipe, file)
        file.flush()
        try:
            return plan(resolve(file.name), seed=0, root=root)
        except RecipeError as error:  # that file is nobody's
            problems = [problem.message.replace("models.student", "network") for problem in error.problems]
            raise RecipeError([f"{role} {form!r}, data {data!r}: {problem}" for problem in problems]) from None


def _read(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise RecipeError([f"{text!r} is neither a name nor YAML: {told}"]) from None


def _seen(run: Run, dataset: Dataset, context: Context) -> Seen:
    form = run.recipe.models["student"]
    joined = join(run, "student", dataset, frozen=bool(run.weighted), untrained=partial(untrained, context=context))
    example = next(iter(evaluation_batches(dataset.train, batch=2)))
    trained = bool(form.pretrained or form.weights) if isinstance(form, Network) else _finished(run)
    return Seen(network_name(run), joined.network, outline(joined.network, lambda m: m(example[0])), trained)


def _finished(run: Run) -> bool:
    return all(RunFolder(before.folder).state == "finished" for before in run.upstream.values())


def _units(role: str, seen: Seen) -> Table:
    from rich.table import Table

    title = f"\n{role.capitalize()}: {seen.name}, {parameters(seen.network):,} parameters"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim", pad_edge=False)
    for column in ("module", "kind", "features", "stage"):
        table.add_column(column)
    ends = [unit.path for unit in seen.outline.stages]
    for unit in seen.outline.units:
        stage = f"end of stage {ends.index(unit.path) + 1}" if len(ends) > 1 and unit.path in ends else ""
        table.add_row(unit.path, unit.kind, _shape(unit), stage)
    return table


def _shape(unit: Unit) -> str:
    form = "{} channels, {}×{}" if len(unit.shape) == 4 else "tokens of {}, {}×{}"
    return form.format(unit.channels, *unit.size)


def _proposal(how: str, pairs: Sequence[Pair]) -> Iterator[str]:
    yield f"\n[bold]Proposed[/] {how}:\n"
    yield "taps:"
    for pair in pairs:
        yield f"  - {_line(pair.student, pair.teacher)}"


def _staged(own: Outline, other: Outline, pairs: Sequence[Pair]) -> Iterator[str]:
    """What the two methods with stages of their own take."""
    chosen = middle(pairs)
    yield f"\n`fitnets` takes one pair, `taps: {_line(chosen.student, chosen.teacher)}`."
    try:
        sections = sections_of(own, other)
    except MethodError:
        yield "`fsp` takes the first and the last layer of sections; here a stage has one layer only."
        return
    yield "`fsp` takes the first and the last layer of sections:\n"
    yield "taps:"
    for section in sections:
        student, teacher = (", ".join(section.of(role)) for role in ("student", "teacher"))
        yield f"  - {_line(f'[{student}]', f'[{teacher}]')}"


def _line(student: str, teacher: str) -> str:
    return escape(f"{{student: {student}, teacher: {teacher}}}")


def _alike(own: Seen, other: Seen, batches: Any) -> Iterator[Any]:
    from rich.table import Table

    rows = own.outline.stages if len(own.outline.stages) > 1 else own.outline.units
    columns = other.outline.units
    every = list(batches)
    whole = [batch for batch in every if len(batch[0]) == BATCH] or every  # few images make any two layers look alike
    found = alignments((own.network, rows), (other.network, columns), whole)
    table = Table(title="\nLinear CKA, rows of the student", title_justify="left", title_style="bold", box=None)
    for heading in ("", *(unit.path for unit in columns)):
        table.add_column(heading, justify="right" if heading else "left")
    chosen = most_alike(found)
    for unit, values, best in zip(rows, found.tolist(), chosen, strict=True):
        cells = [f"[bold]{value:.2f}[/]" if index == best else f"{value:.2f}" for index, value in enumerate(values)]
        table.add_row(unit.path, *cells)
    yield table
    yield from _proposal(
        "by what the layers see",
        [Pair(student=unit.path, teacher=columns[index].path) for unit, index in zip(rows, chosen, strict=True)],
    )
