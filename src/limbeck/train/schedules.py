"""The learning rate as a pure function of the step, so that resuming needs no scheduler state."""

from __future__ import annotations

import math

from limbeck.train.settings import Constant, Cosine, Linear, Step, in_steps


def multiplier(schedule: Constant | Cosine | Linear | Step, step: int, steps: int, *, steps_per_epoch: int) -> float:
    """The factor on the base rate.

    Args:
        schedule: its description.
        step: within the stage, from 0.
        steps: of the stage.
        steps_per_epoch: turns warm-ups given in epochs into steps.
    """
    warmup = min(in_steps(schedule.warmup, steps_per_epoch), steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(steps - warmup, 1)
    match schedule:
        case Cosine():
            return schedule.end + (1 - schedule.end) * (1 + math.cos(math.pi * done)) / 2
        case Linear():
            return 1 + (schedule.end - 1) * done
        case Step():
            return schedule.factor ** sum(step / steps >= share for share in schedule.at)
        case Constant():
            return 1.0
