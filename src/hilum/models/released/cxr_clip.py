"""CXR-CLIP checkpoints: a ResNet or a Swin transformer with Bio_ClinicalBERT (You et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from hilum.errors import CheckpointError
from hilum.models.image_text import ImageTextArchitecture, ImageTextEncoder
from hilum.models.image_towers import TowerDescription
from hilum.models.model import Model
from hilum.models.pixel_statistics import HALF_MEAN, HALF_STD, IMAGENET_MEAN, IMAGENET_STD
from hilum.models.preprocess_kinds import ShorterSideCrop
from hilum.models.projections import Projection
from hilum.models.released.bert import bert_of, vocabulary_for
from hilum.models.released.image_model import save_imported
from hilum.models.released.image_text_model import image_text_model, refuse_others, under
from hilum.models.released.imported import Imported
from hilum.models.released.recognize import not_this_release, open_checkpoint, recognize
from hilum.models.released.shapes import resnet_of
from hilum.models.released.swin import swin_of, swin_to_timm
from hilum.models.text_towers import Pooling

RESNET, SWIN, TEXT = "image_encoder.resnet.", "image_encoder.image_encoder.", "text_encoder.text_encoder."
PROJECTIONS = ("image_projection.", "text_projection.")

# Of the release's configuration, where a file keeps it as objects of another package.
SIDE_PX, MOST_TOKENS, POOLING = 224, 256, "eos"

FACTS: dict[str, Any] = {
    "text_policy": "both",
    "paper": "You et al. 2023, CXR-CLIP: Toward large scale chest X-ray language-image pre-training, MICCAI",
    "license_of_weights": "CC BY-NC (the release says both CC BY-NC 4.0 and CC BY-NC-SA 4.0): not for commercial use",
}


def import_cxr_clip(
    file: Path, vocab: str | Path | None = None, heads: int | None = None, image_size_px: int | None = None
) -> Model:
    """The model in a CXR-CLIP checkpoint.

    Args:
        file: `r50_mcc.tar`, `swint_mc.tar` and the like, which torch.save wrote whatever the name says.
        vocab: the text encoder's vocabulary; see `vocabulary_for`.
        heads: attention heads of the text tower; none: width / 64 (12 in the release).
        image_size_px: side of the images; none: what the file's configuration says (224 in the release).

    Raises:
        UsageError: no `vocab`.
        CheckpointError: the file is of another release, or its tensors do not make the towers they should.
    """
    opened = open_checkpoint(file)
    if recognize(opened.names) != "cxr-clip":
        raise not_this_release(
            file, "cxr-clip", f"names such as {RESNET}conv1.weight and {PROJECTIONS[0]}projection.weight", opened.names
        )
    tensors = opened.tensors
    settings = opened.container.plain("config")
    side = image_size_px or _setting(settings, ("base", "image_size"), int, SIDE_PX)
    refuse_others(file, tensors, (RESNET, SWIN, TEXT, *PROJECTIONS, "logit_scale"))
    bert, bert_tensors = bert_of(file, tensors, TEXT, heads)
    most = _setting(settings, ("base", "text_max_length"), int, MOST_TOKENS)
    tokenizer = vocabulary_for(file, "cxr-clip", vocab, bert, most)
    tower, image, prefix = _image_tower(file, tensors, side)
    heads_of = [under(tensors, projection) for projection in PROJECTIONS]
    encoder = ImageTextEncoder(
        ImageTextArchitecture(
            image_tower=tower,
            text_tower=bert,
            embed_dim=heads_of[0]["projection.weight"].shape[0],
            pooling=_pooling(file, _setting(settings, ("model", "text_encoder", "pooling"), str, POOLING)),
            image_projection=_projection(heads_of[0]),
            text_projection=_projection(heads_of[1]),
        )
    )
    one_layer = [_projection(head).form == "linear" for head in heads_of]
    named = [under(head, "projection.") if one else head for head, one in zip(heads_of, one_layer, strict=True)]
    is_resnet = tower.family == "resnet"
    return image_text_model(
        file,
        "cxr-clip",
        encoder,
        {
            prefix: image,
            "text_tower.net.": bert_tensors,
            "image_projection.": named[0],
            "text_projection.": named[1],
            "": {name: tensor for name, tensor in tensors.items() if name == "logit_scale"},
        },
        # The release normalizes by the name of the tower: ImageNet's numbers for "resnet", halves for others.
        ShorterSideCrop(
            canvas_px=side,
            mean=IMAGENET_MEAN if is_resnet else HALF_MEAN,
            std=IMAGENET_STD if is_resnet else HALF_STD,
        ),
        tokenizer,
        len(tensors),
        FACTS,
    )


def cxr_clip_folder(
    file: Path,
    out: Path,
    *,
    vocab: str | Path | None = None,
    heads: int | None = None,
    image_size_px: int | None = None,
) -> Imported:
    """Write the model folder of a CXR-CLIP checkpoint; see `import_cxr_clip`."""
    return save_imported(import_cxr_clip(file, vocab, heads, image_size_px), file, out)


def _image_tower(
    file: Path, tensors: dict[str, Tensor], side_px: int
) -> tuple[TowerDescription, dict[str, Tensor], str]:
    """The tower's description, its tensors under the reference's names, and where these lie in the encoder."""
    swin = swin_to_timm(under(tensors, SWIN))
    if swin:
        return swin_of(file, swin, side_px), swin, "image_tower.net."
    resnet = under(tensors, RESNET)
    try:
        return resnet_of(resnet), resnet, "image_tower."
    except KeyError as error:
        raise CheckpointError(f"{file}: no {error.args[0]} among the {len(resnet)} tensors of its ResNet.") from None


def _projection(head: dict[str, Tensor]) -> Projection:
    return Projection(form="mlp-residual" if "fc.weight" in head else "linear")


def _pooling(file: Path, named: str) -> Pooling:
    if named not in get_args(Pooling):
        raise CheckpointError(f"{file}: its configuration says pooling={named!r}; expected eos, bos or mean.")
    return named  # type: ignore[return-value]


def _setting(settings: Any, path: tuple[str, ...], kind: type, otherwise: Any) -> Any:
    """A value in nested plain settings, or the release's where they are not readable."""
    for name in path:
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings if type(settings) is kind else otherwise
