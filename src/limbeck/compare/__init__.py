"""Recipes side by side: equal budget, several seeds, differences with their confidence, and why one did not help.

noise        error counts with their noise, and differences between networks
"""
