"""CXR-CLIP: two views and two texts of each study, from reports where there are any and from labels where there are not.

You et al., "CXR-CLIP: Toward large scale chest X-ray language-image pre-training", MICCAI 2023, doi 10.1007/978-3-031-43895-0_10.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from hilum.imaging.augment import Pictures, augment, plan
from hilum.methods.batch import Batch
from hilum.methods.cxr_clip_loss import study_contrast
from hilum.methods.cxr_clip_studies import StudyText, prompts_of_studies, sections_of_studies, translated
from hilum.methods.label_texts import load_bank
from hilum.methods.method import Examples, Method, Share
from hilum.methods.pictures import PictureReader
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.recipe import Recipe
from hilum.methods.reports import refuse_no_texts
from hilum.methods.text_start import start_text
from hilum.methods.views import StudyViews, pick_two
from hilum.models import Model
from hilum.models.image_text import ImageTextArchitecture, ImageTextEncoder
from hilum.models.image_towers import tower_named
from hilum.models.pixel_statistics import HALF_MEAN, HALF_STD, IMAGENET_MEAN, IMAGENET_STD
from hilum.models.preprocess_kinds import ShorterSideCrop
from hilum.models.tower_weights import load_pretrained


class CXRCLIP(Recipe):
    """You et al. 2023, sections 2-3; the released configuration where the paper is silent."""

    name: ClassVar[str] = "cxr-clip"
    paper: ClassVar[str] = "You et al. 2023, doi 10.1007/978-3-031-43895-0_10"

    text_policy: str | None = Field(
        "sections",
        description="findings and impression apart; or a text policy for one text; or prompts, prompts:N for texts from labels",
    )
    tower: str = Field("resnet50", description="image tower by name (paper: ResNet-50 and Swin-T)")
    init: str = Field("imagenet", description="image tower: 'imagenet' asks the hub, a weights file, or 'random'")
    text_model: str = Field(
        "bio-clinicalbert",
        description="a local Hugging Face folder; 'bio-clinicalbert' (paper) asks the hub; or a size to start anew",
    )
    vocabulary: int = Field(8192, gt=100, description="pieces learned from the reports where text_model is a size")
    context: int = Field(256, gt=2, description="tokens of a text (released)")
    side_px: int = Field(224, gt=0, description="the image tower's input (released)")
    canvas_px: int = Field(
        384, gt=0, description="longer side of the pictures that are cropped (released: shorter side 512)"
    )
    embed_dim: int = Field(512, gt=0, description="width of the shared space")
    pooling: Literal["eos", "bos", "mean"] = Field("eos", description="which token stands for a text (released)")
    image_weight: float = Field(1.0, ge=0, description="of ICL, the contrast of two views (paper 2.3: lambda_I)")
    text_weight: float = Field(0.5, ge=0, description="of TCL, the contrast of two texts (paper 2.3: lambda_T)")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the contrast of images and texts, in training")
    prompt_bank: str = Field("hilum", description="sentences for texts from labels: 'hilum', or a .json or .toml file")
    back_translation: tuple[str, ...] = Field(
        (),
        description="two local Hugging Face folders, there and back: each section gets a paraphrase, taken half the time",
    )
    compat: Literal["none", "cxr-clip"] = Field(
        "none", description="cxr-clip: a study with three kinds of view gives two images of one kind, as released"
    )
    augmentation: str = Field("cxr-clip", description="augmentation plan")
    batch_size: int = Field(128, gt=1, description="studies in a step over all devices (released)")
    epochs: float = Field(15, gt=0, description="passes over the training studies (released)")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adamw", description="released")
    learning_rate: float = Field(5e-5, gt=0, description="released")
    weight_decay: float = Field(1e-4, ge=0, description="released")
    decay_all: bool = Field(True, description="released: its exclusion of biases and norms has no effect")
    schedule: Literal["constant", "cosine", "cosine-squared", "steps", "plateau"] = Field(
        "cosine-squared", description="warm-up from 0, then cos^2 to 0 (released)"
    )
    warmup: float = Field(1 / 15, ge=0, lt=1, description="share of the steps (released: one epoch of 15)")
    validate_every: int = Field(500, gt=0, description="steps between validations; the best is kept")

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "m": {"texts": ("sections",)},
        "m+c": {"texts": ("sections", "prompts")},
        "m+c+c14": {"texts": ("sections", "prompts", "prompts:3")},
        "swin-t": {"tower": "swin-t"},
        "clip": {"image_weight": 0.0, "text_weight": 0.0},
    }
    tiny: ClassVar[dict[str, Any]] = {
        "tower": "resnet-tiny",
        "init": "random",
        "text_model": "bert-tiny",
        "vocabulary": 2000,
        "context": 96,
        "side_px": 96,
        "canvas_px": 128,
        "embed_dim": 128,
        "batch_size": 32,
        "epochs": 30,
        "learning_rate": 1e-3,
        "weight_decay": 0.05,
        "decay_all": False,
        "warmup": 0.1,
        "clip_norm": 1.0,
        "validate_every": 100,
        "validation_images": 256,
    }


@dataclass
class Studies(Examples):
    """Studies of a split: their pictures by view, and what is said of each."""

    pictures: PictureReader | None = None
    views: StudyViews | None = None
    texts: list[StudyText] = field(default_factory=list)


@dataclass
class TwoViewBatch(Batch):
    """Two pictures (B, C, C) uint8 with their sizes (B, 2), and two texts (B, context) int64, of each study.

    `views` (B, 2, S, S) uint8 is what the tower sees.
    """

    pixels: Tensor
    sizes: Tensor
    pixels2: Tensor
    sizes2: Tensor
    ids: Tensor
    ids2: Tensor
    views: Tensor | None = None

    stays: ClassVar[frozenset[str]] = frozenset({"sizes", "sizes2"})


class CXRCLIPMethod(Method[CXRCLIP, Studies, TwoViewBatch]):
    """An example is a study: two of its images and two of its texts."""

    shares_norms: ClassVar[bool] = True

    def __init__(self, recipe: CXRCLIP) -> None:
        super().__init__(recipe)
        self.tower = tower_named(recipe.tower, recipe.side_px)
        if self.tower.family == "swin":
            self.tower = tower_named(recipe.tower, recipe.side_px, pool="first")
        resnet = self.tower.family == "resnet"
        self.preprocess = ShorterSideCrop(
            canvas_px=recipe.side_px,
            mean=IMAGENET_MEAN if resnet else HALF_MEAN,
            std=IMAGENET_STD if resnet else HALF_STD,
        )
        self.plan = plan(recipe.augmentation, recipe.side_px)
        self.bank = load_bank(recipe.prompt_bank)

    def prepare(self, shares: list[Share]) -> None:
        """Start the towers; a text tower without a folder learns its vocabulary from the training texts."""
        recipe = self.recipe
        said = [text for share in shares for text in self._vocabulary_texts(share)]
        text = start_text(recipe.text_model, said, recipe.context, recipe.vocabulary)
        self.tokenizer = text.tokenizer
        architecture = ImageTextArchitecture(
            image_tower=self.tower,
            text_tower=text.tower.description,
            embed_dim=recipe.embed_dim,
            pooling=recipe.pooling,
        )
        self.encoder = ImageTextEncoder(architecture)
        self.encoder.text_tower = text.tower
        load_pretrained(self.encoder.image_tower, recipe.init)

    def collect(self, share: Share, split: str, most: int | None = None) -> Studies:
        """Studies of a split with an image and a text; see `Method.collect`."""
        images = share.archive.images(["row", "image_id", "study_id", "view"], where=f"split = '{split}'")
        views = StudyViews.of(images["study_id"].to_pylist(), images["view"].to_pylist())
        said = self._texts(share, views.study_ids)
        kept = [i for i, text in enumerate(said) if text]
        counts = {
            "images": images.num_rows,
            "studies": len(views),
            "studies_without_text": len(views) - len(kept),
            "texts_cut": self._cut([said[i] for i in kept]),
        }
        if split == "train" and not kept:
            refuse_no_texts(share, split, counts["studies_without_text"])
        if most is not None and len(kept) > most:
            kept = [kept[i] for i in np.linspace(0, len(kept) - 1, most).astype(int)]
        views, texts = views.only(kept), [said[i] for i in kept]
        reader = PictureReader(
            share.archive, images["row"].to_numpy(), images["image_id"].to_pylist(), self.recipe.canvas_px
        )
        first = [reader.image_ids[views.of_study(i)[0]] for i in range(len(views))]
        return Studies(first, counts, [repr(text) for text in texts], reader, views, texts)

    def read(self, examples: Studies, picks: np.ndarray, rng: np.random.Generator | None) -> TwoViewBatch:
        """Two images and two texts of each study; the first two of each without `rng`."""
        assert examples.pictures is not None
        assert examples.views is not None
        draws = None if rng is None else random.Random(int(rng.integers(2**62)))
        one_kind = self.recipe.compat == "cxr-clip"
        pairs = np.array([pick_two(examples.views, int(i), draws, last_kind_only=one_kind) for i in picks])  # (B, 2)
        texts = [examples.texts[i].two(draws, self.bank) for i in picks]
        a, b = (examples.pictures.read(pairs[:, side]) for side in (0, 1))
        ids, ids2 = (torch.from_numpy(self.tokenizer([pair[side] for pair in texts])) for side in (0, 1))
        batch = TwoViewBatch(a.pixels, a.sizes, b.pixels, b.sizes, ids, ids2)
        if rng is None:
            batch.views = torch.stack([self._plain(a), self._plain(b)], dim=1)
        return batch

    def augment(self, batch: TwoViewBatch, draws: torch.Generator) -> TwoViewBatch:
        """An augmented square of each of the two pictures; of one picture twice, two different ones."""
        pairs = (Pictures(batch.pixels, batch.sizes), Pictures(batch.pixels2, batch.sizes2))
        views = torch.stack([augment(pictures, self.plan, self.recipe.side_px, draws) for pictures in pairs], dim=1)
        return TwoViewBatch(**{**batch.__dict__, "views": views})

    def encode(self, batch: TwoViewBatch, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`images`, `views`, `texts` and `texts2`: (N, D) unit rows."""
        assert batch.views is not None
        seen = self.preprocess.normalize(batch.views.transpose(0, 1).flatten(0, 1))  # (2 N, 3, S, S)
        images, views = F.normalize(self.encoder.encode_images(seen), dim=-1).chunk(2)
        read = torch.cat([batch.ids, batch.ids2])
        texts, texts2 = F.normalize(self.encoder.encode_texts(read), dim=-1).chunk(2)
        return {"images": images, "views": views, "texts": texts, "texts2": texts2}

    def losses(self, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """Multi-view supervision, image contrast and text contrast."""
        assert self.encoder.logit_scale is not None
        return study_contrast(
            **rows,
            scale=self.encoder.logit_scale.exp(),
            image_weight=self.recipe.image_weight,
            text_weight=self.recipe.text_weight,
            smoothing=self.recipe.label_smoothing if self.training else 0.0,
            ranks=ranks,
        )

    def model(self, provenance: dict[str, Any], device: torch.device | str = "cpu") -> Model:
        """The two towers and their projections, as a model (it shares the weights)."""
        return Model(self.encoder, self.preprocess, self.tokenizer, provenance, device)

    def _texts(self, share: Share, study_ids: list[str]) -> list[StudyText]:
        text = share.text or "sections"
        if text.startswith("prompts"):
            return prompts_of_studies(share.archive, study_ids, text, self.bank)
        sections = sections_of_studies(share.archive, study_ids, text)
        return translated(sections, self.recipe.back_translation, share.archive)

    def _vocabulary_texts(self, share: Share) -> list[str]:
        images = share.archive.images(["study_id"], where="split = 'train'")
        return [
            said for text in self._texts(share, images["study_id"].unique().to_pylist()) for said in text.all(self.bank)
        ]

    def _cut(self, texts: list[StudyText]) -> int:
        said = list({said for text in texts for said in text.all(None)})
        lengths = dict(zip(said, self.tokenizer.lengths(said), strict=True)) if said else {}
        return sum(int(lengths[one]) > self.recipe.context for text in texts for one in text.all(None))

    def _plain(self, pictures: Pictures) -> Tensor:
        images = [
            pixels[:height, :width].numpy()
            for pixels, (height, width) in zip(pictures.pixels, pictures.sizes.tolist(), strict=True)
        ]
        return torch.from_numpy(self.preprocess.squares(images))
