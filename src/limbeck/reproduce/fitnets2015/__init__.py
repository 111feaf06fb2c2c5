"""Adriana Romero et al. FitNets: Hints for Thin Deep Nets. ICLR 2015, arXiv:1412.6550.

ways    soft targets without hints, and hints and soft targets at once, to compare the two stages with
mnist   the thin deep student on MNIST, each way, and how deep it may be
"""
