"""Recipes side by side: equal budget, several seeds, differences with their confidence, and why one did not help.

grid          from what a person names to recipes with settings
budget        refuses what would not be a fair comparison
runner        the whole: plan, check, train, time, judge, write
contestants   who is compared: recipes, the same students alone, their teachers; each once
noise         error counts with their noise, differences and their confidence
reasons       what is measured where distilling did not help
comparison    rows, differences, the Pareto front, the verdict
pictures      accuracy against cost, gains, accuracy along a setting
page          one self-contained HTML page per comparison
"""
