"""Distillation losses: pure functions on tensors, student first."""
