"""REFERS: a radiograph transformer learns from the report of a study, by telling it from other reports and by writing it.

Zhou et al., "Generalized radiograph representation learning via cross-supervision between images and free-text radiology reports",
Nature Machine Intelligence 2022, doi 10.1038/s42256-021-00425-9.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from hilum.errors import TrainingError
from hilum.imaging.augment import plan
from hilum.methods.method import Method, Share, spread
from hilum.methods.pictures import PictureReader, plain_squares
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.recipe import Recipe
from hilum.methods.refers_captions import mirrored
from hilum.methods.refers_fusion import ViewFusion
from hilum.methods.refers_generator import ReportGenerator
from hilum.methods.refers_loss import backwards, caption_cost, mean_cost, report_contrast
from hilum.methods.refers_studies import Studies, StudyBatch, augmented, draw_views, training_texts
from hilum.methods.report_decoding import decode
from hilum.methods.report_pieces import ReportPieces
from hilum.methods.reports import refuse_no_texts, study_texts
from hilum.methods.text_start import start_text
from hilum.methods.views import StudyViews
from hilum.models import Model
from hilum.models.hf_folder import TextModel
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder
from hilum.models.image_towers import TowerDescription, tower_named
from hilum.models.preprocess_kinds import Squash
from hilum.models.text_towers import TextDescription
from hilum.models.tower_weights import load_pretrained

# As released: what weight decay spares, by name and with its case ("LayerNorm" is no "norm").
_RELEASED_SPARED = re.compile(r".*(norm.*|bias)")


class Refers(Recipe):
    """Zhou et al. 2022; the released configuration where the paper is silent."""

    name: ClassVar[str] = "refers"
    paper: ClassVar[str] = "Zhou et al. 2022, doi 10.1038/s42256-021-00425-9"

    tower: str = Field("vit-b-16", description="image tower: one whose local tokens are as wide as its feature (a ViT)")
    init: str = Field(
        "imagenet", description="'random', 'imagenet' (the hub), or a file: Google's ViT-B_16.npz as in the paper"
    )
    side_px: int = Field(224, gt=0, description="side of the tower's input")
    canvas_px: int = Field(384, gt=0, description="longer side at which pictures are held before augmentation")
    views: int = Field(
        3, gt=0, description="views a study is shown by; drawn without replacement as far as there are any"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="of the image tower and the generator (released code)")
    text_model: str = Field(
        "bio-clinicalbert",
        description="report encoder: a local Hugging Face folder, 'bio-clinicalbert' (the hub), or a size such as "
        "bert-tiny, from scratch",
    )
    text_vocabulary: int = Field(
        4096, gt=10, description="pieces of the report encoder's vocabulary where it is learned"
    )
    text_length: int = Field(100, gt=2, description="tokens of a report that the report encoder reads (code)")
    text_pooling: Literal["cls", "bos", "mean"] = Field(
        "cls", description="cls: BERT's pooler (code); bos: its first token, for towers without a pooler"
    )
    tau: float = Field(0.1, gt=0, description="softmax temperature of the contrast")
    image_weight: float = Field(0.75, ge=0, le=1, description="share of the direction image to text")
    captioning: Literal["forward", "both"] = Field(
        "forward", description="write reports from the start (as released), or from the end as well (its option)"
    )
    pieces: str | None = Field(
        None, description="a SentencePiece .model file for the generator; none: pieces are learned from the reports"
    )
    vocabulary: int = Field(10_000, gt=10, description="pieces of the generator (code)")
    report_length: int = Field(
        100, gt=2, description="ids of a report that the generator learns; the rest is cut (code)"
    )
    generator_width: int = Field(1024, gt=0, description="H (code)")
    generator_layers: int = Field(1, gt=0, description="code")
    generator_heads: int = Field(16, gt=0, description="code")
    generator_feed_forward: int = Field(4096, gt=0, description="code")
    compat: bool = Field(
        False,
        description="as the released code: reports learn nothing from the direction text to image, views drawn with "
        "replacement and in no order, each mirrored apart, 'left' and 'right' exchanged inside of words, unknown words "
        "unlearned, BERT's norms decayed",
    )
    batch_size: int = Field(
        2, gt=1, description="studies in a step over all devices (released configuration; give more)"
    )
    epochs: float = Field(3.6, gt=0, description="passes; 400,000 steps of 2 over MIMIC-CXR's studies (configuration)")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="configuration")
    learning_rate: float = Field(3e-3, gt=0, description="configuration")
    text_learning_rate: float = Field(3e-4, gt=0, description="of the report encoder (configuration)")
    weight_decay: float = Field(1e-4, ge=0, description="on weights (configuration)")
    schedule: Literal["constant", "cosine", "cosine-squared", "linear", "steps", "plateau"] = Field(
        "cosine-squared", description="of the learning rate (configuration; the code's other choice: linear)"
    )
    warmup: float = Field(0.025, ge=0, lt=1, description="share of the steps: 10,000 of 400,000 (configuration)")
    clip_norm: float | None = Field(10.0, gt=0, description="largest gradient norm (configuration)")
    validate_every: int = Field(5000, gt=0, description="steps between validations; the best is kept")
    lookahead_k: int | None = Field(5, gt=0, description="steps between moves of the slow weights; none: no Lookahead")
    lookahead_alpha: float = Field(0.5, gt=0, le=1, description="how far the slow weights move (configuration)")

    tiny: ClassVar[dict[str, Any]] = {
        "tower": "vit-mini",
        "init": "random",
        "side_px": 64,
        "canvas_px": 80,
        "dropout": 0.0,
        "text_model": "bert-tiny",
        "text_vocabulary": 1024,
        "text_length": 64,
        "vocabulary": 512,
        "report_length": 64,
        "generator_width": 128,
        "generator_heads": 4,
        "generator_feed_forward": 256,
        "batch_size": 32,
        "epochs": 20,
        "optimizer": "adamw",
        "learning_rate": 5e-4,
        "text_learning_rate": 5e-4,
        "weight_decay": 0.05,
        "warmup": 0.1,
        "clip_norm": 1.0,
        "validate_every": 100,
        "lookahead_k": None,
        "validation_images": 256,
    }


class ReportEncoder(nn.Module):
    """A report as one vector as long as the vectors of a study's views joined."""

    def __init__(self, text: TextModel, pooling: Literal["cls", "bos", "mean"], width: int) -> None:
        super().__init__()
        self.tower, self.pooling = text.tower, pooling
        self.projection = nn.Linear(text.tower.width, width)

    def forward(self, ids: Tensor) -> Tensor:
        """(N, T) ids to (N, width)."""
        return self.projection(self.tower(ids, self.pooling))


