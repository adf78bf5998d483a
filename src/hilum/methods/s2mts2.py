"""S2MTS2: a query is contrasted with the distribution of many views of the same radiograph, in closed form.

Liu et al., "Self-supervised Mean Teacher for Semi-supervised Chest X-ray Classification", MLMI 2021, arXiv 2103.03629. The second
stage, finetuning with few labels, is `hilum.tasks.semi_supervised`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from hilum.imaging.augment import Jitter, Pictures, Plan, RandomResizedCrop, Step, augment, plan
from hilum.methods.joint_contrast import joint_contrast
from hilum.methods.method import Method, Share
from hilum.methods.moco import Follower, Queue, check_queue, drawn, encode_shuffled, first_among
from hilum.methods.moco_cxr import Radiographs, Views
from hilum.methods.pictures import plain_squares
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.recipe import Recipe
from hilum.methods.schedule import Place
from hilum.models import Model
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder, ProjectionHead
from hilum.models.image_towers import TowerDescription, build_tower, tower_named
from hilum.models.preprocess_kinds import Squash
from hilum.models.text_towers import TextDescription
from hilum.models.tower_weights import load_pretrained

SHUFFLE = 0  # what `drawn` is asked for: the order of shuffled batch statistics


class S2MTS2(Recipe):
    """Liu et al. 2021; the authors' scripts where the paper is silent."""

    name: ClassVar[str] = "s2mts2"
    paper: ClassVar[str] = "Liu et al. 2021, arXiv 2103.03629"

    tower: str = Field("densenet121-leaky", description="image tower (code: DenseNet-121 with LeakyReLU of slope 0.1)")
    init: str = Field("imagenet", description="'random', 'imagenet' (the hub), or a file or model folder with weights")
    side_px: int = Field(256, gt=0, description="side of the tower's input (code)")
    canvas_px: int = Field(384, gt=0, description="longer side at which pictures are held before augmentation")
    keys: int = Field(5, gt=0, description="M: key views of an image (code: 5 for CheXpert, 2 for ChestX-ray14)")
    crop: tuple[float, float] = Field(
        (0.2, 1.0), description="share of the area that a view shows, least and most (code)"
    )
    jitter: float = Field(0.8, ge=0, le=1, description="share of views whose gray is changed (code)")
    erasing: bool = Field(False, description="erase a random rectangle of half of the views (code: for ChestX-ray14)")
    dim: int = Field(128, gt=0, description="width of the contrasted vectors (code)")
    queue: int = Field(65536, gt=0, description="means of keys kept as negatives; a multiple of batch_size (code)")
    key_momentum: float = Field(0.999, ge=0, le=1, description="share of itself that the key encoder keeps (code)")
    tau: float = Field(0.07, gt=0, description="softmax temperature (code)")
    ratio: float = Field(
        2.0,
        ge=0,
        description="weight of the keys' spread in the last epoch; it grows linearly from epoch to epoch (code)",
    )
    compat: bool = Field(
        False,
        description="as the released code: the head's first layer applied twice, means enqueued shorter than one, and in "
        "several processes a queue and batch statistics for each",
    )
    batch_size: int = Field(256, gt=1, description="images in a step over all devices (code)")
    epochs: float = Field(100, gt=0, description="passes over the training images (code)")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="code")
    learning_rate: float = Field(0.03, gt=0, description="code")
    weight_decay: float = Field(1e-4, ge=0, description="on everything (code)")
    decay_all: bool = Field(True, description="decay biases and norms too (code)")
    schedule: Literal["constant", "cosine", "cosine-squared", "linear", "steps", "plateau"] = Field(
        "cosine", description="of the learning rate, by epoch (as the authors ran it; code's other choice: steps)"
    )
    milestones: tuple[int, ...] = Field((60, 80), description="epochs after which schedule=steps divides by ten (code)")

    variants: ClassVar[dict[str, dict[str, Any]]] = {"chestx-ray14": {"keys": 2, "erasing": True}}
    tiny: ClassVar[dict[str, Any]] = {
        "tower": "resnet-tiny",
        "init": "random",
        "side_px": 64,
        "canvas_px": 80,
        "keys": 2,
        "crop": (0.85, 1.0),
        "jitter": 0.3,
        "dim": 64,
        "queue": 1024,
        "key_momentum": 0.99,
        "tau": 0.1,
        "batch_size": 32,
        "epochs": 30,
        "optimizer": "adam",
        "learning_rate": 1e-3,
    }

    def rate(self, place: Place) -> float:
        """The factor on the learning rate; the cosine of the original moves once an epoch."""
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * place.epoch / self.epochs))
        return super().rate(place)

    def spread_weight(self, step: int, steps: int) -> float:
        """lambda of the joint contrast: `ratio` * (epoch + 1) / epochs, the epoch from 0."""
        epoch = int(step * self.epochs / steps)
        return self.ratio * min(1.0, (epoch + 1) / self.epochs)


