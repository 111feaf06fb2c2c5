"""The networks of a recipe: `models` maps each role to one of these forms.

    {name: mlp, hidden: [800], ...}            a network by name; keys that are not ours are the network's arguments
        pretrained, weights, normalize, classes
    {from: teacher.yaml}                       what another recipe delivers
    {from: {recipe: teacher.yaml, part: student, set: {train.length: 5 epochs}, seed: inherit}}
    {ensemble: [<the forms above>, ...], mean: arithmetic}
    {generalist: <a form above>, specialists: [<the forms above>, ...], top: 1}

A name alone, `student: resnet20`, stands for `{name: resnet20}`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias, get_type_hints

from pydantic import Field, TypeAdapter

from limbeck.core.errors import RecipeError, close
from limbeck.core.settings import settings
from limbeck.models import ZOO
from limbeck.models.names import ROUTES, network_names
from limbeck.recipe import shipped
from limbeck.recipe.build import Builder, Reader, fields_of, without
from limbeck.recipe.messages import shown
from limbeck.recipe.names import UnknownName, load
from limbeck.recipe.yaml import KeyPath, Node


@settings
class Normalize:
    """What is subtracted from pixels in [0, 1], and what the difference is divided by, per channel."""

    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} channels, std has {len(self.std)}; expected equally many")


@settings
class Network:
    """A network by name.

    Args:
        name: as `limbeck.models.build` takes it.
        arguments: the network's own; in a recipe they stand beside the other keys.
        pretrained: with the weights its library offers.
        weights: a file of weights, relative to the recipe; kept as an absolute path.
        normalize: `auto` = `own` if pretrained, else `data`; `data` = mean and deviation of the training pixels; `own`
            = what the network was trained with; `none`; or figures.
        classes: the names of the network's outputs, in order, where they are not the data's classes in the data's
            order; outputs and classes are then matched by name.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    pretrained: bool = False
    weights: str | None = None
    normalize: Normalize | Literal["auto", "data", "own", "none"] = "auto"
    classes: tuple[str, ...] | None = None


@settings
class From:
    """What another recipe delivers; that recipe runs first unless it has been run.

    Args:
        recipe: path, relative to the recipe that names it, or shipped name; kept as an absolute path or shipped name.
        part: `student`; or, of a recipe with `generations`, all of them as one ensemble: `generations`.
        set: dotted key -> value, set on top of that recipe.
        seed: that run's seed; `inherit` = the seed of the run that asks; absent = as that recipe says.
        head: `kept` = every class of the data must be one of the network's, matched by name; `refitted` = the last
            layer gets the data's classes: rows of classes that it knows are kept, others follow from what is left over.
    """

    recipe: str
    part: str = "student"
    set: dict[str, Any] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0)] | Literal["inherit"] | None = None
    head: Literal["kept", "refitted"] = "kept"


def read_member(builder: Builder, node: Node, path: KeyPath) -> Network | From | None:
    """Build a network or a reference to another recipe."""
    if isinstance(node.value, str):
        return _network(builder, Node({"name": node}, node.mark, node.key), path)
    if not isinstance(node.value, dict) or not {"name", "from"} & node.value.keys():
        forms = "a name, {name: ...}, {from: recipe}, {ensemble: [...]} or {generalist: ..., specialists: [...]}"
        builder.report(node, path, f"expected {forms}, came {shown(node.plain)}")
        return None
    return _from(builder, node, path) if "from" in node.value else _network(builder, node, path)


def _network(builder: Builder, node: Node, path: KeyPath) -> Network | None:
    items = _items(node)
    own = {key: child for key, child in items.items() if key in fields_of(Network) and key != "arguments"}
    arguments = without(node, *own)
    network: Network | None = builder.settings(Network, Node(own, node.mark, node.key), path)
    _check_arguments(builder, items["name"], arguments, path)
    weights = items.get("weights")
    if network is None or weights is None or network.weights is None:
        return network and replace(network, arguments=arguments.plain)
    file = (weights.mark.folder / network.weights).absolute()
    if not file.is_file():
        builder.report(weights, (*path, "weights"), f"no file {str(file)!r}")
    return replace(network, arguments=arguments.plain, weights=str(file))


def _check_arguments(builder: Builder, name: Node, arguments: Node, path: KeyPath) -> None:
    """Whether the network exists and, if it is limbeck's own or the user's, takes these arguments."""
    function = _function(builder, name, path)
    parameters = inspect.signature(function).parameters if callable(function) else {}
    if not callable(function) or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    own = [key for key in fields_of(Network) if key != "arguments"]
    takes = [key for key in parameters if key not in own]
    if name.value in ZOO:  # what comes from the data; a `width` without a `height` is the network's own
        takes = [key for key in takes if key != "channels" and not (key in ("height", "width") and "height" in takes)]
    hints = get_type_hints(function, include_extras=True) if name.value in ZOO else {}
    for key, child in _items(arguments).items():
        if key not in takes:
            hint = close(key, [*takes, *own])
            builder.report(child, (*path, key), f"{name.value} has no argument {key!r}; {hint}", at_key=True)
        elif key in hints:
            builder.leaf(hints[key], child, (*path, key))


