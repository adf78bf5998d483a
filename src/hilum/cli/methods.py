"""`hilum methods`: every pretraining method and how large it is."""

from __future__ import annotations

from typing import Annotated

import typer


def methods(
    tiny: Annotated[bool, typer.Option("--tiny", help="With the small settings in place of the papers'.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print what each pretraining method learns from and how large it is, counted on its towers.

    A linear probe trains as many parameters as the feature is wide and one more, for each finding; finetuning trains the
    encoder's, too.

    Example: hilum methods --tiny
    """
    import json
    from dataclasses import asdict

    from hilum.methods.overview import overview

    sizes = overview(tiny)
    if as_json:
        typer.echo(json.dumps([asdict(size) for size in sizes], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="pretraining methods" + ", tiny" * tiny, title_justify="left")
    for column in ("method", "learns from", "image tower", "input px"):
        table.add_column(column)
    for column in ("feature", "probe trains", "finetuning trains", "shared space", "parameters"):
        table.add_column(column, justify="right")
    table.add_column("paper")
    for size in sizes:
        shared = "" if size.shared_dim is None else str(size.shared_dim)
        counts = (f"{n:,}" for n in (size.feature_width, size.probed, size.finetuned))
        names = (size.method, size.kind, size.backbone, str(size.input_px))
        table.add_row(*names, *counts, shared, f"{size.parameters:,}", size.paper)
    Console().print(table)