class RefersMethod(Method[Refers, Studies, StudyBatch]):
    """An example is one study: its views and its report.

    Args:
        recipe: the settings.
        tower: in place of the recipe's.

    Raises:
        ModelError: no such tower, or its initial weights are not to be had.
        TrainingError: the tower's local tokens are not as wide as its feature.

    Attributes:
        encoder: the image tower, what is exported.
    """

    @property
    def asks_zero_shot(self) -> bool:
        """No: what is exported is the image tower alone."""
        return False

    def __init__(self, recipe: Refers, tower: TowerDescription | None = None) -> None:
        super().__init__(recipe)
        tower = tower or _tower(recipe)
        self.preprocess = Squash(canvas_px=recipe.side_px)
        self.encoder = ImageEncoder(ImageArchitecture(tower=tower))
        image_tower = self.encoder.image_tower
        if image_tower.local_dim != image_tower.feature_dim:
            raise TrainingError(
                f"recipe refers: tower={recipe.tower} has local tokens {image_tower.local_dim} wide and a feature "
                f"{image_tower.feature_dim} wide, which cannot be added. Take a vision transformer such as vit-b-16."
            )
        load_pretrained(image_tower, recipe.init)
        self.fusion = ViewFusion(image_tower.feature_dim, recipe.views)
        self._plan = plan("refers", recipe.side_px)

    def prepare(self, shares: list[Share]) -> None:
        """Learn the vocabularies of the training reports, and build what depends on them."""
        texts = [text for share in shares for text in training_texts(share)]
        if not texts:
            refuse_no_texts(shares[0], "train", 0)
        recipe = self.recipe
        if recipe.pieces is not None:
            pieces = ReportPieces.from_sentencepiece(recipe.pieces, recipe.compat)
        else:
            pieces = ReportPieces.learned_from(texts, recipe.vocabulary, recipe.compat)
        pooled = recipe.text_pooling == "cls"
        text = start_text(recipe.text_model, texts, recipe.text_length, recipe.text_vocabulary, pooler=pooled)
        if pooled and getattr(text.tower.net, "pooler", None) is None:
            raise TrainingError(
                f"recipe refers: the report encoder text_model={recipe.text_model} has no pooler, which text_pooling=cls "
                "reads. Give text_pooling=bos."
            )
        self.build(pieces, text)

    def build(self, pieces: ReportPieces, text: TextModel) -> None:
        """The report encoder and the generator, for these vocabularies."""
        self.tokenizer = text.tokenizer
        self.report_encoder = ReportEncoder(text, self.recipe.text_pooling, self.recipe.views * self.encoder.embed_dim)
        self.build_generator(pieces)

    def build_generator(self, pieces: ReportPieces) -> None:
        """The generator, for its vocabulary; the buffer `spelling` keeps that with the weights.

        Raises:
            TrainingError: its width does not divide by its heads.
        """
        recipe, width = self.recipe, self.encoder.embed_dim
        self.pieces = pieces
        said = json.dumps(pieces.to_json(), sort_keys=True).encode()
        self.register_buffer("spelling", torch.frombuffer(bytearray(said), dtype=torch.uint8))
        if recipe.generator_width % recipe.generator_heads:
            raise TrainingError(
                f"recipe refers: generator_width={recipe.generator_width} does not divide by "
                f"generator_heads={recipe.generator_heads}. Change one."
            )
        shape = (
            width,
            pieces.size,
            recipe.generator_width,
            recipe.generator_layers,
            recipe.generator_heads,
            recipe.generator_feed_forward,
            recipe.report_length,
            recipe.dropout,
        )
        self.generator = ReportGenerator(*shape)
        both = recipe.captioning == "both"
        self.backward_generator = ReportGenerator(*shape, sharing=self.generator) if both else None

    @classmethod
    def writer(cls, recipe: Refers, state: dict[str, Tensor]) -> RefersMethod:
        """What `write` needs, from a state that was saved: everything but the report encoder.

        Args:
            recipe: of the run.
            state: the method's `state_dict`.
        """
        method = cls(recipe.model_copy(update={"init": "random"}))
        pieces = json.loads(bytes(state["spelling"].numpy()).decode())
        method.build_generator(ReportPieces.from_json(pieces))
        needed = {name: tensor for name, tensor in state.items() if not name.startswith("report_encoder.")}
        method.load_state_dict(needed, strict=True)
        return method.eval()

    def collect(self, share: Share, split: str, most: int | None = None) -> Studies:
        """The studies of a split that have a text; see `Method.collect`."""
        images = share.archive.images(["image_id", "study_id", "view"], where=f"split = '{split}'")
        ids, rows = images["image_id"].to_pylist(), images["row"].to_numpy()
        views = StudyViews.of(images["study_id"].to_pylist(), images["view"].to_pylist())
        texts_of = study_texts(share)
        texts = [texts_of.get(study_id) or "" for study_id in views.study_ids]
        without = sum(not text.strip() for text in texts)
        keep = np.array([number for number, text in enumerate(texts) if text.strip()], np.int64)
        if split == "train" and not len(keep):
            refuse_no_texts(share, split, without)
        keep = keep[spread(len(keep), most)]
        kept, texts = views.only(keep.tolist()), [texts[number] for number in keep]
        counts = {
            "studies": len(views),
            "studies_without_text": without,
            "studies_used": len(texts),
            "images": len(kept.order),
            "texts_cut": int((self.pieces.lengths(texts) > self.recipe.report_length).sum()),
        }
        said = [" ".join([*(ids[i] for i in kept.of_study(n)), text]) for n, text in enumerate(texts)]
        first = [ids[kept.of_study(number)[0]] for number in range(len(texts))]
        reader = PictureReader(share.archive, rows, ids, self.recipe.canvas_px)
        return Studies(first, counts, said, texts, kept, reader)

    def read(self, examples: Studies, picks: np.ndarray, rng: np.random.Generator | None) -> StudyBatch:
        """The studies at `picks`; without `rng` their first views, as the exported model sees them."""
        assert examples.pictures is not None
        assert examples.views is not None
        recipe, views = self.recipe, examples.views
        chosen = np.stack([draw_views(views, int(number), recipe.views, rng, recipe.compat) for number in picks])
        pictures = examples.pictures.read(chosen.reshape(-1))
        texts = [examples.texts[number] for number in picks]
        exchanged = [mirrored(text, recipe.compat) for text in texts] if rng is not None else texts
        words = [self.pieces.rows(said, recipe.report_length) for said in (texts, exchanged)]
        batch = StudyBatch(
            pictures.pixels.unflatten(0, chosen.shape),
            pictures.sizes.unflatten(0, chosen.shape),
            *(torch.from_numpy(self.tokenizer(said)) for said in (texts, exchanged)),
            *(torch.from_numpy(rows) for rows, _ in words),
            *(torch.from_numpy(lengths) for _, lengths in words),
        )
        if rng is not None:
            return batch
        squares = plain_squares(pictures, self.preprocess)
        return replace(batch, views=squares.unflatten(0, chosen.shape))

    def augment(self, batch: StudyBatch, draws: torch.Generator) -> StudyBatch:
        """Crop, mirror and change the gray of the views; a mirrored study has left and right exchanged in its report."""
        return augmented(batch, self._plan, self.recipe.side_px, draws, self.recipe.compat)

    def encode(self, batch: StudyBatch, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`images` and `texts` (N, V * W), and `cost` and `words` (N,) of the report as it is written (`backward_cost`)."""
        assert batch.views is not None
        classes, fused = self.look(batch.views)
        logits = self.generator(fused, batch.tokens, batch.lengths)
        cost, words = caption_cost(logits, batch.tokens, self.pieces.pad_id)
        rows = {"images": classes.flatten(1), "texts": self.report_encoder(batch.ids), "cost": cost, "words": words}
        if self.backward_generator is not None:
            reverse = backwards(batch.tokens, batch.lengths)
            logits = self.backward_generator(fused, reverse, batch.lengths)
            rows["backward_cost"], rows["backward_words"] = caption_cost(logits, reverse, self.pieces.pad_id)
        return rows

    def look(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Views (N, V, S, S) uint8 as class tokens (N, V, W) and the fused sequence of all patches (N, V * P, W)."""
        maps = self.encoder.image_tower.feature_maps(self.preprocess.normalize(views.flatten(0, 1)))
        classes = maps.pooled.unflatten(0, views.shape[:2])
        patches = maps.local.flatten(2).transpose(1, 2).unflatten(0, views.shape[:2])  # (N, V, P, W)
        return classes, self.fusion(patches + classes.unsqueeze(2))

    def losses(self, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`contrast` with the reports, `caption` (and `backward_caption`): cost per word; `loss` is their sum."""
        recipe = self.recipe
        told = {
            "contrast": report_contrast(
                rows["images"], rows["texts"], recipe.tau, recipe.image_weight, recipe.compat, ranks
            ),
            "caption": mean_cost(rows["cost"], rows["words"], ranks),
        }
        if "backward_cost" in rows:
            told["backward_caption"] = mean_cost(rows["backward_cost"], rows["backward_words"], ranks)
        return {"loss": torch.stack(list(told.values())).sum(), **told}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The report encoder at its own rate; norms and biases without weight decay."""
        recipe = self.recipe
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                spared = released_spares(name) if recipe.compat else parameter.ndim < 2 and not recipe.decay_all
                key = (rate_of(name, recipe), 0.0 if spared else recipe.weight_decay)
                groups.setdefault(key, []).append(parameter)
        return [{"params": params, "weight_decay": wd, "rate": rate} for (rate, wd), params in groups.items()]

    @torch.no_grad()
    def write(self, views: Tensor, beams: int = 1) -> list[str]:
        """Reports of studies, in lower case.

        Args:
            views: (N, V, S, S) uint8, as `read` without `rng` gives them.
            beams: reports kept under way; 1 takes the most probable word each time.
        """
        was_training = self.training
        self.eval()
        _, fused = self.look(views)
        pieces = self.pieces
        ids, _ = decode(self.generator, fused, pieces.start_id, pieces.end_id, beams=beams, never=pieces.never)
        self.train(was_training)
        return [pieces.text(row) for row in ids.tolist()]

    def architecture(self, text_tower: TextDescription | None = None) -> ImageArchitecture:
        """Of the image tower."""
        return self.encoder.architecture

    def model(self, provenance: dict[str, Any], device: torch.device | str = "cpu") -> Model:
        """The image tower, its class token as embeddings (it shares the weights)."""
        return Model(self.encoder, self.preprocess, None, provenance, device)


def rate_of(name: str, recipe: Refers) -> float:
    """The factor on the learning rate for a parameter by name."""
    return recipe.text_learning_rate / recipe.learning_rate if name.startswith("report_encoder.") else 1.0


def released_spares(name: str) -> bool:
    """Whether the released code spares a parameter of this name from weight decay."""
    return _RELEASED_SPARED.match(name) is not None


def _tower(recipe: Refers) -> TowerDescription:
    tower = tower_named(recipe.tower, recipe.side_px)
    if "dropout" in type(tower).model_fields:
        return tower.model_copy(update={"dropout": recipe.dropout})
    return tower
