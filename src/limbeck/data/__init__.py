"""Data sets by name: standard formats in, batches of tensors out."""
