"""ConVIRT: a radiograph and one sentence of its report, each to be told from those of other studies.

Zhang et al., "Contrastive Learning of Medical Visual Representations from Paired Images and Text", 2020, arXiv 2010.00747.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hilum.errors import RecipeError
from hilum.imaging.augment import Pictures, augment, plan
from hilum.methods.contrast import two_way_nce
from hilum.methods.image_sentence import ImageSentenceBatch, sentences_cut, training_texts
from hilum.methods.method import Examples, Method, Share, spread
from hilum.methods.pictures import PictureReader, plain_squares
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.recipe import Recipe
from hilum.methods.report_sentences import study_sentences
from hilum.methods.reports import refuse_no_texts
from hilum.methods.schedule import Place
from hilum.methods.text_start import start_text
from hilum.methods.views import StudyViews
from hilum.models import Model
from hilum.models.image_text import ImageTextArchitecture, ImageTextEncoder
from hilum.models.image_towers import tower_named
from hilum.models.preprocess_kinds import PadThenResize
from hilum.models.projections import Projection
from hilum.models.text_towers import Bert, TextDescription
from hilum.models.tower_weights import imagenet_statistics, load_pretrained


class ConVIRT(Recipe):
    """Zhang et al. 2020, sections 2 to 4; the authors' script where the paper is silent. Where they differ, the paper."""

    name: ClassVar[str] = "convirt"
    paper: ClassVar[str] = "Zhang et al. 2020, arXiv 2010.00747"

    text_policy: str | None = Field(
        "sections", description="which text sentences are drawn from: all sections (paper), or a text policy"
    )
    longer_than: int = Field(3, ge=0, description="sentences of so many words or fewer are left out (code)")
    tower: str = Field("resnet50", description="image tower by name (paper)")
    init: str = Field(
        "imagenet", description="image tower: 'imagenet' (paper) asks the hub, a weights file, or 'random'"
    )
    text_model: str = Field(
        "bio-clinicalbert",
        description="a local Hugging Face folder; 'bio-clinicalbert' (paper) asks the hub; or a size to start anew",
    )
    vocabulary: int = Field(8192, gt=100, description="pieces learned from the reports where text_model is a size")
    context: int = Field(512, gt=2, description="tokens of a sentence; the rest is cut and counted (code: no limit)")
    frozen_layers: int | None = Field(
        6,
        ge=-1,
        description="first layers of the text tower that are not trained, nor its embeddings (paper; script: -1, all); "
        "none: everything is trained",
    )
    pooling: Literal["max", "mean", "bos"] = Field(
        "max", description="over a sentence's tokens, [CLS] and [SEP] with them (paper; script: mean)"
    )
    embed_dim: int = Field(512, gt=0, description="width of the shared space (paper)")
    tau: float = Field(0.1, gt=0, description="softmax temperature (paper)")
    image_weight: float = Field(
        0.75, ge=0, le=1, description="lambda: weight of image to text (paper; script: 0.5, one direction)"
    )
    side_px: int = Field(224, gt=0, description="the image tower's input (paper)")
    canvas_px: int = Field(384, gt=0, description="longer side at which pictures are held before augmentation")
    augmentation: str = Field("convirt", description="augmentation plan (paper's: crop, mirror, turn, brighten, blur)")
    text_rate: float = Field(1.0, gt=0, description="factor on the learning rate for the text tower (script: 1)")
    batch_size: int = Field(32, gt=1, description="studies in a step over all devices (paper)")
    epochs: float = Field(
        147,
        gt=0,
        description="passes over the training studies (script: at most 200 x 5000 steps, so many on MIMIC-CXR)",
    )
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adam", description="adam: weight decay in the gradient (paper)")
    learning_rate: float = Field(1e-4, gt=0, description="paper")
    eps: float = Field(1e-6, gt=0, description="of Adam (script)")
    weight_decay: float = Field(1e-6, ge=0, description="paper")
    decay_all: bool = Field(True, description="decay biases and norms too (script)")
    schedule: Literal["constant", "cosine", "cosine-squared", "steps", "plateau"] = Field(
        "plateau", description="halved when the validation loss stays (script)"
    )
    plateau_patience: int = Field(5, ge=0, description="validations without progress before it is halved (script)")
    least_rate: float = Field(1e-8, ge=0, description="where schedule=plateau stops halving (script)")
    clip_norm: float | None = Field(5.0, gt=0, description="largest gradient norm (script)")
    validate_every: int = Field(5000, gt=0, description="steps between validations; the best is kept (script)")

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "script": {"pooling": "mean", "frozen_layers": -1, "image_weight": 1.0},  # the released script's defaults
    }
    tiny: ClassVar[dict[str, Any]] = {
        "text_policy": "impression",  # few studies: what other sections say of the past and the technique drowns the rest
        "tower": "resnet-tiny",
        "init": "random",
        "text_model": "bert-tiny",
        "vocabulary": 2000,
        "context": 64,
        "frozen_layers": None,
        "longer_than": 1,
        "embed_dim": 128,
        "side_px": 64,
        "canvas_px": 80,
        "augmentation": "moco-cxr",
        "batch_size": 64,
        "epochs": 30,
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "weight_decay": 0.05,
        "decay_all": False,
        "schedule": "cosine",
        "warmup": 0.1,
        "clip_norm": 1.0,
        "validate_every": 100,
        "validation_images": 256,
    }

    def rate(self, place: Place) -> float:
        """The factor on the learning rate."""
        factor = super().rate(place)
        return max(factor, self.least_rate / self.learning_rate) if self.schedule == "plateau" else factor