def _function(builder: Builder, name: Node, path: KeyPath) -> Any:
    """What builds the network; None if another library does or, reported, nothing."""
    text = name.value
    libraries = tuple(route.removesuffix("NAME") for route in ROUTES if route.endswith("/NAME"))
    if not isinstance(text, str) or text.startswith(libraries):
        return None
    if ":" not in text and text not in ZOO:
        hint = close(text, network_names())
        builder.report(name, (*path, "name"), f"no network is called {text!r}; {hint}; or {', '.join(ROUTES)}")
        return None
    try:
        return load(text if ":" in text else f"limbeck.models.{ZOO[text]}")
    except UnknownName as error:
        builder.report(name, (*path, "name"), str(error))
        return None


def _from(builder: Builder, node: Node, path: KeyPath) -> From | None:
    for key, child in _items(without(node, "from")).items():
        builder.report(child, (*path, key), "no such key beside 'from'", at_key=True)
    path, inner = (*path, "from"), node.child("from") or node
    if isinstance(inner.value, str):
        inner = Node({"recipe": inner}, inner.mark, inner.key)
    made: From | None = builder.settings(From, inner, path)
    recipe = inner.child("recipe")
    if recipe is None or not isinstance(recipe.value, str):
        return None
    try:
        found = shipped.find(recipe.value, folder=recipe.mark.folder)
    except RecipeError as error:
        builder.report(recipe, path, str(error))
        return None
    return made and replace(made, recipe=shipped.reference_of(found))


def _items(node: Node) -> Mapping[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


Member: TypeAlias = Annotated[Network | From, Reader(read_member, {"$comment": "#/$defs/member"})]


@settings
class Ensemble:
    """Several networks as one.

    Args:
        ensemble: the members.
        mean: of their distributions: arithmetic, or geometric (the mean of their logits).
    """

    ensemble: Annotated[tuple[Member, ...], Field(min_length=1)]
    mean: Literal["arithmetic", "geometric"] = "arithmetic"


@settings
class Specialists:
    """A generalist, and specialists that are asked where they know better; see `limbeck.adapters.specialists`.

    Args:
        generalist: knows all classes.
        specialists: each was trained on data with the key `special`.
        top: specialists are asked that know one of so many of the generalist's most probable classes.
    """

    generalist: Member
    specialists: Annotated[tuple[Member, ...], Field(min_length=1)]
    top: Annotated[int, Field(ge=1)] = 1


Form: TypeAlias = Network | From | Ensemble | Specialists


def read_model(builder: Builder, node: Node, path: KeyPath) -> Form | None:
    """Build one role's form; problems go to the builder."""
    forms: dict[str, type[Ensemble | Specialists]] = {"ensemble": Ensemble, "generalist": Specialists}
    chosen = next((cls for key, cls in forms.items() if node.child(key) is not None), None)
    if chosen is None:
        return read_member(builder, node, path)
    made: Ensemble | Specialists | None = builder.settings(chosen, node, path)
    return made


Model: TypeAlias = Annotated[Form, Reader(read_model, {"$comment": "#/$defs/model"})]
"""The annotation of one role's form in a settings class."""


def members_of(form: Form, role: str) -> dict[str, Network | From]:
    """The networks that a form is made of, by the keys that a run's `upstream` has for them."""
    if isinstance(form, Network | From):
        return {role: form}
    several = form.ensemble if isinstance(form, Ensemble) else form.specialists
    first = {f"{role}.generalist": form.generalist} if isinstance(form, Specialists) else {}
    return first | {f"{role}.{number}": member for number, member in enumerate(several)}


def plain_model(form: Form) -> dict[str, Any]:
    """A form as a recipe would write it, in full."""
    if isinstance(form, Ensemble):
        return {"ensemble": [plain_model(member) for member in form.ensemble], "mean": form.mean}
    if isinstance(form, Specialists):
        members = [plain_model(member) for member in form.specialists]
        return {"generalist": plain_model(form.generalist), "specialists": members, "top": form.top}
    plain: dict[str, Any] = TypeAdapter(type(form)).dump_python(form, mode="json")
    if isinstance(form, From):
        return {"from": plain}
    arguments = plain.pop("arguments")
    return {"name": plain.pop("name"), **arguments, **plain}
