"""Junho Yim, Donggyu Joo, Jihoon Bae, Junmo Kim. A Gift from Knowledge Distillation. CVPR 2017.

setting    the ResNets, their data and their training, as both experiments use them
cifar10    fast optimisation, ensembles of shuffled students, and a small student
transfer   a teacher of one data set, a student of another, both ways
"""
