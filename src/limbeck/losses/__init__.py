"""Distillation losses: pure functions on tensors, student first."""

from limbeck.losses.divergence import logit_matching, mean_distribution, soft_target_kl, softened_kl
from limbeck.losses.pooling import pooled

__all__ = ["logit_matching", "mean_distribution", "pooled", "soft_target_kl", "softened_kl"]
