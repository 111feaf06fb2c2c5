"""How to train: length, optimiser, schedule, precision. Descriptions only; torch is not imported here."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from limbeck.core.settings import settings

_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(epochs?|steps?|minutes?|seconds?)\s*")


def parse_length(text: str) -> tuple[float, str]:
    """Read "60 epochs", "5000 steps", "2 minutes": the number and the unit's singular; raises ValueError otherwise."""
    number, unit = _parts(text)
    return float(number), unit


def in_steps(text: str, steps_per_epoch: int) -> int:
    """A length in optimiser steps."""
    number, unit = parse_length(text)
    return round(number * (steps_per_epoch if unit == "epoch" else 1))


@cache  # the loop asks in every step
def _parts(text: str) -> tuple[str, str]:
    found = _LENGTH.fullmatch(text)
    if not found:
        raise ValueError(f"expected a length such as '60 epochs' or '5000 steps', got {text!r}")
    return found[1], found[2].rstrip("s")


def _canonical(text: str) -> str:
    """One spelling per length, because a run's hash covers the spelling."""
    number, unit = _parts(text)
    return f"{Decimal(number).normalize():f} {unit}s"


def _work(text: str) -> str:
    if parse_length(text)[1] not in ("epoch", "step"):
        raise ValueError(f"expected epochs or steps, got {text!r}")
    return text


def _some(text: str) -> str:
    if parse_length(text)[0] == 0:
        raise ValueError(f"expected more than 0, got {text!r}")
    return text


Warmup = Annotated[str, Field(examples=["5 epochs"]), AfterValidator(_work), AfterValidator(_canonical)]
"""An amount of training that may be none: "0 steps"."""

Length = Annotated[
    str, Field(examples=["30 epochs"]), AfterValidator(_work), AfterValidator(_some), AfterValidator(_canonical)
]
"""An amount of training: "60 epochs" or "5000 steps"."""

Interval = Annotated[str, Field(examples=["50 steps"]), AfterValidator(_some), AfterValidator(_canonical)]
"""An amount of training or of time: "1 epochs", "500 steps", "2 minutes", "30 seconds"."""

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Amount = Annotated[float, Field(ge=0)]


@settings
class SGD:
    """`torch.optim.SGD`."""

    name: Literal["sgd"] = "sgd"
    lr: Rate = 0.05
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: Amount = 0.0

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0; set momentum, or nesterov: false")


@settings
class Adam:
    """`torch.optim.Adam`."""

    name: Literal["adam"] = "adam"
    lr: Rate = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Rate = 1e-8
    weight_decay: Amount = 0.0


