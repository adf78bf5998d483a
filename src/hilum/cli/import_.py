"""`hilum import`: a released checkpoint to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_(
    name: Annotated[
        str | None, typer.Argument(help="Which release; leave out to list them.", show_default=False)
    ] = None,
    files: Annotated[list[Path] | None, typer.Argument(help="Checkpoint files; several make an ensemble.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The model folder to write.", show_default=False)
    ] = None,
    antialias: Annotated[
        bool,
        typer.Option("--antialias", help="chexzero: antialias the resize, as newer torchvision does (published: not)."),
    ] = False,
    vocab: Annotated[
        Path | None,
        typer.Option(
            help="Vocabulary of the text encoder: vocab.txt, tokenizer.json or a local Hugging Face folder. chexbert: "
            "bert-base-uncased's vocab.txt; convirt, gloria, cxr-clip: Bio_ClinicalBERT's."
        ),
    ] = None,
    heads: Annotated[
        int | None,
        typer.Option(min=1, help="refers, convirt, gloria, cxr-clip: attention heads, where they are not width / 64."),
    ] = None,
    images_only: Annotated[
        bool, typer.Option("--images-only", help="convirt: the image tower alone, without a vocabulary.")
    ] = False,
    features: Annotated[
        str | None, typer.Option(help="s2mts2: 'pooled' (default), or 'head' as the original's forward pass.")
    ] = None,
) -> None:
    """Turn a released checkpoint into a model folder; tensors only, nothing in the file is run.

    Example: hilum import chexzero best_64_5e-05_original_22000_0.864.pt -o models/chexzero
    """
    from rich.console import Console
    from rich.table import Table

    from hilum.errors import UsageError
    from hilum.models import IMPORTERS, import_checkpoint

    if name is None:
        table = Table("release", "what it reads")
        for known, (_, summary) in IMPORTERS.items():
            table.add_row(known, summary)
        Console().print(table)
        return
    if out is None or not files:
        raise UsageError(
            f"hilum import {name}: name the file(s) and -o MODEL. Example: hilum import {name} FILE.pt -o models/{name}"
        )
    given = {
        "antialias": antialias or None,
        "vocab": vocab,
        "heads": heads,
        "features": features,
        "images_only": images_only or None,
    }
    options = {name: value for name, value in given.items() if value is not None}
    for done in import_checkpoint(name, files, out, **options):
        typer.echo(
            f"{done.folder}  from {done.file.name}: {done.tensors} tensors, none missing, none unexpected; "
            f"sha256 {done.sha256}; fingerprint {done.fingerprint}"
        )
