"""Data sets by name: standard formats in, batches of tensors out.

`DATA` maps a recipe's name to `file:Class` in this folder; a file is imported when its set is used.
"""

from __future__ import annotations

DATA = {
    "cifar10": "cifar:Cifar10",
    "cifar100": "cifar:Cifar100",
    "datasets": "arrow:Datasets",
    "digits": "digits:Digits",
    "fashion_mnist": "idx:FashionMNIST",
    "folder": "folder:Folder",
    "mnist": "idx:Mnist",
    "spoken_digits": "spoken_digits:SpokenDigits",
}

__all__ = ["DATA"]
