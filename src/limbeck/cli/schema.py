"""`limbeck schema`: the JSON Schema of recipes."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of recipes, for completion and checks in an editor."""
    import json

    import typer

    from limbeck.recipe.json_schema import schema as recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=2))
