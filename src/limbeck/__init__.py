"""limbeck: knowledge distillation on PyTorch."""
