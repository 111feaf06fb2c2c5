"""The distiller: all state of a distillation in one module, so that one object is wrapped, moved, saved and resumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.bridge import inner
from limbeck.core.casting import Given, check_apart, check_capabilities, check_early, check_given, check_roles
from limbeck.core.errors import MethodError, TapError, close
from limbeck.core.method import Method, Shape
from limbeck.core.net import Kind, Net
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.task import Task


@contextmanager
def _seeded(text: str) -> Iterator[None]:
    """Torch's global generator begins at a number that follows from the text, and is afterwards as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Random(text).getrandbits(63))  # noqa: S311 - not for secrets
        yield


class Distiller(nn.Module):
    """A method on a task with its networks.

    `forward` returns loss terms, so DDP, Accelerate, Lightning or a plain loop wrap and call this one object:

        loss = sum(distiller((images, labels)).values())

    Args:
        method: the method; the distiller's own `method` has nothing left open (`taps: auto`).
        task: the task.
        models: role -> network. A frozen one is left exactly as it came: parameters, buffers and, after `close`, mode.
        example: a batch of at least two samples, for one probe of shapes.
        seed: seeds the initial weights of adapters, and of what the method adds to its networks.

    Raises:
        MethodError: roles without a network, networks without a role, a capability that the task lacks, or a path in
            the plan that names nothing.
        TapError: a tap path that names nothing, or a tensor that is changed in place after the tap.
    """

    def __init__(
        self, method: Method, task: Task, models: Mapping[str, nn.Module], example: Any, *, seed: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(method, Method):
            raise MethodError(f"expected a method such as KD(temperature=4), got {method!r}")
        self.method = method
        self.task = task
        check_capabilities(method, task)
        models = Given(method, models)
        check_given(method, models)
        self.method = method = method.settled(models, lambda model: task.run(model, example))
        with _seeded(f"{seed}/networks"):
            networks = method.networks(models, lambda model: task.run(model, example))
        roles, taps = dict(method.roles()), method.tapped()
        check_roles(method, roles, networks)
        check_apart(roles, networks)
        check_early(method, networks, taps)
        self.nets = nn.ModuleDict()
        try:
            self._join(networks, roles, taps, example, seed=seed)
        except BaseException:  # hooks and frozen networks would stay behind with nobody to close them
            for net in list(self.nets.children()):
                if isinstance(net, Net):
                    net.close()
            raise
        self.reordered: list[tuple[Tensor, int, Tensor]] = []  # what `reorder` was called with since the step began
        self._turn: Turn | None = None
        self._clock: tuple[int, int, float | None] = (0, -1, None)  # phase, step and epoch of the last `turns`
        self.observed: dict[str, Tensor] = {}
        self.open_all()

    def _join(
        self,
        networks: Mapping[str, nn.Module],
        roles: Mapping[str, Kind],
        taps: Mapping[str, Sequence[str]],
        example: Any,
        *,
        seed: int,
    ) -> None:
        """Tap the networks, and make the adapters between them."""
        for role, kind in roles.items():
            try:
                self.nets[role] = Net(networks[role], self.task.run, taps=taps.get(role, ()), kind=kind)
            except TapError as error:
                raise TapError(f"{role}: {error}") from None
        # the same again in a plain dict: torch looks up submodules slowly, and the terms ask in every step
        self._by_role = {role: net for role, net in self.nets.items() if isinstance(net, Net)}
        self.adapters = nn.ModuleDict()
        shapes = {role: self._shapes(role, example) for role in roles}
        with _seeded(f"{seed}/adapters"):
            self.adapters.update(dict(self.method.adapters(self, shapes)))

    def _shapes(self, role: str, example: Any) -> dict[str, Shape]:
        """The shapes at a network's taps, in the order in which it reaches them; one pass on the example."""
        net = self[role]
        taps = net.probe(example).taps
        shapes = {path: Shape.of(tensor, given=net.input_shape) for path, tensor in taps.items()}
        for path in self[role].taps:
            if path not in shapes:
                raise TapError(f"tap {path!r} is a module of the {role}, but does not run; {close(path, shapes)}")
        return shapes

    def __getitem__(self, role: str) -> Net:
        """The network in a role."""
        if role not in self._by_role:
            raise MethodError(f"no role {role!r}; {close(role, self._by_role)}")
        return self._by_role[role]

    def gather(self, tensor: Tensor) -> Tensor:
        """All processes' tensors along the first axis, with gradient; the tensor itself on one process.

        Processes may hold different numbers of samples, as at the end of an epoch.
        """
        if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
            return tensor
        from torch.distributed.nn.functional import all_gather

        sizes = [
            torch.zeros(1, dtype=torch.int64, device=tensor.device) for _ in range(torch.distributed.get_world_size())
        ]
        torch.distributed.all_gather(sizes, torch.tensor([len(tensor)], device=tensor.device))
        lengths = torch.cat(sizes).tolist()
        missing = tensor.new_zeros(max(lengths) - len(tensor), *tensor.shape[1:])
        parts = all_gather(torch.cat((tensor, missing)))
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    def observe(self, name: str, value: Tensor) -> None:
        """Record a number that is no part of the objective.

        In terms it is a mean over the batch, and means over steps are recorded; in `deliver` it is recorded as it is.
        """
        self.observed[name] = value.detach()

    @torch.no_grad()
    def reorder(self, tensor: Tensor, axis: int, order: Tensor) -> None:
        """Put the entries of a parameter or buffer in another order, for a method that sorts channels after a step.

        `fit` lets follow what optimisers and averages remember; a loop of one's own calls `reorder_states`.

        Args:
            tensor: is changed in place.
            axis: along which.
            order: [length of the axis], a permutation: entry i becomes what entry order[i] was.

        Raises:
            MethodError: the order is not as long as the axis.
        """
        if order.shape != (tensor.shape[axis],):
            raise MethodError(f"reorder: {len(order)} numbers for axis {axis} of a tensor of {list(tensor.shape)}")
        tensor.copy_(tensor.index_select(axis, order))
        self.reordered.append((tensor, axis, order))

    def forward(self, batch: Any, at: At | None = None) -> dict[str, Tensor]:
        """The loss terms of one turn on a batch.

        Args:
            batch: whatever the task understands.
            at: as yielded by `turns`; may be absent when the plan has a single turn.

        Raises:
            MethodError: `at` is absent, and the plan has several turns or its terms look at where in training they are.
        """
        if at is None:
            at = self._only_turn()
        self.observed = {}
        try:
            return getattr(self.method, at.turn.terms)(self, batch, at)
        finally:
            for net in self._by_role.values():
                net.forget()

    def _only_turn(self) -> At:
        plan = self.method.plan()
        turns = [(turn, stage) for stage in plan for turn in stage.turns]
        if len(plan) > 1:
            raise MethodError(
                f"{type(self.method).__name__} has {len(plan)} stages, {', '.join(one.name for one in plan)}: write "
                "`for phase, stage in enumerate(distiller.method.plan()):` around the loop, make a new optimiser from "
                "`distiller.param_groups(stage)` in each, and in each step `for at in distiller.turns(step, steps, "
                "phase=phase): ... distiller(batch, at) ...`"
            )
        if not turns:
            raise MethodError(f"{type(self.method).__name__} trains nothing: there are no terms; deliver() at once")
        if len(turns) > 1:
            raise MethodError(
                f"{type(self.method).__name__} has {len(turns)} turns: write "
                "`for at in distiller.turns(step, steps): ... distiller(batch, at) ...`, with an optimiser step in each"
            )
        looks_at = self.method.looks_at()
        if looks_at:
            raise MethodError(
                f"{type(self.method).__name__} looks at where in training it is ({', '.join(sorted(looks_at))}): write "
                "`for at in distiller.turns(step, steps, epoch=passes): ... distiller(batch, at) ...`, and if the "
                "method sorts channels, `reorder_states([optimizer], distiller.reordered)` after them"
            )
        turn, stage = turns[0]
        self.switch(turn)
        return At(turn, stage.name)

    def turns(
        self,
        step: int,
        steps: int,
        *,
        stage: Stage | None = None,
        phase: int = 0,
        seed: int = 0,
        epoch: float | None = None,
    ) -> Iterator[At]:
        """The turns of one step; `fit` walks this generator, and a user's own loop may.

        Before each turn the right parameters are made trainable; after the last one the method's `after_step` runs.

        Args:
            step: within the stage, from 0.
            steps: of the stage.
            stage: absent = the stage with index `phase`.
            phase: the stage's index.
            seed: of the run.
            epoch: passes over the data so far, fractions included; may be absent when the method does not look at it.

        Raises:
            MethodError: the method looks at the epoch, which is absent or stays while steps go on; there is no such
                stage or step.
        """
        if epoch is None and "epoch" in self.method.looks_at():
            raise MethodError(
                f"{type(self.method).__name__} looks at the epoch: turns(step, steps, epoch=...) with the passes over "
                "the data so far, such as step / steps_per_epoch"
            )
        self._check_advance(phase, step, epoch)
        plan = self.method.plan()
        if not 0 <= step < steps:
            raise MethodError(f"turns({step}, {steps}): expected a step from 0 on that is less than the steps")
        if stage is None and not 0 <= phase < len(plan):
            raise MethodError(f"turns: phase {phase} of a plan of {len(plan)} stages, which are counted from 0")
        stage = stage or plan[phase]
        self.reordered.clear()
        at = None
        for turn in stage.turns:
            self.switch(turn)
            at = At(turn, stage.name, phase, step, epoch or 0.0, step / steps, f"{seed}/{stage.name}/{step}")
            yield at
        if at is not None:
            with torch.no_grad():
                self.method.after_step(self, at)

    def _check_advance(self, phase: int, step: int, epoch: float | None) -> None:
        """A whole number of epochs, as nested loops count them, would not tell at which step an epoch begins."""
        (before, last, passes), self._clock = self._clock, (phase, step, epoch)
        if "epoch" in self.method.looks_at() and (before, last, passes) == (phase, step - 1, epoch):
            raise MethodError(
                f"{type(self.method).__name__} looks at the epoch, which is {epoch} in step {last} and in step {step}: "
                "it counts passes with their fractions, such as step / steps_per_epoch"
            )

    def switch(self, turn: Turn) -> None:
        """Let gradient reach exactly what the turn trains; the other trained networks become guests."""
        if turn == self._turn:
            return
        self._require(list(turn.rates))
        self._turn = turn

    def open_all(self) -> None:
        """Let gradient reach whatever any turn will ever train: the state in which DDP must see the parameters."""
        self._require([path for stage in self.method.plan() for turn in stage.turns for path in turn.rates])
        self._turn = None

    def _require(self, paths: list[str]) -> None:
        trained = {id(parameter) for path in paths for parameter in self.parameters_of(path)}
        for role in self.nets:
            net = self[role]
            if net.kind is Kind.TRAINED:
                net.guest = not any(id(parameter) in trained for parameter in net.parameters())
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in trained)

    def parameters_of(self, path: str) -> list[nn.Parameter]:
        """The parameters at `role`, `role.module.path`, `adapters` or `adapters.name`.

        Raises:
            MethodError: the path names nothing. (`adapters` of a method without adapters is an empty list, and so is
                the scope of a composed method without adapters.)
        """
        head, _, rest = path.partition(".")
        if head != "adapters" and self[head].kind is not Kind.TRAINED:
            raise MethodError(f"the plan trains {path!r}, but the role {head!r} is {self[head].kind}")
        root = self.adapters if head == "adapters" else inner(self[head].model)
        # With duplicates: a tied weight has several names, and each of them may be asked for.
        named = root.named_parameters(remove_duplicate=False)
        found = list({id(p): p for name, p in named if f"{name}.".startswith(f"{rest}." if rest else "")}.values())
        if not found and rest:
            names = [name for name, _ in root.named_modules() if name]
            if head != "adapters" or rest not in names:
                raise MethodError(f"the plan trains {path!r}, which has no parameters; {close(rest, names)}")
        return found

    def param_groups(self, stage: Stage) -> list[dict[str, Any]]:
        """One optimiser group per trained path: `params`, `path`, and `rate`, the multiplier of the learning rate.

        A parameter belongs to the longest path that covers it.
        """
        rates: dict[str, float] = {}
        for turn in stage.turns:
            for path, rate in turn.rates.items():
                if rates.setdefault(path, rate) != rate:
                    raise MethodError(f"stage {stage.name!r} trains {path!r} at two rates: {rates[path]} and {rate}")
        seen: set[int] = set()
        groups = []
        for path in sorted(rates, key=len, reverse=True):
            parameters = [p for p in self.parameters_of(path) if id(p) not in seen]
            seen.update(id(p) for p in parameters)
            if parameters:
                groups.append({"params": parameters, "path": path, "rate": rates[path]})
        return groups

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds: everything but the frozen networks."""
        frozen = tuple(f"nets.{role}." for role in self.nets if self[role].kind is Kind.FROZEN)
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(frozen)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy a checkpoint's tensors into place; raises MethodError when the names are not the expected ones."""
        wanted = set(self.state())
        if wanted != set(state):
            missing, extra = sorted(wanted - set(state))[:3], sorted(set(state) - wanted)[:3]
            raise MethodError(f"this state belongs to another distiller: missing {missing}, unexpected {extra}")
        self.load_state_dict(dict(state), strict=False)

    def deliver(self, train: Iterable[Any] = (), validation: Iterable[Any] = ()) -> nn.Module:
        """The network that training was for; see `Method.deliver`."""
        return self.method.deliver(self, train, validation)

    def close(self) -> None:
        """Remove all hooks and give frozen networks their mode back."""
        for role in self.nets:
            self[role].close()