@settings
class AdamW:
    """`torch.optim.AdamW`: decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    lr: Rate = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Rate = 1e-8
    weight_decay: Amount = 0.01


@settings
class RMSprop:
    """`torch.optim.RMSprop`; `alpha` is the decay of the squared average."""

    name: Literal["rmsprop"] = "rmsprop"
    lr: Rate = 1e-3
    alpha: Share = 0.99
    momentum: Share = 0.0
    eps: Rate = 1e-8
    weight_decay: Amount = 0.0


@settings
class LARS:
    """`timm.optim.Lars`: layer-wise rates for large batches."""

    name: Literal["lars"] = "lars"
    lr: Rate = 1.0
    momentum: Share = 0.9
    weight_decay: Amount = 0.0


@settings
class LAMB:
    """`timm.optim.Lamb`: layer-wise rates over Adam."""

    name: Literal["lamb"] = "lamb"
    lr: Rate = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Amount = 0.01


OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "lars": LARS, "lamb": LAMB}
Optimizer = Annotated[SGD | Adam | AdamW | RMSprop | LARS | LAMB, Field(discriminator="name")]


@settings
class Constant:
    """The same rate throughout, after a linear warm-up."""

    name: Literal["constant"] = "constant"
    warmup: Warmup = "0 steps"


@settings
class Cosine:
    """Half a cosine from the full rate to the share `end` of it."""

    name: Literal["cosine"] = "cosine"
    warmup: Warmup = "0 steps"
    end: Annotated[float, Field(ge=0, le=1)] = 0.0


@settings
class Linear:
    """A straight line from the full rate to the share `end` of it."""

    name: Literal["linear"] = "linear"
    warmup: Warmup = "0 steps"
    end: Annotated[float, Field(ge=0, le=1)] = 0.0


@settings
class Step:
    """The rate is multiplied by `factor` at each of the shares `at` of the stage."""

    name: Literal["step"] = "step"
    warmup: Warmup = "0 steps"
    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.75)
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1


SCHEDULES = {"constant": Constant, "cosine": Cosine, "linear": Linear, "step": Step}
Schedule = Annotated[Constant | Cosine | Linear | Step, Field(discriminator="name")]


@settings
class Live:
    """The teacher runs on every batch."""

    name: Literal["live"] = "live"


@settings
class Cached:
    """The teacher runs once on every view of every sample; training reads what was stored.

    Args:
        views: how many augmented views of each sample are stored; epoch e trains on view e mod views. 0 = one view
            without augmentation. Absent = 0 if the data have no augmentation, otherwise 8.
        dtype: of what is stored. Outputs come back as float32, tapped features in their own type.
        top: keep so many of the largest log-probabilities and one rest that holds the remaining mass, later spread
            evenly over the others; absent = all. They are those of the method's temperature if its loss is a KL
            divergence from teacher to student at one temperature, otherwise of 1; only there are those kept exact.
        sampled: keep so many classes, drawn from the teacher's distribution at the temperature of the method: noise
            instead of the bias of `top`, and the more of it the higher that temperature. Only for methods whose loss is
            a KL divergence from teacher to student.
    """

    name: Literal["cached"] = "cached"
    views: Annotated[int, Field(ge=0)] | None = None
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"
    top: Annotated[int, Field(ge=1)] | None = None
    sampled: Annotated[int, Field(ge=1)] | None = None

    def __post_init__(self) -> None:
        if self.top is not None and self.sampled is not None:
            raise ValueError(f"top {self.top} and sampled {self.sampled} are two ways to keep less: set one of the two")

    @property
    def kind(self) -> str:
        """What is kept of outputs, in words."""
        parts = (self.dtype, self.top and f"top {self.top}", self.sampled and f"{self.sampled} sampled")
        return ", ".join(part for part in parts if part)

    def views_of(self, *, augmented: bool) -> int:
        """The number of views, decided by whether the data are augmented where it was left open."""
        if self.views is not None:
            return self.views
        return DEFAULT_VIEWS if augmented else 0


DEFAULT_VIEWS = 8
Compile = bool | Literal["reduce-overhead", "max-autotune"]
TeacherOutputs = Annotated[Live | Cached, Field(discriminator="name")]


@settings
class Train:
    """One training.

    Args:
        length: of all stages together.
        optimizer: made afresh for every stage.
        schedule: of the learning rate, over each stage.
        groups: path that the method's plan trains (`adapters`, `peer1`) -> an optimiser of its own.
        decay: what the optimisers' weight decay falls on: all parameters; or matrices, those of two axes and more, so
            neither biases nor the scales and shifts of normalisations.
        precision: fp32; bf16 (autocast, weights stay in float32); fp16 (autocast and loss scaling, GPU only).
        channels_last: whether weights of convolutions lie with channels last; absent = in networks that have some.
        compile: networks by `torch.compile`, taps included; or a mode of it, such as reduce-overhead (CUDA graphs).
        reuse_memory: on a CPU, memory that a step frees is kept for the next one, not given back to the system.
        seed: of initial weights, data order, augmentation, dropout.
        clip: the largest norm of a turn's gradient; absent = none.
        max_norm: the largest Euclidean norm of the incoming weights of a unit (a row of a linear layer, an output
            filter of a convolution) in the trained networks, kept after every step; absent = none.
        accumulate: micro-batches per step; the data's `batch` is the size of one.
        ema: decay of an exponential moving average of the trained networks, and of heads and other modules that are
            trained beside them, which is then what is delivered.
        evaluate: how often the validation split is looked at, for curves and for the best network.
        checkpoint: how often the state is saved, in training or in time.
        log: how often metrics are written.
        trackers: names that Accelerate knows, such as tensorboard.
        teacher_outputs: live; or cached: frozen networks run once, ahead, and later trainings read what they gave.
    """

    length: Length = "30 epochs"
    optimizer: Optimizer = SGD()
    schedule: Schedule = Cosine()
    groups: dict[str, Optimizer] = Field(default_factory=dict)
    decay: Literal["all", "matrices"] = "all"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool | None = None
    compile: Compile = False
    reuse_memory: bool = True
    seed: Annotated[int, Field(ge=0)] = 0
    clip: Rate | None = None
    max_norm: Rate | None = None
    accumulate: Annotated[int, Field(ge=1)] = 1
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    evaluate: Length = "1 epochs"
    checkpoint: Interval = "1 minutes"
    log: Length = "50 steps"
    trackers: tuple[str, ...] = ()
    teacher_outputs: TeacherOutputs = Live()

    def __post_init__(self) -> None:
        if isinstance(self.compile, str) and self.accumulate > 1:
            raise ValueError(
                f"compile: {self.compile} records the memory of a step once, and gradients that are summed over "
                f"{self.accumulate} micro-batches do not lie in it; set compile: true, or accumulate: 1"
            )


NOT_DETERMINING = ("checkpoint", "log", "trackers", "reuse_memory")
"""Fields of `Train` that do not change what is trained."""

LATER = {"channels_last": None, "compile": False, "decay": "all", "max_norm": None, "teacher_outputs": Live()}
"""Fields that came later, with what stood for them before: at that value they are not part of a run's hash."""
