"""CheXzero: finetune CLIP on pairs of radiograph and impression; ask with a positive and a negative prompt.

Tiu et al., "Expert-level detection of pathologies from unannotated chest X-ray images via self-supervised learning",
Nature Biomedical Engineering 2022, doi 10.1038/s41551-022-00936-9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hilum.errors import TrainingError
from hilum.imaging.augment import light
from hilum.methods.batch import Batch
from hilum.methods.contrast import symmetric_nce
from hilum.methods.method import Examples, Method, Share, spread
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.recipe import Recipe
from hilum.methods.reports import refuse_no_texts, study_texts
from hilum.methods.squares import SquareReader
from hilum.models import Architecture, ClipTokenizer, DualEncoder, Model, Preprocess, Text, Vision, build
from hilum.models.preprocess import CHEXZERO_MEAN, CHEXZERO_STD
from hilum.models.released.clip_weights import read_weights
from hilum.models.text_towers import TextDescription


class CheXzero(Recipe):
    """Tiu et al. 2022, Methods; the released training script where the paper is silent."""

    name: ClassVar[str] = "chexzero"
    paper: ClassVar[str] = "Tiu et al. 2022, doi 10.1038/s41551-022-00936-9"

    init: str = Field(
        "openai", description="'random', or a file with CLIP ViT-B/32 weights; 'openai' asks the hub for them"
    )
    canvas_px: int = Field(320, gt=0, description="longer side after padding to a square (released preprocessing)")
    side_px: int = Field(224, gt=0, description="the image tower's input")
    antialias: bool = Field(False, description="antialias the resize to side_px; the original's torchvision did not")
    embed_dim: int = Field(512, gt=0, description="width of the shared space")
    tower: Literal["vit", "resnet"] = Field("vit", description="kind of image tower (CLIP's)")
    vision_layers: int = Field(12, gt=0, description="blocks of the ViT; blocks in each of a ResNet's four stages")
    vision_width: int = Field(768, gt=0, description="width of the ViT; of the ResNet's first stage")
    patch_px: int = Field(32, gt=0, description="side of a ViT patch")
    text_layers: int = Field(12, gt=0, description="blocks of the text tower")
    text_width: int = Field(512, gt=0, description="width of the text tower; heads are width / 64")
    context: int = Field(77, gt=2, description="tokens of a text, start and end included; the rest is cut and counted")
    missing_text: Literal["drop", "no impression"] = Field(
        "drop", description="a study without that text: leave out (counted), or the literal caption 'NO IMPRESSION'"
    )
    sentences: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of captions cut to some of their sentences, in random order (paper: whole text)",
    )
    augment: Literal["none", "light"] = Field("none", description="random shift, zoom and gray change (paper: none)")
    batch_size: int = Field(64, gt=1, description="pairs in a step over all devices (released names: 64 or 128)")
    epochs: float = Field(4, gt=0, description="passes over the training images (script default)")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="script default: SGD")
    learning_rate: float = Field(1e-4, gt=0, description="released names: 5e-5, 1e-4, 2e-4")
    validate_every: int = Field(
        100, gt=0, description="steps between validations; the best is kept (script: saves each 100)"
    )

    # Endo et al. 2021, doi 10.48550/arXiv.2112.13222: the same CLIP on the same kind of pairs; the impression cut by its own rule.
    variants: ClassVar[dict[str, dict[str, Any]]] = {"cxr-repair": {"text_policy": "cxr-repair"}}
    tiny: ClassVar[dict[str, Any]] = {
        "init": "random",
        "canvas_px": 96,
        "side_px": 96,
        "embed_dim": 128,
        "tower": "resnet",
        "vision_layers": 1,
        "vision_width": 16,
        "text_layers": 2,
        "text_width": 128,
        "sentences": 0.7,
        "augment": "light",
        "batch_size": 64,
        "epochs": 31,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 0.2,
        "schedule": "cosine",
        "warmup": 0.1,
        "clip_norm": 1.0,
        "validate_every": 100,
        "validation_images": 256,
    }


@dataclass
class Pairs(Examples):
    """Images of a split with their captions (`said`): row i of each belongs together."""

    squares: SquareReader | None = None


@dataclass
class PairBatch(Batch):
    """A step's examples: `squares` (B, canvas, canvas) uint8, `ids` (B, context) int64."""

    squares: Tensor
    ids: Tensor


