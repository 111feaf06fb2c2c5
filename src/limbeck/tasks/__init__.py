"""The only place that knows what a batch means."""

TASKS = {"classification": "classification:Classification"}
"""Recipe name -> `file:Class`."""
