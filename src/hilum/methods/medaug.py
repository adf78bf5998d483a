"""MedAug: MoCo whose positives are two images of one patient, and whose negatives may be chosen by view.

Vu et al., "MedAug: Contrastive learning leveraging patient metadata improves representations for chest X-ray interpretation",
MLHC 2021, arXiv 2102.10663.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hilum.errors import RecipeError, TrainingError
from hilum.imaging.augment import Pictures
from hilum.methods import hard_negatives as hard
from hilum.methods.hard_negatives import Facts
from hilum.methods.method import Examples, Share
from hilum.methods.moco_cxr import MoCoCXR, MomentumContrast, Views, images_of, told
from hilum.methods.patient_pairs import FRONTAL, LATERAL, UNKNOWN, PatientPairs, Policy, laterality_of
from hilum.methods.pictures import PictureReader, plain_squares
from hilum.methods.ranks import ALONE, Ranks
from hilum.models.image_towers import TowerDescription

NEGATIVES = 1  # what `drawn` is asked for: the slots of hard negatives
MARGIN = 4.0  # standard deviations that the count of a view in the queue may fall short of its expectation


class MedAug(MoCoCXR):
    """Vu et al. 2021; the published script, with the tower of the comparison (the script's is resnet18)."""

    name: ClassVar[str] = "medaug"
    paper: ClassVar[str] = "Vu et al. 2021, arXiv 2102.10663"

    study: Literal["any", "same", "different"] = Field(
        "same", description="which studies of the patient a partner may come from (paper's best: same)"
    )
    laterality: Literal["any", "same", "different"] = Field(
        "any", description="whether a partner is frontal or lateral as the image is (paper's best: any)"
    )
    self_pairs: bool = Field(
        True,
        description="an image that passes its own filters is one of its candidates (code); else only for want of others",
    )
    hard_negatives: Literal["none", "append", "synthesize", "reweight", "lateral-only", "subsample"] = Field(
        "none", description="use of negatives that show the query's view (script: none)"
    )
    append_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="append, synthesize: slots of the query's view that count twice, per slot of the queue",
    )
    hard_share: float = Field(0.9, gt=0, lt=1, description="reweight, subsample: what hard negatives are to make up")
    mask_positives: bool = Field(
        False,
        description="leave slots that hold a possible partner out of all negatives (released: only lateral-only does)",
    )
    compat: Literal["medaug"] | None = Field(
        None, description="medaug: as released, with what its metadata gets wrong; see the page on MedAug"
    )

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "script": {"tower": "resnet18"},
        "resnet18": {"tower": "resnet18"},
        "densenet121": {"tower": "densenet121"},
        "released": {"tower": "resnet18", "compat": "medaug"},
    }
    tiny: ClassVar[dict[str, Any]] = dict(MoCoCXR.tiny)

    @property
    def policy(self) -> Policy:
        """The filters on a patient's images."""
        return Policy(
            same_study=self.study == "same",
            different_study=self.study == "different",
            same_laterality=self.laterality == "same",
            different_laterality=self.laterality == "different",
        )


@dataclass
class PatientImages(Examples):
    """Images of a split, whom they show, and which may be paired.

    Attributes:
        pictures: reads them.
        pairs: draws partners.
        facts: (N, 3) int64, patient, study and laterality as the queue keeps them.
    """

    pictures: PictureReader | None = None
    pairs: PatientPairs | None = None
    facts: np.ndarray | None = None


@dataclass
class PairViews(Views):
    """Each image (`pixels`, `sizes`, `facts` (N, 3)) with its partner, and a view of each."""

    stays: ClassVar[frozenset[str]] = frozenset({"sizes", "partner_sizes"})

    partner_pixels: Tensor | None = None
    partner_sizes: Tensor | None = None
    facts: Tensor | None = None
    partner_facts: Tensor | None = None