class CheXzeroMethod(Method[CheXzero, Pairs, PairBatch]):
    """An example is one image with its study's text; the loss is CLIP's.

    Args:
        recipe: the settings.
    """

    def __init__(self, recipe: CheXzero) -> None:
        super().__init__(recipe)
        self.preprocess = Preprocess(
            canvas_px=recipe.canvas_px,
            side_px=recipe.side_px,
            antialias=recipe.antialias,
            mean=(CHEXZERO_MEAN,) * 3,
            std=(CHEXZERO_STD,) * 3,
        )
        self.tokenizer = ClipTokenizer(recipe.context)
        self.encoder: DualEncoder = build(_architecture(recipe))
        if recipe.init != "random":
            self.encoder.load_tensors(read_weights(recipe.init, self.encoder))

    def collect(self, share: Share, split: str, most: int | None = None) -> Pairs:
        """The images of a split that have a text; see `Method.collect`."""
        images = share.archive.images(["row", "image_id", "study_id"], where=f"split = '{split}'")
        texts_of = study_texts(share)
        captions = [texts_of.get(study_id) or "" for study_id in images["study_id"].to_pylist()]
        without = sum(not caption.strip() for caption in captions)
        if self.recipe.missing_text == "no impression":
            captions = [caption if caption.strip() else "NO IMPRESSION" for caption in captions]
        keep = np.array([i for i, caption in enumerate(captions) if caption.strip()], np.int64)
        if split == "train" and not len(keep):
            refuse_no_texts(share, split, without)
        keep = keep[spread(len(keep), most)]
        texts = [captions[i] for i in keep]
        reader = SquareReader(
            share.archive,
            rows=images["row"].to_numpy()[keep],
            image_ids=[images["image_id"][int(i)].as_py() for i in keep],
            preprocess=self.preprocess,
        )
        lengths = self.tokenizer.lengths(sorted(set(texts)))
        cut = {text for text, n in zip(sorted(set(texts)), lengths, strict=True) if n > self.recipe.context}
        counts = {
            "images": images.num_rows,
            "images_without_text": without,
            "pairs": len(texts),
            "texts_cut": sum(text in cut for text in texts),
        }
        return Pairs(reader.image_ids, counts, texts, reader)

    def read(self, examples: Pairs, picks: np.ndarray, rng: np.random.Generator | None) -> PairBatch:
        """The examples at `picks`; `rng` draws sentences in training, None takes whole texts."""
        assert examples.squares is not None
        texts = [examples.said[i] for i in picks]
        if rng is not None and self.recipe.sentences > 0:
            texts = [some_sentences(text, rng) if rng.random() < self.recipe.sentences else text for text in texts]
        return PairBatch(torch.from_numpy(examples.squares.read(picks)), torch.from_numpy(self.tokenizer(texts)))

    def augment(self, batch: PairBatch, draws: torch.Generator) -> PairBatch:
        """Shift, zoom and change the gray of the images where the recipe says so."""
        if self.recipe.augment == "light":
            return PairBatch(light(batch.squares, draws), batch.ids)
        return batch

    def encode(self, batch: PairBatch, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`images` and `texts`, each (N, D), not normalized."""
        images = self.encoder.encode_images(self.preprocess.tensor(batch.squares))
        return {"images": images, "texts": self.encoder.encode_texts(batch.ids)}

    def losses(self, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """CLIP's loss."""
        return {"loss": symmetric_nce(rows["images"], rows["texts"], self.encoder.logit_scale, ranks)}

    def architecture(self, text_tower: TextDescription | None = None) -> Architecture:
        """Of the two towers."""
        return self.encoder.architecture

    def model(self, provenance: dict[str, Any], device: torch.device | str = "cpu") -> Model:
        """The encoder as it is, as a model that can be used and saved (it shares the weights)."""
        return Model(self.encoder, self.preprocess, self.tokenizer, provenance, device)


def some_sentences(text: str, rng: np.random.Generator) -> str:
    """A random part of a text's sentences, at least one, in random order.

    Without it a text tower trained on few reports learns how long a report is before it learns what it says.
    """
    sentences = [s for s in re.split(r"(?<=[.;?!])\s+", text.strip()) if len(s) > 2]
    if len(sentences) < 2:
        return text
    order = rng.permutation(len(sentences))
    return " ".join(sentences[i] for i in order[: int(rng.integers(1, len(sentences) + 1))])


def _architecture(recipe: CheXzero) -> Architecture:
    if recipe.tower == "vit" and recipe.side_px % recipe.patch_px:
        raise TrainingError(
            f"recipe chexzero: side_px={recipe.side_px} is not a multiple of patch_px={recipe.patch_px}. Change one."
        )
    if recipe.tower == "resnet" and recipe.side_px < 64:
        raise TrainingError(f"recipe chexzero: side_px={recipe.side_px} is too small for a ResNet; give 64 or more.")
    blocks = recipe.vision_layers
    return Architecture(
        embed_dim=recipe.embed_dim,
        quick_gelu=True,
        vision=Vision(
            image_size=recipe.side_px,
            layers=blocks if recipe.tower == "vit" else (blocks, blocks, blocks, blocks),
            width=recipe.vision_width,
            patch_size=recipe.patch_px,
        ),
        text=Text(
            context_length=recipe.context,
            width=recipe.text_width,
            heads=max(1, recipe.text_width // 64),
            layers=recipe.text_layers,
        ),
    )
