"""The loop: fit, optimisers and schedules, checkpoints, progress."""

__all__ = ["fit"]


def __getattr__(name: str) -> object:
    """Import `fit` on first use: it needs torch, and a room's door must stay light."""
    if name == "fit":
        from limbeck.train.fit import fit

        return fit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