class MedAugMethod(MomentumContrast[MedAug, PatientImages, PairViews]):
    """An example is one image; its partner is drawn anew each time.

    The image goes to the query encoder, its partner to the key encoder, and the queue keeps the partner's patient, study and
    view beside its key. As released (`compat`) it is the other way round with the same metadata, which then tells of
    another image than the key's.
    """

    facts: ClassVar[tuple[str, ...]] = Facts._fields

    def __init__(self, recipe: MedAug, tower: TowerDescription | None = None) -> None:
        super().__init__(recipe, tower)
        self._as_released = recipe.compat == "medaug"
        if recipe.hard_negatives in ("append", "synthesize") and not self._appended:
            raise RecipeError(
                f"recipe medaug: append_share={recipe.append_share} of queue={recipe.queue} is not one slot. "
                f"Give append_share={1 / recipe.queue:.2g} or more, or a longer queue."
            )

    def prepare(self, shares: list[Share]) -> None:
        """Check that the archives have the views that hard negatives need.

        Raises:
            TrainingError: no view is known, or one is so rare that the queue will not hold enough of it.
        """
        if self.recipe.hard_negatives == "none":
            return
        counts = np.zeros(3)
        for share in shares:
            views = laterality_of(share.archive.images(["view"], where="split = 'train'")["view"].to_pylist())
            counts += share.weight * np.bincount(views, minlength=3)
        where = ", ".join(str(share.archive.path) for share in shares)
        if not counts[[FRONTAL, LATERAL]].all():
            raise TrainingError(
                f"{where}: hard_negatives={self.recipe.hard_negatives} tells frontal from lateral images; the split 'train' has "
                f"{counts[FRONTAL]:.0f} frontal, {counts[LATERAL]:.0f} lateral and {counts[UNKNOWN]:.0f} of unknown view. "
                "Ingest with a column of views, or set hard_negatives=none."
            )
        if self.recipe.hard_negatives in ("append", "synthesize"):
            rarer = float(counts[[FRONTAL, LATERAL]].min() / counts.sum())
            least = rarer * self.recipe.queue - MARGIN * (rarer * (1 - rarer) * self.recipe.queue) ** 0.5
            if least < self._appended:
                fits = f"append_share={least / self.recipe.queue:.3f} or less, " if least >= 1 else ""
                raise TrainingError(
                    f"{where}: append_share={self.recipe.append_share} of queue={self.recipe.queue} asks for {self._appended} "
                    f"slots of each view; {rarer:.1%} of the training images have the rarer one, so the queue may hold as few "
                    f"as {max(0, int(least))}. Give {fits}a longer queue, or another hard_negatives."
                )

    def collect(self, share: Share, split: str, most: int | None = None) -> PatientImages:
        """The images of a split with their possible partners; see `Method.collect`.

        Raises:
            TrainingError: no image of the split has a partner, no view is known where the policy asks for one, or
                `compat` finds ids without digits.
        """
        recipe = self.recipe
        images = images_of(share, split, ["image_id", "patient_id", "study_id", "view"], most)
        ids, patients, studies, views = (images[n].to_pylist() for n in ("image_id", "patient_id", "study_id", "view"))
        laterality = laterality_of(views)
        pairs = PatientPairs(
            patients, studies, laterality, recipe.policy, with_self=recipe.self_pairs or self._as_released
        )
        alone = int(pairs.alone().sum())
        counts = {
            "images": len(ids),
            "patients": len(set(patients)),
            "images_without_partner": alone,
            "images_of_unknown_view": int((laterality == UNKNOWN).sum()),
        }
        if split == "train" and len(ids) and alone == len(ids):
            raise TrainingError(
                f"{share.archive.path}: none of the {len(ids)} images of {counts['patients']} patients in the split 'train' has "
                f"a partner under study={recipe.study}, laterality={recipe.laterality} ({counts['images_of_unknown_view']} of "
                "unknown view). MedAug needs patients with several images: see that patient and study ids were ingested "
                "(hilum info ARCHIVE), choose another policy, or pretrain moco-cxr."
            )
        facts = np.stack([self.numbers(patients, 5), self.numbers(studies, 1), self._views(laterality)], axis=1)
        reader = PictureReader(share.archive, images["row"].to_numpy(), ids, recipe.canvas_px, self.shorter_px)
        said = [" ".join(map(str, row)) for row in zip(patients, studies, views, strict=True)]
        return PatientImages(ids, counts, said, reader, pairs, facts)

    def read(self, examples: PatientImages, picks: np.ndarray, rng: np.random.Generator | None) -> PairViews:
        """The pictures at `picks` and of partners; without `rng` each is its own, and views are as the model sees them."""
        assert examples.pictures is not None
        assert examples.pairs is not None
        assert examples.facts is not None
        partners = examples.pairs.partners(picks, rng) if rng is not None else picks
        own, other = examples.pictures.read(picks), examples.pictures.read(partners)
        return PairViews(
            pixels=own.pixels,
            sizes=own.sizes,
            views=plain_squares(own, self.preprocess)[:, None].repeat(1, 2, 1, 1) if rng is None else None,
            partner_pixels=other.pixels,
            partner_sizes=other.sizes,
            facts=torch.from_numpy(examples.facts[picks]),
            partner_facts=torch.from_numpy(examples.facts[partners]),
        )

    def augment(self, batch: PairViews, draws: torch.Generator) -> PairViews:
        """A view of each image for the query and one of its partner for the key; `compat`: exchanged."""
        assert batch.partner_pixels is not None
        assert batch.partner_sizes is not None
        own, other = Pictures(batch.pixels, batch.sizes), Pictures(batch.partner_pixels, batch.partner_sizes)
        of_query, of_key = (other, own) if self._as_released else (own, other)
        return replace(batch, views=self.views(of_query, of_key, draws))

    def encode(self, batch: PairViews, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """`query` and `key` (N, dim), and `facts` (N, 3) of the images."""
        assert batch.facts is not None
        return {**super().encode(batch, ranks), "facts": batch.facts}

    def losses(self, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """MoCo's, with negatives by view where the recipe asks for them."""
        recipe, logits = self.recipe, self.logits(rows)
        kind = recipe.hard_negatives
        queries, slots = Facts(*rows["facts"].unbind(1)), self.slots
        positive = hard.positives(queries, slots, recipe.policy)
        if kind == "lateral-only":
            return told(hard.without(logits, hard.easy(queries, slots) | positive))
        if recipe.mask_positives:
            logits = hard.without(logits, positive)
        if kind == "none" or bool(self.queue.empty().any()):  # as released: until it is full, no negative is special
            return told(logits)
        if kind == "reweight":
            return told(logits, hard.reweighted(queries, slots, recipe.hard_share))
        draws, device = self.draws(NEGATIVES), logits.device
        if kind == "subsample":
            thin = ranks.agree(hard.thinned(slots, recipe.hard_share, draws).to(device))
            known = (queries.laterality != UNKNOWN)[:, None]
            return told(hard.without(logits, thin[queries.laterality.clamp(FRONTAL, LATERAL)] & known))
        sampled = ranks.agree(hard.sample(slots, self._appended, draws).to(device))
        # Released: an image of the query's own study may be appended as its negative, twice.
        left_out = None if self._as_released else positive
        columns = [logits, hard.appended(logits, sampled, queries, left_out)]
        if kind == "synthesize":
            mixing = hard.Mixing(*(ranks.agree(part.to(device)) for part in hard.draw_mixing(self._appended, draws)))
            columns.append(hard.synthesized(logits, self.queue.keys, sampled, mixing, queries, left_out))
        return told(torch.cat(columns, dim=1))

    def key_facts(self, batch: PairViews, ranks: Ranks) -> dict[str, Tensor]:
        """The partners' patients, studies and views."""
        assert batch.partner_facts is not None
        gathered = ranks.gather_constant(batch.partner_facts)
        return dict(zip(self.facts, gathered.unbind(1), strict=True))

    @property
    def slots(self) -> Facts:
        """What is known of the queue's slots."""
        return Facts(*(self.queue.get_buffer(name) for name in self.facts))

    @property
    def _appended(self) -> int:
        return int(self.recipe.append_share * self.recipe.queue)  # truncated, as released

    def numbers(self, ids: list[str], digits: int) -> np.ndarray:
        """Ids as numbers: 63 bits of a hash of the whole id; released: its last digits, so that many ids are one."""
        if not self._as_released:
            return np.array([_hashed(i) for i in ids], np.int64)
        for name in ids:
            if not name[-digits:].isdecimal():
                raise TrainingError(
                    f"compat=medaug reads the last {digits} characters of an id as a number, as the original does; got {name!r}. "
                    "Leave compat out: then whole ids count, whatever they are made of."
                )
        return np.array([int(name[-digits:]) for name in ids], np.int64)

    def _views(self, laterality: np.ndarray) -> np.ndarray:
        """Released: what is not frontal is lateral."""
        return np.where(laterality == FRONTAL, FRONTAL, LATERAL) if self._as_released else laterality


def _hashed(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
