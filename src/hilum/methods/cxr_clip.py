"""CXR-CLIP: two views and two texts of each study, from reports where there are any and from labels where there are not.

You et al., "CXR-CLIP: Toward large scale chest X-ray language-image pre-training", MICCAI 2023, doi 10.1007/978-3-031-43895-0_10.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from hilum.errors import RecipeError
from hilum.imaging.augment import Pictures, augment, plan
from hilum.methods.batch import Batch
from hilum.methods.cxr_clip_loss import study_contrast
from hilum.methods.cxr_clip_studies import PROMPTS, StudyText, texts_of_archive
from hilum.methods.label_texts import load_bank
from hilum.methods.method import Examples, Method, Share, spread
from hilum.methods.pictures import PictureReader, plain_squares
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
from hilum.models.text_towers import Bert, TextDescription
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
        """
        Raises:
            ModelError: no such tower.
            UsageError: no such prompt bank, or no such augmentation.
            RecipeError: another number of translation models than two.
        """
        super().__init__(recipe)
        # Swin has no class token: its first token, the top left one, stands for the image, as released.
        first = {"pool": "first"} if tower_named(recipe.tower, recipe.side_px).family == "swin" else {}
        self.tower = tower_named(recipe.tower, recipe.side_px, **first)
        resnet = self.tower.family == "resnet"
        self.preprocess = ShorterSideCrop(
            canvas_px=recipe.side_px,
            mean=IMAGENET_MEAN if resnet else HALF_MEAN,
            std=IMAGENET_STD if resnet else HALF_STD,
        )
        self.plan = plan(recipe.augmentation, recipe.side_px)
        self.bank = load_bank(recipe.prompt_bank)
        self._said: dict[tuple[str, str], dict[str, StudyText]] = {}
        if len(recipe.back_translation) not in (0, 2):
            raise RecipeError(
                f"recipe cxr-clip: back_translation has {len(recipe.back_translation)} folders "
                f"({', '.join(recipe.back_translation)}); expected two: --set back_translation=THERE,BACK"
            )

    def prepare(self, shares: list[Share]) -> None:
        """Start the towers; a text tower without a folder learns its vocabulary from the training texts.

        Raises:
            TrainingError: an archive has no text of the kind that it is to give.
            ModelError: weights are not to be had.
        """
        recipe = self.recipe
        said = [text for share in shares for text in self._training_texts(share)]
        text = start_text(recipe.text_model, said, recipe.context, recipe.vocabulary)
        self.tokenizer = text.tokenizer
        self.encoder = ImageTextEncoder(self.architecture(text.tower.description))
        self.encoder.text_tower = text.tower
        load_pretrained(self.encoder.image_tower, recipe.init)

    def collect(self, share: Share, split: str, most: int | None = None) -> Studies:
        """Studies of a split with an image and a text; see `Method.collect`."""
        images = share.archive.images(["row", "image_id", "study_id", "view"], where=f"split = '{split}'")
        views = StudyViews.of(images["study_id"].to_pylist(), images["view"].to_pylist())
        of_study = self._texts(share)
        kept = [i for i, study_id in enumerate(views.study_ids) if study_id in of_study]
        without = len(views) - len(kept)
        if split == "train" and not kept:
            refuse_no_texts(share, split, without)
        kept = [kept[i] for i in spread(len(kept), most)]
        views = views.only(kept)
        texts = [of_study[study_id] for study_id in views.study_ids]
        ids = images["image_id"].to_pylist()
        counts = {
            "images": len(views.order),
            "studies": len(views),
            "studies_without_text": without,
            "texts_cut": self._cut(texts),
        }
        reader = PictureReader(share.archive, images["row"].to_numpy(), ids, self.recipe.canvas_px)
        of_image = [[ids[i] for i in views.of_study(number)] for number in range(len(views))]
        said = [f"{names} {text}" for names, text in zip(of_image, texts, strict=True)]
        return Studies([names[0] for names in of_image], counts, said, reader, views, texts)

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
            batch.views = torch.stack([plain_squares(pictures, self.preprocess) for pictures in (a, b)], dim=1)
        return batch

    def augment(self, batch: TwoViewBatch, draws: torch.Generator) -> TwoViewBatch:
        """An augmented square of each of the two pictures; of one picture twice, two different ones."""
        pixels, sizes = torch.cat([batch.pixels, batch.pixels2]), torch.cat([batch.sizes, batch.sizes2])
        views = augment(Pictures(pixels, sizes), self.plan, self.recipe.side_px, draws)  # (2 B, S, S)
        return replace(batch, views=views.unflatten(0, (2, len(batch))).transpose(0, 1))

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

    def architecture(self, text_tower: TextDescription | None = None) -> ImageTextArchitecture:
        """Both towers, each with a linear projection; the paper's text tower where none is given."""
        return ImageTextArchitecture(
            image_tower=self.tower,
            text_tower=text_tower or Bert(),
            embed_dim=self.recipe.embed_dim,
            pooling=self.recipe.pooling,
        )

    def model(self, provenance: dict[str, Any], device: torch.device | str = "cpu") -> Model:
        """The two towers and their projections, as a model (it shares the weights)."""
        return Model(self.encoder, self.preprocess, self.tokenizer, provenance, device)

    def _texts(self, share: Share) -> dict[str, StudyText]:
        """What is said of each study of an archive, by id; read once for all splits."""
        key = (str(share.archive.path), share.policy)
        if key not in self._said:
            self._said[key] = texts_of_archive(share.archive, share.policy, self.bank, self.recipe.back_translation)
        return self._said[key]

    def _training_texts(self, share: Share) -> list[str]:
        """What a vocabulary is learned from."""
        if share.policy.startswith(PROMPTS):
            return self.bank.all()
        studies = share.archive.images(["study_id"], where="split = 'train'")["study_id"].unique().to_pylist()
        of_study = self._texts(share)
        said = [text for study_id in studies if study_id in of_study for text in of_study[study_id].written]
        if not said:
            refuse_no_texts(share, "train", len(studies))
        return said

    def _cut(self, texts: list[StudyText]) -> int:
        """How many sections and paraphrases are longer than the context."""
        said = list({said for text in texts for said in text.written})
        if not said:
            return 0
        lengths = dict(zip(said, self.tokenizer.lengths(said), strict=True))
        return sum(int(lengths[one]) > self.tokenizer.context_length for text in texts for one in text.written)
