"""GLoRIA checkpoints: Lightning files with word and region encoders (Huang et al. 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hilum.errors import CheckpointError
from hilum.models.gloria import GloriaArchitecture, GloriaEncoder
from hilum.models.model import Model
from hilum.models.pixel_statistics import HALF_MEAN, HALF_STD
from hilum.models.preprocess_kinds import LongerSidePadCrop
from hilum.models.released.bert import bert_of, vocabulary_for
from hilum.models.released.image_model import save_imported
from hilum.models.released.image_text_model import image_text_model, refuse_others, under
from hilum.models.released.imported import Imported
from hilum.models.released.recognize import not_this_release, open_checkpoint, recognize
from hilum.models.released.shapes import resnet_of

PREFIX = "gloria."
IMAGE, TEXT = "img_encoder.model.", "text_encoder.model."
GLOBAL, LOCAL = "img_encoder.global_embedder.", "img_encoder.local_embedder."

# Of the release's configuration, which its files keep as an object of another package.
RESIZE_PX, CROP_PX, WORD_SLOTS, TEXT_LAYERS = 256, 224, 97, 4

FACTS: dict[str, Any] = {
    "text_policy": "impression",
    "paper": "Huang et al. 2021, GLoRIA: A multimodal global-local representation learning framework, ICCV",
    "license_of_weights": "Apache-2.0 (code); CheXpert's data use agreement covers the data",
}


def import_gloria(file: Path, vocab: str | Path | None = None, heads: int | None = None) -> Model:
    """The model in a GLoRIA checkpoint.

    Args:
        file: `chexpert_resnet50.ckpt` and the like; its OmegaConf configuration is not looked into.
        vocab: the text encoder's vocabulary; see `vocabulary_for`.
        heads: attention heads of the text tower; none: width / 64 (12 in the release).

    Raises:
        UsageError: no `vocab`.
        CheckpointError: the file is of another release, or its tensors do not make the towers they should.
    """
    opened = open_checkpoint(file)
    if recognize(opened.names) != "gloria":
        raise not_this_release(file, "gloria", f"names such as {PREFIX}{IMAGE}conv1.weight", opened.names)
    # Some files carry the prefix twice; what stands before the last one says nothing.
    tensors = {name.rsplit(PREFIX, 1)[-1]: tensor for name, tensor in opened.tensors.items()}
    refuse_others(file, tensors, (IMAGE, TEXT, GLOBAL, LOCAL))
    bert, bert_tensors = bert_of(file, tensors, TEXT, heads)
    settings = opened.container.plain("hyper_parameters")
    slots = _setting(settings, ("data", "text", "word_num"), WORD_SLOTS)
    tokenizer = vocabulary_for(file, "gloria", vocab, bert, slots, cleaning="words")
    image = under(tensors, IMAGE)
    try:
        resnet = resnet_of(image)
    except KeyError as error:
        raise CheckpointError(f"{file}: no {error.args[0]} among the {len(image)} tensors of its ResNet.") from None
    encoder = GloriaEncoder(
        GloriaArchitecture(
            image_tower=resnet,
            text_tower=bert,
            text_layers=_setting(settings, ("model", "text", "last_n_layers"), TEXT_LAYERS),
            slots=slots,
            last_id=tokenizer.last_id,
        )
    )
    encoder.set_vocabulary(tokenizer)
    return image_text_model(
        file,
        "gloria",
        encoder,
        {
            "image_tower.": image,
            "text_tower.net.": bert_tensors,
            "global_projection.": under(tensors, GLOBAL),
            "local_projection.": under(tensors, LOCAL),
            "": {"continued": encoder.continued},
        },
        LongerSidePadCrop(
            resize_px=_setting(settings, ("data", "image", "imsize"), RESIZE_PX),
            canvas_px=_setting(settings, ("transforms", "random_crop", "crop_size"), CROP_PX),
            mean=HALF_MEAN,
            std=HALF_STD,
        ),
        tokenizer,
        len(tensors),
        FACTS,
    )


def gloria_folder(file: Path, out: Path, *, vocab: str | Path | None = None, heads: int | None = None) -> Imported:
    """Write the model folder of a GLoRIA checkpoint; see `import_gloria`."""
    return save_imported(import_gloria(file, vocab, heads), file, out)


def _setting(settings: Any, path: tuple[str, ...], otherwise: int) -> int:
    """A whole number in nested plain settings, or the release's where they are not readable."""
    for name in path:
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings if type(settings) is int and settings > 0 else otherwise
