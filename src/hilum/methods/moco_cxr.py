"""MoCo-CXR: two augmentations of one radiograph are to be told from a queue of other radiographs.

Sowrirajan et al., "MoCo Pretraining Improves Representation and Transferability of Chest X-ray Models", MIDL 2021,
arXiv 2010.05352.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from hilum.imaging.augment import Pictures, ResizeShorter, augment, plan
from hilum.methods.batch import Batch
from hilum.methods.method import Examples, Method, Share, spread
from hilum.methods.moco import (
    Follower,
    Queue,
    check_queue,
    contrast,
    drawn,
    encode_shuffled,
    first_among,
    first_is_right,
)
from hilum.methods.pictures import PictureReader, plain_squares
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.recipe import Recipe
from hilum.methods.schedule import Place
from hilum.models import Model
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder, ProjectionHead
from hilum.models.image_towers import TowerDescription, build_tower, tower_named
from hilum.models.pixel_statistics import CHEXPERT_MEAN, CHEXPERT_STD, IMAGENET_MEAN, IMAGENET_STD
from hilum.models.preprocess import Preprocessing
from hilum.models.preprocess_kinds import ShorterSideCrop
from hilum.models.text_towers import TextDescription
from hilum.models.tower_weights import load_pretrained

SHUFFLE = 0  # what `drawn` is asked for: the order of shuffled batch statistics


class MoCoCXR(Recipe):
    """Sowrirajan et al. 2021; where the published scripts differ from the code's defaults, the scripts."""

    name: ClassVar[str] = "moco-cxr"
    paper: ClassVar[str] = "Sowrirajan et al. 2021, arXiv 2010.05352"

    tower: str = Field("resnet50", description="image tower; released: resnet50, resnet18, densenet121")
    init: str = Field(
        "imagenet", description="'random', 'imagenet' (the hub; as published), or a file or model folder with weights"
    )
    side_px: int = Field(320, gt=0, description="side of the tower's input (script)")
    canvas_px: int = Field(384, gt=0, description="longer side at which pictures are held before augmentation")
    augmentation: Literal["chexpert", "moco_v1", "moco_v2", "moco_v2-chexpert"] = Field(
        "chexpert",
        description="chexpert: flip, rotation, crop along the longer side (script); moco_*: of the MoCo papers",
    )
    mlp: bool = Field(True, description="head of two linear layers (script; the code's default is one)")
    dim: int = Field(128, gt=0, description="width of the contrasted vectors (code)")
    queue: int = Field(24576, gt=0, description="keys kept as negatives; a multiple of batch_size (code)")
    mask_unfilled: bool = Field(
        False, description="leave slots without a key out of the negatives (original: random vectors until it is full)"
    )
    key_momentum: float = Field(0.999, ge=0, le=1, description="share of itself that the key encoder keeps (code)")
    tau: float = Field(
        0.2, gt=0, description="softmax temperature (every published script; the code's default is 0.07)"
    )
    batch_size: int = Field(
        16, gt=1, description="images in a step over all devices (script; the code's default is 24)"
    )
    epochs: float = Field(20, gt=0, description="passes over the training images (code)")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adam", description="adam: weight decay in the gradient (code)")
    learning_rate: float = Field(1e-4, gt=0, description="script; released models: 1e-4, 1e-5 and others by name")
    weight_decay: float = Field(1e-4, ge=0, description="on everything, in the gradient (code)")
    decay_all: bool = Field(True, description="decay biases and norms too (code)")
    schedule: Literal["constant", "cosine", "cosine-squared", "steps", "plateau"] = Field(
        "steps", description="of the learning rate, by epoch (code: steps, or cosine at cosine_rate)"
    )
    milestones: tuple[int, ...] = Field((12, 18, 24), description="epochs after which the rate is a tenth (code)")
    cosine_rate: float = Field(
        4.0, gt=0, description="cosine: the angle reaches pi / cosine_rate at the end, so 4 never comes near 0 (code)"
    )

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "resnet18": {"tower": "resnet18"},
        "densenet121": {"tower": "densenet121"},
        "code-defaults": {"init": "random", "mlp": False, "tau": 0.07, "batch_size": 24},
    }
    tiny: ClassVar[dict[str, Any]] = {
        "tower": "resnet-tiny",
        "init": "random",
        "side_px": 64,
        "canvas_px": 80,
        "augmentation": "chexpert",
        "tau": 0.1,
        "dim": 64,
        "queue": 1024,
        "key_momentum": 0.99,
        "batch_size": 32,
        "epochs": 40,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "cosine_rate": 1.0,
    }

    def rate(self, place: Place) -> float:
        """The factor on the learning rate; the cosine of the original moves once an epoch."""
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * place.epoch / self.epochs / self.cosine_rate))
        return super().rate(place)


