"""`hilum recipe show` and the list of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hilum.methods.recipe import Recipe

app = typer.Typer(help="Show the settings of a pretraining method.", no_args_is_help=True)


@app.command("show")
def show(
    method: Annotated[str, typer.Argument(help="A pretraining method.")],
    tiny: Annotated[bool, typer.Option("--tiny", help="The small variant.")] = False,
    variant: Annotated[str | None, typer.Option(help="A named variant.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print every setting of a method, its value and what it means.

    Example: hilum recipe show chexzero --tiny
    """
    from hilum.methods import find_method
    from hilum.tasks.semi_supervised import SemiSupervised

    kind = SemiSupervised if method == SemiSupervised.name else find_method(method).recipe
    recipe = kind.resolve(settings or [], tiny, variant)
    if as_json:
        typer.echo(recipe.model_dump_json(indent=2))
    else:
        print_recipe(recipe)


@app.command("list")
def list_methods() -> None:
    """List the pretraining methods.

    Example: hilum recipe list
    """
    print_methods()


def print_recipe(recipe: Recipe) -> None:
    """A table of a recipe's settings on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "value", "meaning", title=f"{recipe.name}  ({recipe.paper})", title_justify="left")
    for key, value, meaning in recipe.describe():
        table.add_row(key, str(value), meaning)
    Console().print(table)


def print_methods() -> None:
    """A table of the methods on stdout."""
    from rich.console import Console
    from rich.table import Table

    from hilum.methods import METHODS

    table = Table("method", "what it does", "variants", "paper")
    for name, entry in METHODS.items():
        variants = ", ".join(["--tiny"] * bool(entry.recipe.tiny) + [*entry.recipe.variants])
        table.add_row(name, entry.summary, variants, entry.recipe.paper)
    Console().print(table)
