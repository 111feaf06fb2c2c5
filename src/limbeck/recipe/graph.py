"""The graph of runs behind a recipe.

A run is one training: task, data, networks, method, training and seed. What determines its result is hashed, and the
hash names its folder, so that the same thing asked twice is one run and any change that changes the result is another.
`models.X.from` points to other recipes, whose runs come first; their hashes are part of this one's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from limbeck.core.errors import RecipeError, close
from limbeck.core.net import Kind
from limbeck.methods.supervised import Supervised
from limbeck.recipe.models import Ensemble, Form, From, Network, Specialists, members_of, plain_model
from limbeck.recipe.resolve import Resolved, resolve
from limbeck.recipe.schema import Recipe
from limbeck.recipe.sources import source_digest
from limbeck.train.settings import LATER, NOT_DETERMINING, Cached, Live, Train

FORMAT = 1
"""Counts changes of limbeck that change what a recipe trains."""

GENERATION = 1000
"""Generation k of a run with seed s is trained under the seed s + k · 1000; generation 0 is the student alone."""

_REMEDY = ": give models.teacher, or set generations: 3, a chain that begins with the student alone"
_NOT_DETERMINING_DATA = ("root", "workers", "prefetch", "pin_memory")


@dataclass(frozen=True, eq=False)
class Run:
    """One training.

    Args:
        name: the readable part of its folder's name.
        recipe: checked.
        canonical: the recipe as plain data.
        seed: of this run; that of a later generation is not its recipe's.
        root: the folder of all runs.
        upstream: for each `from` in `models` the run that it stands for, by role (`teacher`) or, in a form of several
            networks, by role and member (`teacher.0`, `teacher.generalist`).
        places: `data`, `method` and `models.student` -> where a recipe's file says it, for messages.
    """

    name: str
    recipe: Recipe
    canonical: Mapping[str, Any]
    seed: int
    root: Path
    upstream: Mapping[str, Run]
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def train(self) -> Train:
        """The recipe's training, with this run's seed."""
        return replace(self.recipe.train, seed=self.seed)

    @property
    def asked_seed(self) -> int:
        """The seed that was asked for: of a later generation, that of its recipe's run."""
        return self.seed - GENERATION * (self.recipe.generations or 0)

    @property
    def frozen(self) -> list[str]:
        """The roles of networks that teach and are not trained."""
        return [role for role, kind in self.recipe.method.roles().items() if kind is Kind.FROZEN]

    @property
    def weighted(self) -> list[str]:
        """The roles whose networks must come with weights: they teach, or nothing is trained at all."""
        return self.frozen if self.recipe.method.trains else list(self.recipe.models)

    @cached_property
    def determining(self) -> dict[str, Any]:
        """What determines the result, as plain data."""
        data = {k: v for k, v in self.canonical["data"].items() if k not in _NOT_DETERMINING_DATA}
        if data.get("memory") == "auto":  # follows from the files; on disk the mean and deviation come from a sample
            del data["memory"]
        if data.get("special", ...) is None:  # as before there was a choice: old runs stay valid
            del data["special"]
        train = {k: v for k, v in self.canonical["train"].items() if k not in NOT_DETERMINING}
        for name, before in LATER.items():
            if getattr(self.recipe.train, name) == before:  # as before there was a choice: old runs stay valid
                del train[name]
        outputs = self.recipe.train.teacher_outputs
        if isinstance(outputs, Cached) and outputs.sampled is None:  # for the same reason
            train["teacher_outputs"] = {k: v for k, v in train["teacher_outputs"].items() if k != "sampled"}
        return {
            "format": FORMAT,
            "task": _with_source(self.canonical["task"]),
            "data": {**_with_source(data), "fingerprint": self.recipe.data.fingerprint()},
            "models": {role: self._model(form, role) for role, form in self.recipe.models.items()},
            "method": _with_source(self.canonical["method"]),
            "train": {**train, "seed": self.seed},
        }

    def _model(self, form: Form, key: str) -> Any:
        if isinstance(form, Ensemble):
            return {"ensemble": [self._model(m, k) for k, m in members_of(form, key).items()], "mean": form.mean}
        if isinstance(form, Specialists):
            generalist, *members = (self._model(m, k) for k, m in members_of(form, key).items())
            return {"generalist": generalist, "specialists": members, "top": form.top}
        if isinstance(form, From):
            head = {} if form.head == "kept" else {"head": form.head}
            return {"run": self.upstream[key].hash, "part": form.part} | head
        plain = _with_source(plain_model(form))
        if form.weights is not None:
            plain["weights"] = hashlib.sha256(Path(form.weights).read_bytes()).hexdigest()
        return plain

    @cached_property
    def hash(self) -> str:
        """Ten hexadecimal digits."""
        text = json.dumps(self.determining, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @cached_property
    def folder(self) -> Path:
        """`root/name-hash`; or the folder of the same run under another name, if there is one."""
        same = sorted(self.root.glob(f"*-{self.hash}"))
        return same[0] if same else self.root / f"{self.name}-{self.hash}"

    def before(self) -> Iterator[Run]:
        """The runs that this one needs, each after those that it needs itself."""
        for run in self.upstream.values():
            yield from run.before()
            yield run


def plan(resolved: Resolved, *, seed: int, root: Path, _asking: tuple[str, ...] = ()) -> Run:
    """The run of a recipe under a seed, with all runs before it.

    Args:
        resolved: the recipe.
        seed: of the run; runs before it have the seeds of their own recipes unless the recipe says otherwise.
        root: the folder of all runs.

    Raises:
        RecipeError: a recipe stands on itself, or one that it stands on is wrong.
    """
    if resolved.reference in _asking:
        chain = " -> ".join((*_asking, resolved.reference))
        raise RecipeError([resolved.problem("models", f"the recipe stands on itself: {chain}")])
    _check_roles(resolved)
    recipe = replace(resolved.recipe, models=_whole(resolved))
    models = {role: plain_model(form) for role, form in recipe.models.items()}
    asking, upstream = (*_asking, resolved.reference), {}
    for role, form in recipe.models.items():
        for key, member in members_of(form, role).items():
            if isinstance(member, From):
                upstream[key] = _upstream(resolved, role, member, seed, root, asking)
    places = {key: resolved.where(key) for key in ("data", "method", *(f"models.{role}" for role in models))}
    run = Run(resolved.name, recipe, {**resolved.canonical, "models": models}, seed, root, upstream, places)
    return run if recipe.generations is None else _last_generation(run, recipe.generations, resolved)


def _whole(resolved: Resolved) -> dict[str, Form]:
    """The recipe's networks, with those that its method takes to be like others, and ensembles of generations."""
    given, method = resolved.recipe.models, resolved.recipe.method
    found = {role: _all_generations(resolved, role, form) for role, form in given.items()}
    for role, like in method.alike().items():
        if role not in found and like in found:
            form = found[like]
            if not isinstance(form, Network) or form.weights or form.pretrained:
                raise RecipeError(
                    [
                        resolved.problem(
                            "models",
                            f"{role!r} would start from the same weights as {like!r} and never differ from it; give "
                            f"models.{role} a network of its own",
                        )
                    ]
                )
            found[role] = form
    return found


def _last_generation(first: Run, count: int, resolved: Resolved) -> Run:
    """A chain: each generation is taught by the one before, and has a seed of its own."""
    alone = baseline_of(replace(first, recipe=replace(first.recipe, generations=None)))
    run, before = first, None if "teacher" in first.recipe.models else alone
    for generation in range(1, count + 1):
        recipe = replace(first.recipe, generations=generation)
        canonical, upstream = {**first.canonical, "generations": None}, dict(first.upstream)  # the teacher says it all
        if before is not None:
            earlier: dict[str, Any] = {"generations": generation - 1}
            if generation == 1:
                earlier = {"generations": None, "method": {"name": "supervised"}, "baseline": False}
            teacher = From(recipe=resolved.reference, set={**resolved.overrides, **earlier}, seed=first.seed)
            recipe = replace(recipe, models={**recipe.models, "teacher": teacher})
            canonical["models"] = {**canonical["models"], "teacher": plain_model(teacher)}
            upstream["teacher"] = before
        name, seed = f"{first.name}-{generation}", first.seed + generation * GENERATION
        run = before = Run(name, recipe, canonical, seed, first.root, upstream, first.places)
    return run


def _all_generations(resolved: Resolved, role: str, form: Form) -> Form:
    """`part: generations` is the ensemble of a recipe's generations."""
    if not isinstance(form, From) or form.part != "generations":
        return form
    count = resolve(form.recipe, form.set).recipe.generations
    if count is None:
        message = f"part: generations, but {form.recipe} has no generations; set generations there"
        raise RecipeError([resolved.problem(f"models.{role}.from", message)])
    each = [replace(form, part="student", set={**form.set, "generations": k}) for k in range(1, count + 1)]
    return Ensemble(ensemble=tuple(each))


def _check_roles(resolved: Resolved) -> None:
    """Networks without a role in the method, and teachers without a network, before anything is trained."""
    name, given = resolved.canonical["method"]["name"], resolved.recipe.models
    roles, made = resolved.recipe.method.roles(), resolved.recipe.method.made()
    free = [role for role in roles if role not in made]
    problems = [
        resolved.problem(f"models.{role}", f"{name} has no role {role!r}; {close(role, free)}")
        for role in given
        if role not in roles
    ]
    problems += [
        resolved.problem(f"models.{role}", f"{name} makes the network of the role {role!r} itself; leave it out")
        for role in given
        if role in made
    ]
    problems += [
        resolved.problem(
            "models", f"{name} needs a network for the role {role!r}{_REMEDY if role == 'teacher' else ''}"
        )
        for role, kind in roles.items()
        if kind is Kind.FROZEN and role not in given and not (role == "teacher" and resolved.recipe.generations)
    ]
    if resolved.recipe.baseline and not resolved.recipe.method.trains:
        message = f"{name} trains nothing, so there is no training without it to compare with; set baseline: false"
        problems.append(resolved.problem("baseline", message))
    if problems:
        raise RecipeError(problems)


def _upstream(resolved: Resolved, role: str, form: From, seed: int, root: Path, asking: tuple[str, ...]) -> Run:
    other = resolve(form.recipe, form.set)
    if form.part != "student":
        message = f"part {form.part!r}: a finished run delivers its student; expected part: student"
        if form.part == "generations":
            message = (
                "part: generations is an ensemble itself, and stands for a whole role only, not inside another one"
            )
        raise RecipeError([resolved.problem(f"models.{role}.from", message)])
    own = other.recipe.all_seeds[0] if form.seed is None else form.seed
    return plan(other, seed=seed if own == "inherit" else own, root=root, _asking=asking)


def baseline_of(run: Run) -> Run:
    """The same student with the same data and budget, without a teacher; shared by all methods compared with it.

    There is no teacher whose outputs could be stored, so its augmentation is not limited to the views of a cache.
    """
    student = run.recipe.models["student"]
    groups = {path: own for path, own in run.recipe.train.groups.items() if path.partition(".")[0] == "student"}
    recipe = replace(
        run.recipe,
        method=Supervised(),
        models={"student": student},
        train=replace(run.recipe.train, groups=groups, teacher_outputs=Live()),
        baseline=False,
        generations=None,
    )
    canonical = {
        **run.canonical,
        "method": {"name": "supervised"},
        "models": {"student": run.canonical["models"]["student"]},
        "train": {
            **run.canonical["train"],
            "groups": {path: run.canonical["train"]["groups"][path] for path in groups},
            "teacher_outputs": {"name": "live"},
        },
        "baseline": False,
        "generations": None,
    }
    upstream = {key: before for key, before in run.upstream.items() if key.partition(".")[0] == "student"}
    data = run.canonical["data"]["name"].replace(":", "-")
    name = f"{data}-{network_name(run)}-alone"
    places = {key: place for key, place in run.places.items() if key in ("data", "models.student")}
    return Run(name, recipe, canonical, run.asked_seed, run.root, upstream, places)


def network_name(run: Run, role: str = "student") -> str:
    """What tables call the network of a role."""
    return _name(run, run.recipe.models[role], role)


def _name(run: Run, form: Form, key: str) -> str:
    if isinstance(form, Ensemble | Specialists):
        names = [_name(run, member, part) for part, member in members_of(form, key).items()]
        return f"{len(names)}x{names[0]}" if len(set(names)) == 1 else "+".join(names)
    if isinstance(form, From):
        return network_name(run.upstream[key])
    return plain_name(form.name)


def plain_name(name: str) -> str:
    """A network's name, or those in a text, without modules and what else cannot stand in a folder's name."""
    return re.sub(r"[\w.]+:", "", name).replace("/", "-")


def _with_source(plain: Any) -> Any:
    """Adds the fingerprint of a user's own module wherever a name is a Python path: other code is another run."""
    if isinstance(plain, Mapping):
        made = {key: _with_source(value) for key, value in plain.items()}
        name = plain.get("name")
        if isinstance(name, str) and ":" in name:
            made["source"] = source_digest(name.partition(":")[0])
        return made
    return [_with_source(item) for item in plain] if isinstance(plain, list | tuple) else plain