@dataclass
class Radiographs(Examples):
    """Images of a split, each an example."""

    pictures: PictureReader | None = None

    @classmethod
    def of(
        cls, share: Share, split: str, most: int | None, canvas_px: int, shorter_px: int | None = None
    ) -> Radiographs:
        """The images of a split, at most so many, read at a longer side of `canvas_px`; `shorter_px` as of the reader."""
        images = images_of(share, split, ["image_id"], most)
        ids = images["image_id"].to_pylist()
        reader = PictureReader(share.archive, images["row"].to_numpy(), ids, canvas_px, shorter_px)
        return cls(ids, {"images": len(ids)}, [], reader)


@dataclass
class Views(Batch):
    """Pictures `pixels` (N, C, C) uint8 of `sizes` (N, 2), and `views` (N, 2, S, S) uint8: the query's and the key's."""

    pixels: Tensor
    sizes: Tensor
    views: Tensor | None = None


R = TypeVar("R", bound=MoCoCXR)
E = TypeVar("E", bound=Examples)
B = TypeVar("B", bound=Views)


class MomentumContrast(Method[R, E, B]):
    """A query encoder that is trained, a key encoder that follows it, and a queue.

    Attributes:
        query: what is exported.
        key: gets no gradient.
        queue: the last keys.
        preprocess: of the exported model; its mean and deviation are the augmented views', too.
    """

    needs_reports: ClassVar[bool] = False
    validates: ClassVar[bool] = False  # another set's queue would have to be filled for a loss that ranks nothing
    facts: ClassVar[tuple[str, ...]] = ()  # what the queue keeps beside the keys

    def __init__(self, recipe: R, tower: TowerDescription | None = None) -> None:
        """
        Args:
            recipe: the settings.
            tower: in place of the recipe's.

        Raises:
            RecipeError: the queue is not a multiple of the batch.
            ModelError: no such tower, or its initial weights are not to be had.
        """
        super().__init__(recipe)
        check_queue(recipe.name, recipe.queue, recipe.batch_size)
        self.preprocess: Preprocessing = self._preprocess()
        self.query = ImageEncoder(_architecture(recipe, tower))
        load_pretrained(self.query.image_tower, recipe.init)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self._follower = Follower(self.key, self.query)
        self.queue = Queue(recipe.dim, recipe.queue, self.facts)
        self._plan = plan(
            recipe.name if recipe.augmentation == "chexpert" else recipe.augmentation, side_px=recipe.side_px
        )
        self._seed = int(torch.randint(2**62, (), device="cpu"))
        self._step = 0

    def _preprocess(self) -> ShorterSideCrop:
        side = self.recipe.side_px
        return ShorterSideCrop(canvas_px=side, resize_px=side, mean=CHEXPERT_MEAN, std=CHEXPERT_STD)

    @property
    def shorter_px(self) -> int | None:
        """The shorter side to which the augmentation brings every picture first; none: it begins otherwise."""
        first = self._plan[0]
        return first.px if isinstance(first, ResizeShorter) else None

    def draws(self, what: int) -> torch.Generator:
        """A generator for one kind of draw of this step, the same in every process and however often it is asked for."""
        return drawn(self._seed, self._step, what)

    def views(self, of_query: Pictures, of_key: Pictures, draws: torch.Generator) -> Tensor:
        """Augmented squares (N, 2, S, S) uint8, each picture with draws of its own."""
        both = Pictures(torch.cat([of_query.pixels, of_key.pixels]), torch.cat([of_query.sizes, of_key.sizes]))
        return torch.stack(augment(both, self._plan, self.recipe.side_px, draws).chunk(2), dim=1)

    def encode(self, batch: B, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`query` and `key`, each (N, dim), not normalized; keys come from a shuffled batch, without gradients."""
        assert batch.views is not None
        count = len(batch.views) * ranks.world
        order = ranks.agree(torch.randperm(count, generator=self.draws(SHUFFLE)).to(batch.views.device))
        query = self.query.project(self._floats(batch.views[:, 0]))
        key = encode_shuffled(lambda views: self.key.project(self._floats(views)), batch.views[:, 1], order, ranks)
        return {"query": query, "key": key}

    def losses(self, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """Cross-entropy of each query's key among the queue; `top1` and `top5`: share of keys among the nearest."""
        return told(self.logits(rows))

    def logits(self, rows: dict[str, Tensor]) -> Tensor:
        """(N, 1 + K) of normalized rows, unfilled slots left out where the recipe says so."""
        query, key = F.normalize(rows["query"], dim=1), F.normalize(rows["key"].detach(), dim=1)
        # A copy: the queue may be written before the backward pass has read it.
        logits = contrast(query, key, self.queue.keys.clone(), self.recipe.tau)
        if self.recipe.mask_unfilled:
            logits = torch.cat([logits[:, :1], logits[:, 1:].masked_fill(self.queue.empty(), float("-inf"))], dim=1)
        return logits

    def before_step(self, step: int, steps: int, ranks: Ranks = ALONE) -> None:
        """The key encoder follows the query encoder as the last step left it."""
        self._step = step
        self._follower.follow(self.recipe.key_momentum)

    def after_losses(self, batch: B, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> None:
        """The keys of all processes go into the queue."""
        keys = F.normalize(rows["key"].float(), dim=1)
        self.queue.put(ranks.gather_constant(keys), **self.key_facts(batch, ranks))

    def key_facts(self, batch: B, ranks: Ranks) -> dict[str, Tensor]:
        """For each of `facts` (world * N,) int64: what goes into the queue beside the keys."""
        return {}

    def architecture(self, text_tower: TextDescription | None = None) -> ImageArchitecture:
        """Of the query encoder."""
        return self.query.architecture

    def model(self, provenance: dict[str, Any], device: torch.device | str = "cpu") -> Model:
        """The query encoder, its pooled features as embeddings (it shares the weights)."""
        return Model(self.query, self.preprocess, None, provenance, device)

    def _floats(self, views: Tensor) -> Tensor:
        assert isinstance(self.preprocess, ShorterSideCrop)
        return self.preprocess.normalize(views)


class MoCoCXRMethod(MomentumContrast[MoCoCXR, Radiographs, Views]):
    """An example is one image."""

    def _preprocess(self) -> ShorterSideCrop:
        plain = super()._preprocess()
        if self.recipe.augmentation in ("moco_v1", "moco_v2"):  # as released
            return plain.model_copy(update={"mean": IMAGENET_MEAN, "std": IMAGENET_STD})
        return plain

    def collect(self, share: Share, split: str, most: int | None = None) -> Radiographs:
        """The images of a split; see `Method.collect`."""
        return Radiographs.of(share, split, most, self.recipe.canvas_px, self.shorter_px)

    def read(self, examples: Radiographs, picks: np.ndarray, rng: np.random.Generator | None) -> Views:
        """The pictures at `picks`; without `rng` both views are as the exported model sees them."""
        assert examples.pictures is not None
        pictures = examples.pictures.read(picks)
        batch = Views(pictures.pixels, pictures.sizes)
        if rng is not None:
            return batch
        return replace(batch, views=plain_squares(pictures, self.preprocess)[:, None].repeat(1, 2, 1, 1))

    def augment(self, batch: Views, draws: torch.Generator) -> Views:
        """Two views of each picture, drawn independently."""
        pictures = Pictures(batch.pixels, batch.sizes)
        return replace(batch, views=self.views(pictures, pictures, draws))


def images_of(share: Share, split: str, columns: list[str], most: int | None) -> pa.Table:
    """Images of a split with the columns asked for and `row`; `most` of them, spread evenly."""
    table = share.archive.images(columns, where=f"split = '{split}'")
    return table.take(spread(table.num_rows, most)) if most is not None else table


def told(logits: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
    """`loss`, and the shares `top1` and `top5` of rows whose key is among the nearest."""
    nearest = {"top1": first_among(logits, 1), "top5": first_among(logits, 5)}
    return {"loss": first_is_right(logits, weights), **nearest}


def _architecture(recipe: MoCoCXR, tower: TowerDescription | None) -> ImageArchitecture:
    tower = tower or tower_named(recipe.tower, recipe.side_px)
    widths = (build_tower(tower).feature_dim, recipe.dim) if recipe.mlp else (recipe.dim,)
    return ImageArchitecture(tower=tower, head=ProjectionHead(widths=widths))
