"""`hilum explain`: where in an image a model looks for a phrase."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explain(
    model: Annotated[Path, typer.Argument(help="The folder of an image-text model, a finetuned model or a probe.")],
    image: Annotated[str, typer.Argument(help="A DICOM, PNG or JPEG file; with --archive also an image_id.")],
    phrase: Annotated[str, typer.Argument(help="A finding or free text; of a finetuned model one of its findings.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG: the image, the map over it, and its scale.")],
    how: Annotated[
        str, typer.Option(help="auto, words, attention (GLoRIA), gradient (every tower), patches, rollout (ViT).")
    ] = "auto",
    against: Annotated[
        str | None, typer.Option(help="Text to ask against; default normal radiographs; '' for nothing.")
    ] = None,
    array: Annotated[
        Path | None, typer.Option(help="The map as .npy: float32, one value a pixel, NaN where not seen.")
    ] = None,
    archive: Annotated[Path | None, typer.Option(help="Where an image_id is looked for.")] = None,
    prompts: Annotated[
        str, typer.Option(help="Prompt set of findings (chexzero, reports, ...) or a TOML file.")
    ] = "chexzero",
    encoder: Annotated[Path | None, typer.Option(help="A probe's encoder, where it has moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was measured, as JSON.")] = False,
) -> None:
    """Show where in an image a model looks for a finding: a heatmap over the image, beside the image itself.

    It shows where a model looked, not where disease is. Research use only.

    Example: hilum explain runs/gloria new.dcm "left pleural effusion" -o effusion.png

    Example: hilum explain runs/finetuned 2.25.94376 Cardiomegaly --archive archive -o heart.png --array heart.npy
    """
    import numpy as np
    from rich.console import Console

    from hilum.archive import Archive
    from hilum.errors import UsageError
    from hilum.models.zero_shot import load_prompts
    from hilum.tasks.composing import asked_image
    from hilum.tasks.explaining import explain_with, figure, load_members, read_file

    for path, ending in ((out, ".png"), (array, ".npy")):
        if path is not None and path.suffix.lower() != ending:
            raise UsageError(f"{path}: expected a name that ends in {ending}.")
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.absolute().parent}. Make it first.")
    members = load_members(model, encoder)
    pixels = read_file(image) if archive is None else asked_image(Archive.open(archive), image).pixels
    heatmap = explain_with(members, pixels, phrase, how=how, against=against, prompts=load_prompts(prompts))
    name = f"{model.absolute().name} ({', '.join(one.fingerprint for one, _ in members)})"
    out.write_bytes(figure(pixels, heatmap, name, Path(image).name))
    if array is not None:
        np.save(array, heatmap.values)
    if as_json:
        import json

        height, width = pixels.shape
        seen = float((~np.isnan(heatmap.values)).mean())
        summary = {
            "image": image, "phrase": phrase, "how": heatmap.how, "against": heatmap.against, "score": heatmap.score,
            "peak": {"row": heatmap.peak[0], "column": heatmap.peak[1]}, "height": height, "width": width,
            "seen": round(seen, 4), "model": [one.fingerprint for one, _ in members], "out": str(out),
            "array": str(array) if array else None, "note": heatmap.note,
        }  # fmt: skip
        typer.echo(json.dumps(summary, indent=2))
        return
    told = f" against {heatmap.against}" if heatmap.against else ""
    console = Console(stderr=True)
    console.print(
        f"“{phrase}”{told}: score {heatmap.score:+.3f}. {heatmap.note} Research use only.",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    typer.echo(out)
