"""CheXzero and CXR-RePaiR checkpoints: CLIP state dicts finetuned on MIMIC-CXR (Tiu et al. 2022; Endo et al. 2021)."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import Tensor

from hilum.checkpoints import sha256_of
from hilum.errors import CheckpointError
from hilum.models.clip_tokenizer import VOCAB_SIZE, ClipTokenizer
from hilum.models.encoder import compare_keys, to_float32
from hilum.models.model import Model
from hilum.models.preprocess import Preprocess
from hilum.models.released.imported import Imported
from hilum.models.released.recognize import not_this_release, read_own_state_dict
from hilum.models.towers import DualEncoder, architecture_of

logger = logging.getLogger(__name__)

# OpenAI's archives carry these beside the weights.
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
_EXPECTED = "a CLIP ViT state dict, with names such as visual.conv1.weight and text_projection"


def import_chexzero(file: Path, *, antialias: bool = False) -> Model:
    """The model in a released CheXzero file.

    Args:
        file: a flat CLIP ViT state dict (`best_64_5e-05_original_22000_0.864.pt` and the like).
        antialias: antialias when the normalized 320-pixel square is resized to the tower's side. The published numbers
            were made without (torchvision 0.11 had none for tensors); newer torchvision does it by default.

    Raises:
        CheckpointError: the file is not such a state dict; missing and unexpected names are listed.
    """
    state = read_own_state_dict(file, "chexzero", _EXPECTED)
    tensors = {name: tensor for name, tensor in state.items() if name not in _NOT_WEIGHTS}
    try:
        architecture = architecture_of(tensors)
    except (KeyError, IndexError, ZeroDivisionError):
        raise not_this_release(file, "chexzero", _EXPECTED, tensors) from None
    if architecture.text.vocab_size != VOCAB_SIZE:
        raise CheckpointError(f"{file}: vocabulary of {architecture.text.vocab_size}, expected CLIP's {VOCAB_SIZE}.")
    encoder = DualEncoder(architecture)
    _fit(file, encoder, tensors)
    encoder.load_tensors(to_float32(tensors))
    side_px = architecture.vision.image_size
    preprocess = Preprocess(canvas_px=320, side_px=side_px, antialias=antialias)
    provenance = {
        "name": file.stem,
        "made_by": "import chexzero",
        "file": file.name,
        "sha256": sha256_of(file),
        "tensors": len(tensors),
        "text_policy": "chexzero",
        "paper": "Tiu et al. 2022, doi 10.1038/s41551-022-00936-9",
        "license_of_weights": "MIT (CheXzero and CXR-RePaiR releases); MIMIC-CXR's data use agreement covers the data",
    }
    return Model(encoder, preprocess, ClipTokenizer(architecture.text.context_length), provenance)


def chexzero_folder(file: Path, out: Path, *, antialias: bool = False) -> Imported:
    """Write the model folder of a released CheXzero file; see `import_chexzero`."""
    model = import_chexzero(file, antialias=antialias)
    model.save(out)
    return Imported(out, file, model.provenance["sha256"], model.provenance["tensors"], model.fingerprint)


def _fit(file: Path, encoder: DualEncoder, tensors: dict[str, Tensor]) -> None:
    report = compare_keys(encoder.tensors(), tensors)
    if report:
        raise CheckpointError(f"{file}: {len(tensors)} tensors, which do not make a CLIP ViT:\n{report}")
    logger.info("%s: %d tensors, none missing, none unexpected", file.name, len(tensors))
