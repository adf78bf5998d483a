"""GLoRIA: a radiograph and a sentence as wholes, and the regions of one against the words of the other.

Huang et al., "GLoRIA: A Multimodal Global-Local Representation Learning Framework for Label-efficient Medical Image Recognition",
ICCV 2021, doi 10.1109/ICCV48922.2021.00391.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from hilum.errors import RecipeError, TrainingError
from hilum.imaging.augment import Pictures, augment, plan
from hilum.methods.gloria_loss import global_contrast, local_contrast
from hilum.methods.image_sentence import ImageSentenceBatch, sentences_cut, training_texts
from hilum.methods.method import Examples, Method, Share, spread
from hilum.methods.pictures import PictureReader, plain_squares
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.recipe import Recipe
from hilum.methods.reports import refuse_no_texts
from hilum.methods.text_start import start_text
from hilum.models import Model
from hilum.models.gloria import GloriaArchitecture, GloriaEncoder
from hilum.models.gloria_text import training_sentences
from hilum.models.image_towers import tower_named
from hilum.models.pixel_statistics import HALF_MEAN, HALF_STD
from hilum.models.preprocess_kinds import LongerSidePadCrop
from hilum.models.text_towers import Bert, TextDescription
from hilum.models.tower_weights import load_pretrained
from hilum.reports import study_text

RESIZED = 256 / 224  # the padded square beside what is cut out of it


class GLoRIA(Recipe):
    """Huang et al. 2021, section 3 and 4; the released configuration where the paper is silent."""

    name: ClassVar[str] = "gloria"
    paper: ClassVar[str] = "Huang et al. 2021, doi 10.1109/ICCV48922.2021.00391"

    text_policy: str | None = Field("impression", description="which text of a report sentences are drawn from (paper)")
    views: Literal["frontal", "all"] = Field("frontal", description="frontal leaves lateral images out (released)")
    min_words: int = Field(2, gt=0, description="sentences of fewer words are left out (released)")
    full_report: bool = Field(
        False, description="all sentences as one caption, in place of one at random (released: no)"
    )
    compat: Literal["none", "gloria"] = Field(
        "none",
        description="gloria: sentences cut inside of decimals, and left out after exactly five words, as released",
    )
    tower: str = Field("resnet50", description="image tower by name (paper; also released: resnet18)")
    init: str = Field(
        "imagenet", description="image tower: 'imagenet' (paper) asks the hub, a weights file, or 'random'"
    )
    text_model: str = Field(
        "bio-clinicalbert",
        description="a local Hugging Face folder; 'bio-clinicalbert' (paper) asks the hub; or a size to start anew",
    )
    vocabulary: int = Field(8192, gt=100, description="pieces learned from the reports where text_model is a size")
    context: int = Field(97, gt=2, description="tokens of a sentence, and word slots of the encoder (released)")
    text_layers: int = Field(4, gt=0, description="last layers of the text tower that are summed (released)")
    side_px: int = Field(224, gt=0, description="side of the crops (released; of a square of 256/224 times that side)")
    canvas_px: int = Field(384, gt=0, description="longer side at which pictures are held before augmentation")
    upsample_px: int | None = Field(
        299, gt=0, description="side that crops are enlarged to for the tower (released); none: they are not"
    )
    attention: float = Field(4.0, gt=0, description="factor before the softmax over regions (released: temp1)")
    match: float = Field(5.0, gt=0, description="factor on the cosine of a word and what it finds (released: temp2)")
    sharpness: float = Field(10.0, gt=0, description="factor on the scores of pairs (released: temp3)")
    aggregation: Literal["sum", "mean"] = Field("sum", description="over the words of a sentence (paper)")
    local_weight: float = Field(1.0, ge=0, description="of the local loss (released); 0 leaves it out")
    global_weight: float = Field(
        1.0, gt=0, description="of the global loss (released); without it the tower's last stage would not be trained"
    )
    batch_size: int = Field(48, gt=1, description="images in a step over all devices (paper)")
    epochs: float = Field(50, gt=0, description="passes over the training images (released: at most 50)")
    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        "adam", description="adam: weight decay in the gradient (released)"
    )
    learning_rate: float = Field(5e-5, gt=0, description="paper")
    betas: tuple[float, float] = Field((0.5, 0.999), description="of Adam (released)")
    weight_decay: float = Field(1e-6, ge=0, description="released")
    decay_all: bool = Field(True, description="decay biases and norms too (released)")
    schedule: Literal["constant", "cosine", "cosine-squared", "steps", "plateau"] = Field(
        "plateau", description="halved when the validation loss stays (released)"
    )
    plateau_patience: int = Field(5, ge=0, description="validations without progress before it is halved (released)")
    clip_norm: float | None = Field(0.25, gt=0, description="largest gradient norm (released)")
    validate_every: int = Field(
        4000,
        gt=0,
        description="steps between validations; the best is kept (released: each epoch, as many on CheXpert)",
    )
    validation_images: int = Field(5000, gt=1, description="most images a validation looks at (released)")

    variants: ClassVar[dict[str, dict[str, Any]]] = {"resnet18": {"tower": "resnet18"}}
    tiny: ClassVar[dict[str, Any]] = {
        "tower": "resnet-tiny",
        "init": "random",
        "text_model": "bert-tiny",
        "vocabulary": 2000,
        "context": 64,
        "text_layers": 2,
        "side_px": 64,
        "canvas_px": 80,
        "upsample_px": 80,
        "batch_size": 48,
        "epochs": 30,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "betas": (0.9, 0.999),
        "weight_decay": 0.05,
        "decay_all": False,
        "schedule": "cosine",
        "warmup": 0.1,
        "clip_norm": 1.0,
        "validate_every": 100,
        "validation_images": 256,
    }


@dataclass
class ImagesWithSentences(Examples):
    """Images of a split, each with the sentences of its study."""

    pictures: PictureReader | None = None
    sentences: list[list[str]] = field(default_factory=list)


class GLoRIAMethod(Method[GLoRIA, ImagesWithSentences, ImageSentenceBatch]):
    """An example is one image and one sentence of its study's report."""

    def __init__(self, recipe: GLoRIA) -> None:
        """
        Raises:
            ModelError: no such tower.
        """
        super().__init__(recipe)
        side = recipe.upsample_px or recipe.side_px
        self.tower = tower_named(recipe.tower, side)
        self.preprocess = LongerSidePadCrop(
            canvas_px=recipe.side_px,
            resize_px=max(recipe.side_px, round(recipe.side_px * RESIZED)),
            mean=HALF_MEAN,
            std=HALF_STD,
        )
        self.plan = plan(recipe.name, recipe.side_px)
        self._said: dict[tuple[str, str], dict[str, list[str]]] = {}

    def prepare(self, shares: list[Share]) -> None:
        """Start the towers; a text tower without a folder learns its vocabulary from the training sentences.

        Raises:
            TrainingError: an archive without sentences to train on.
            RecipeError: the text tower has fewer layers than are summed.
            ModelError: a tower's weights are not to be had.
        """
        recipe = self.recipe
        said = [sentence for share in shares for sentence in training_texts(share, self._sentences(share))]
        text = start_text(recipe.text_model, said, recipe.context, recipe.vocabulary, cleaning="words")
        layers = int(text.tower.net.config.num_hidden_layers)
        if recipe.text_layers > layers:
            raise RecipeError(
                f"recipe gloria: text_layers={recipe.text_layers}, but text_model={recipe.text_model} has {layers} layers. "
                f"Give --set text_layers={layers}."
            )
        architecture = self.architecture(text.tower.description).model_copy(
            update={"slots": text.tokenizer.context_length, "last_id": text.tokenizer.last_id}
        )
        encoder = GloriaEncoder(architecture)
        encoder.text_tower = text.tower
        encoder.set_vocabulary(text.tokenizer)
        load_pretrained(encoder.image_tower, recipe.init)
        self.adopt(encoder, text.tokenizer)

    def adopt(self, encoder: GloriaEncoder, tokenizer: Any) -> None:
        """Train these towers, but for what no loss of the recipe reaches."""
        self.encoder, self.tokenizer = encoder, tokenizer
        for name, weight in encoder.text_tower.net.named_parameters():
            if name.startswith("pooler."):
                weight.requires_grad_(False)
        encoder.local_projection.requires_grad_(self.recipe.local_weight > 0)

    def collect(self, share: Share, split: str, most: int | None = None) -> ImagesWithSentences:
        """The images of a split whose study has a sentence; see `Method.collect`."""
        images = share.archive.images(["row", "image_id", "study_id", "view"], where=f"split = '{split}'")
        if self.recipe.views == "frontal":
            frontal = np.array([view != "lateral" for view in images["view"].to_pylist()], bool)
            if split == "train" and images.num_rows and not frontal.any():
                raise TrainingError(
                    f"{share.archive.path}: all {images.num_rows} training images are lateral, and recipe gloria has "
                    "views=frontal. Give --set views=all."
                )
            images = images.filter(frontal)
        of_study = self._sentences(share)
        said = [of_study.get(study_id, []) for study_id in images["study_id"].to_pylist()]
        kept = np.array([i for i, sentences in enumerate(said) if sentences], np.int64)
        without = len(said) - len(kept)
        if split == "train" and not len(kept):
            refuse_no_texts(share, split, without)
        kept = kept[spread(len(kept), most)]
        sentences = [said[i] for i in kept]
        ids = images["image_id"].take(kept).to_pylist()
        counts = {
            "images": images.num_rows,
            "images_without_text": without,
            "sentences": sum(map(len, sentences)),
            "texts_cut": sentences_cut(self.tokenizer, sentences),
        }
        reader = PictureReader(share.archive, images["row"].to_numpy()[kept], ids, self.recipe.canvas_px)
        return ImagesWithSentences(ids, counts, [". ".join(one) for one in sentences], reader, sentences)

    def read(
        self, examples: ImagesWithSentences, picks: np.ndarray, rng: np.random.Generator | None
    ) -> ImageSentenceBatch:
        """The pictures at `picks`, each with a random sentence; with its first one without `rng`."""
        assert examples.pictures is not None
        several = [examples.sentences[pick] for pick in picks]
        texts = [said[0 if rng is None else rng.integers(len(said))] for said in several]
        pictures = examples.pictures.read(picks)
        views = plain_squares(pictures, self.preprocess) if rng is None else None
        return ImageSentenceBatch(pictures.pixels, pictures.sizes, torch.from_numpy(self.tokenizer(texts)), views)

    def augment(self, batch: ImageSentenceBatch, draws: torch.Generator) -> ImageSentenceBatch:
        """A random crop of each padded picture."""
        pictures = Pictures(batch.pixels, batch.sizes)
        return replace(batch, views=augment(pictures, self.plan, self.recipe.side_px, draws))

    def encode(self, batch: ImageSentenceBatch, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`images` and `texts` (N, D); `regions` (N, D, h, w); `words` (N, D, slots), of which the first `lengths` (N,) count."""
        assert batch.views is not None
        regions, images = self.encoder.both_features(self.preprocess.normalize(batch.views))
        words = self.encoder.word_features(batch.ids)
        return {
            "images": images,
            "texts": self.encoder.sentences(words),
            "regions": regions,
            # As many slots whatever the batch, so that parts of a batch and batches of other processes fit together.
            "words": F.pad(words.features, (0, self.encoder.architecture.slots - words.features.shape[2])),
            "lengths": words.counts + 1,  # with [CLS], without [SEP]
        }

    def losses(self, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """Both directions of both contrasts, and their weighted sum."""
        recipe = self.recipe
        to_text, to_image = global_contrast(rows["images"], rows["texts"], recipe.sharpness, ranks)
        loss = recipe.global_weight * (to_text + to_image)
        parts = {"global_to_text": to_text, "global_to_image": to_image}
        if recipe.local_weight:
            to_text, to_image = local_contrast(
                rows["regions"],
                rows["words"],
                rows["lengths"],
                attention=recipe.attention,
                match=recipe.match,
                sharpness=recipe.sharpness,
                aggregation=recipe.aggregation,
                ranks=ranks,
            )
            loss = loss + recipe.local_weight * (to_text + to_image)
            parts |= {"local_to_text": to_text, "local_to_image": to_image}
        return {"loss": loss, **parts}

    def architecture(self, text_tower: TextDescription | None = None) -> GloriaArchitecture:
        """Both towers and the projections of an image; the paper's text tower where none is given."""
        return GloriaArchitecture(
            image_tower=self.tower,
            text_tower=text_tower or Bert(),
            upsample_px=self.recipe.upsample_px,
            text_layers=self.recipe.text_layers,
            slots=self.recipe.context,
        )

    def model(self, provenance: dict[str, Any], device: torch.device | str = "cpu") -> Model:
        """The encoder as it is, as a model (it shares the weights)."""
        return Model(self.encoder, self.preprocess, self.tokenizer, provenance, device)

    def _sentences(self, share: Share) -> dict[str, list[str]]:
        """What each study of an archive says, by id; read once for all splits."""
        key = (str(share.archive.path), share.policy)
        if key not in self._said:
            self._said[key] = {
                study["study_id"]: self._of_report(study_text(study, share.policy))
                for study in share.archive.studies().to_pylist()
            }
        return self._said[key]

    def _of_report(self, text: str) -> list[str]:
        compat = None if self.recipe.compat == "none" else self.recipe.compat
        sentences = training_sentences(text, self.recipe.min_words, compat)
        return [" ".join(sentences)] if self.recipe.full_report and sentences else sentences
