"""Distillation losses: pure functions on tensors, student first."""

from limbeck.losses.divergence import logit_matching, mean_distribution, soft_target_kl

__all__ = ["logit_matching", "mean_distribution", "soft_target_kl"]