@dataclass
class SentenceStudies(Examples):
    """Studies of a split, each with its pictures and sentences."""

    pictures: PictureReader | None = None
    views: StudyViews | None = None
    sentences: list[list[str]] = field(default_factory=list)


class ConVIRTMethod(Method[ConVIRT, SentenceStudies, ImageSentenceBatch]):
    """An example is a study: one of its images, of any view, and one of its sentences."""

    def __init__(self, recipe: ConVIRT) -> None:
        """
        Raises:
            ModelError: no such tower.
        """
        super().__init__(recipe)
        self.tower = tower_named(recipe.tower, recipe.side_px)
        mean, std = imagenet_statistics(self.tower)
        self.preprocess = PadThenResize(canvas_px=recipe.side_px, mean=mean, std=std)
        self.plan = plan(recipe.augmentation, recipe.side_px)
        self._said: dict[tuple[str, str], dict[str, list[str]]] = {}

    def prepare(self, shares: list[Share]) -> None:
        """Start the towers; a text tower without a folder learns its vocabulary from the training sentences.

        Raises:
            TrainingError: an archive without sentences to train on.
            RecipeError: layers of a text tower that starts from random weights would stay as they are.
            ModelError: a tower's weights are not to be had, or its layers are fewer than those to freeze.
        """
        recipe = self.recipe
        said = [sentence for share in shares for sentence in training_texts(share, self._sentences(share))]
        text = start_text(recipe.text_model, said, recipe.context, recipe.vocabulary)
        if text.tensors == 0 and recipe.frozen_layers is not None:
            raise RecipeError(
                f"recipe convirt: text_model={recipe.text_model} starts from random weights, and frozen_layers="
                f"{recipe.frozen_layers} would leave them random. Give --set frozen_layers=none, or a folder with weights."
            )
        encoder = ImageTextEncoder(self.architecture(text.tower.description))
        encoder.text_tower = text.tower
        load_pretrained(encoder.image_tower, recipe.init)
        self.adopt(encoder, text.tokenizer)

    def adopt(self, encoder: ImageTextEncoder, tokenizer: Any) -> None:
        """Train these towers, the recipe's part of them frozen."""
        self.encoder, self.tokenizer = encoder, tokenizer
        if self.recipe.frozen_layers is not None:
            encoder.text_tower.freeze(self.recipe.frozen_layers)
        for name, weight in encoder.text_tower.net.named_parameters():
            if name.startswith("pooler."):  # which no pooling here reaches
                weight.requires_grad_(False)

    def collect(self, share: Share, split: str, most: int | None = None) -> SentenceStudies:
        """The studies of a split that have an image and a sentence; see `Method.collect`."""
        images = share.archive.images(["row", "image_id", "study_id", "view"], where=f"split = '{split}'")
        views = StudyViews.of(images["study_id"].to_pylist(), images["view"].to_pylist())
        of_study = self._sentences(share)
        kept = [i for i, study_id in enumerate(views.study_ids) if of_study.get(study_id)]
        without = len(views) - len(kept)
        if split == "train" and not kept:
            refuse_no_texts(share, split, without)
        kept = [kept[i] for i in spread(len(kept), most)]
        views = views.only(kept)
        sentences = [of_study[study_id] for study_id in views.study_ids]
        ids = images["image_id"].to_pylist()
        counts = {
            "images": len(views.order),
            "studies": len(views),
            "studies_without_text": without,
            "sentences": sum(map(len, sentences)),
            "texts_cut": sentences_cut(self.tokenizer, sentences),
        }
        reader = PictureReader(share.archive, images["row"].to_numpy(), ids, self.recipe.canvas_px)
        of_image = [[ids[i] for i in views.of_study(number)] for number in range(len(views))]
        said_of = ["\n".join([*names, *one]) for names, one in zip(of_image, sentences, strict=True)]
        return SentenceStudies([names[0] for names in of_image], counts, said_of, reader, views, sentences)

    def read(self, examples: SentenceStudies, picks: np.ndarray, rng: np.random.Generator | None) -> ImageSentenceBatch:
        """A random image and a random sentence of each study; the first of each without `rng`."""
        assert examples.pictures is not None
        assert examples.views is not None
        images, texts = [], []
        for pick in picks:
            of_study, sentences = examples.views.of_study(pick), examples.sentences[pick]
            images.append(of_study[0 if rng is None else rng.integers(len(of_study))])
            texts.append(sentences[0 if rng is None else rng.integers(len(sentences))])
        pictures = examples.pictures.read(np.array(images))
        views = plain_squares(pictures, self.preprocess) if rng is None else None
        return ImageSentenceBatch(pictures.pixels, pictures.sizes, torch.from_numpy(self.tokenizer(texts)), views)

    def augment(self, batch: ImageSentenceBatch, draws: torch.Generator) -> ImageSentenceBatch:
        """Crop, mirror, turn, brighten and blur each picture at random."""
        pictures = Pictures(batch.pixels, batch.sizes)
        return replace(batch, views=augment(pictures, self.plan, self.recipe.side_px, draws))

    def encode(self, batch: ImageSentenceBatch, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`images` and `texts`, each (N, D), not normalized."""
        assert batch.views is not None
        images = self.encoder.encode_images(self.preprocess.normalize(batch.views))
        return {"images": images, "texts": self.encoder.encode_texts(batch.ids)}

    def losses(self, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """The weighted contrast of both directions."""
        return two_way_nce(rows["images"], rows["texts"], self.recipe.tau, self.recipe.image_weight, ranks)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """As `Method.parameter_groups`, the text tower's at a rate of its own."""
        of_text = {id(weight) for weight in self.encoder.text_tower.parameters()}
        groups = []
        for group in super().parameter_groups():
            for rate, is_text in ((1.0, False), (self.recipe.text_rate, True)):
                weights = [weight for weight in group["params"] if (id(weight) in of_text) is is_text]
                if weights:
                    groups.append({**group, "params": weights, "rate": rate})
        return groups

    def model(self, provenance: dict[str, Any], device: torch.device | str = "cpu") -> Model:
        """The two towers and their projections, as a model (it shares the weights)."""
        return Model(self.encoder, self.preprocess, self.tokenizer, provenance, device)

    def architecture(self, text_tower: TextDescription | None = None) -> ImageTextArchitecture:
        """Both towers, each with two layers of projection; the paper's text tower where none is given."""
        return ImageTextArchitecture(
            image_tower=self.tower,
            text_tower=text_tower or Bert(),
            embed_dim=self.recipe.embed_dim,
            pooling=self.recipe.pooling,
            image_projection=Projection(form="mlp-relu"),
            text_projection=Projection(form="mlp-relu"),
            logit_scale=None,
        )

    def _sentences(self, share: Share) -> dict[str, list[str]]:
        """What each study of an archive says, by id; read once for all splits."""
        key = (str(share.archive.path), share.policy)
        if key not in self._said:
            self._said[key] = {
                study["study_id"]: study_sentences(study, share.policy, self.recipe.longer_than)
                for study in share.archive.studies().to_pylist()
            }
        return self._said[key]