class S2MTS2Method(Method[S2MTS2, Radiographs, Views]):
    """An example is one image; a batch's `views` are (N, 1 + M, S, S): the query's, then the keys'.

    Args:
        recipe: the settings.
        tower: in place of the recipe's.

    Raises:
        RecipeError: the queue is not a multiple of the batch.
        ModelError: no such tower, or its initial weights are not to be had.

    Attributes:
        query: what is trained and exported.
        key: follows the query encoder, without gradients.
        queue: means of the last keys.
        spread_weight: lambda in the epoch under way.
    """

    needs_reports: ClassVar[bool] = False
    validates: ClassVar[bool] = False  # another set's queue would have to be filled for a loss that ranks nothing

    def __init__(self, recipe: S2MTS2, tower: TowerDescription | None = None) -> None:
        super().__init__(recipe)
        check_queue(recipe.name, recipe.queue, recipe.batch_size)
        self.preprocess = Squash(canvas_px=recipe.side_px)
        self.query = ImageEncoder(_architecture(recipe, tower))
        load_pretrained(self.query.image_tower, recipe.init)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self._follower = Follower(self.key, self.query)
        self.queue = Queue(recipe.dim, recipe.queue)
        self.spread_weight = recipe.spread_weight(0, 1)
        self._plan = _plan(recipe)
        self._seed, self._step = int(torch.randint(2**62, (), device="cpu")), 0

    def collect(self, share: Share, split: str, most: int | None = None) -> Radiographs:
        """The images of a split; see `Method.collect`."""
        return Radiographs.of(share, split, most, self.recipe.canvas_px)

    def read(self, examples: Radiographs, picks: np.ndarray, rng: np.random.Generator | None) -> Views:
        """The pictures at `picks`; without `rng` all views are as the exported model sees them."""
        assert examples.pictures is not None
        pictures = examples.pictures.read(picks)
        batch = Views(pictures.pixels, pictures.sizes)
        if rng is not None:
            return batch
        plain = plain_squares(pictures, self.preprocess)
        return replace(batch, views=plain.unsqueeze(1).repeat(1, 1 + self.recipe.keys, 1, 1))

    def augment(self, batch: Views, draws: torch.Generator) -> Views:
        """1 + M views of each picture, all drawn alike."""
        each = 1 + self.recipe.keys
        pictures = Pictures(batch.pixels.repeat(each, 1, 1), batch.sizes.repeat(each, 1))
        # All at once: one large batch costs less than several small ones.
        views = augment(pictures, self._plan, self.recipe.side_px, draws)
        return replace(batch, views=views.unflatten(0, (each, -1)).transpose(0, 1))

    def encode(self, batch: Views, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`query` (N, C) and `keys` (N, M, C), not normalized; keys are made without gradients."""
        assert batch.views is not None
        return self.project(self.preprocess.normalize(batch.views[:, 0]), self._key_floats(batch.views[:, 1:]), ranks)

    def project(self, queries: Tensor, keys: Tensor, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`encode` of floats: queries (N, 3, S, S) and keys (M * N, 3, S, S), view after view."""
        count = len(keys) * (1 if self.recipe.compat else ranks.world)
        order = torch.randperm(count, generator=drawn(self._seed, self._step, SHUFFLE)).to(keys.device)
        # Paper: the keys are shuffled inside of a process, which changes nothing. Here: over processes, as in MoCo.
        among = ALONE if self.recipe.compat else ranks
        rows = encode_shuffled(self.key.project, keys, among.agree(order), among)
        return {"query": self.query.project(queries), "keys": rows.unflatten(0, (-1, len(queries))).transpose(0, 1)}

    def losses(self, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """The joint contrast as `loss`, its parts `contrast` and `bound`, and `top1`: share of positives that are nearest."""
        query, keys = F.normalize(rows["query"], dim=-1), F.normalize(rows["keys"], dim=-1)
        # A copy: the queue may be written before the backward pass has read it.
        joint = joint_contrast(query, keys, self.queue.keys.T.clone(), self.recipe.tau, self.spread_weight)
        told = {"contrast": joint.contrast, "bound": joint.bound, "top1": first_among(joint.logits, 1)}
        return {"loss": joint.loss, **told}

    def before_step(self, step: int, steps: int, ranks: Ranks = ALONE) -> None:
        """The key encoder follows the query encoder as the last step left it; the spread counts more from epoch to epoch."""
        self._step, self.spread_weight = step, self.recipe.spread_weight(step, steps)
        self._follower.follow(self.recipe.key_momentum)

    def after_losses(self, batch: Views, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> None:
        """The means of the keys, of all processes, go into the queue."""
        means = F.normalize(rows["keys"].float(), dim=-1).mean(dim=1)
        if self.recipe.compat:
            self.queue.put(means)
            return
        # Paper: means as they are, shorter the more the views differ, so old images count less. Here: unit vectors.
        self.queue.put(ranks.gather_constant(F.normalize(means, dim=-1)))

    def architecture(self, text_tower: TextDescription | None = None) -> ImageArchitecture:
        """Of the query encoder."""
        return self.query.architecture

    def model(self, provenance: dict[str, Any], device: torch.device | str = "cpu") -> Model:
        """The query encoder, its pooled features as embeddings (it shares the weights)."""
        return Model(self.query, self.preprocess, None, provenance, device)

    def _key_floats(self, views: Tensor) -> Tensor:
        return self.preprocess.normalize(views.transpose(0, 1).flatten(0, 1))


def _plan(recipe: S2MTS2) -> Plan:
    """The paper's augmentation, with the recipe's crop and jitter."""

    def changed(step: Step) -> Step:
        if isinstance(step, RandomResizedCrop):
            return replace(step, scale=recipe.crop)
        return replace(step, p=recipe.jitter) if isinstance(step, Jitter) else step

    return tuple(changed(step) for step in plan("s2mts2-erasing" if recipe.erasing else "s2mts2", recipe.side_px))


def _architecture(recipe: S2MTS2, tower: TowerDescription | None) -> ImageArchitecture:
    tower = tower or tower_named(recipe.tower, recipe.side_px)
    width = build_tower(tower).feature_dim
    head = ProjectionHead(widths=(width, width, recipe.dim), twice=recipe.compat)
    return ImageArchitecture(tower=tower, head=head)
