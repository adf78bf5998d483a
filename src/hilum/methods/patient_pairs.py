"""Which images of a patient may be the positive of which, and drawing one in constant time.

Vu et al., "MedAug: Contrastive learning leveraging patient metadata improves representations for chest X-ray interpretation",
MLHC 2021, arXiv 2102.10663.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hilum.errors import UsageError

FRONTAL, LATERAL, UNKNOWN = 0, 1, 2  # laterality codes


@dataclass(frozen=True)
class Policy:
    """Filters on the images of the same patient; all that are set must hold.

    Contradictory ones (same and different study) leave nothing, so that every image is its own partner.

    Attributes:
        same_study: of the same study.
        different_study: of another study.
        same_laterality: both frontal, or both lateral.
        different_laterality: one frontal, the other lateral. An image of unknown view has neither.
        same_disease: of the same finding label. MedAug's upper bound, "cheating": pretraining is to know no labels.
    """

    same_study: bool = False
    different_study: bool = False
    same_laterality: bool = False
    different_laterality: bool = False
    same_disease: bool = False


class PatientPairs:
    """For each of N images the set of its admissible partners, held as one stretch of a sorted order with one gap.

    Images are sorted by what has to be equal (patient, then laterality and disease where the policy asks for them) and by
    study last. Then the partners of an image lie side by side, and those of its own study, which `different_study` leaves
    out, are a gap in them. So a draw is one random number and one look-up, whatever N is.

    Example:
        >>> pairs = PatientPairs(["a", "a", "b"], ["s1", "s1", "s2"], np.array([0, 1, 0]), Policy(same_study=True))
        >>> pairs.counts.tolist(), pairs.candidates(1).tolist()
        ([2, 2, 1], [0, 1])
    """

    def __init__(
        self,
        patient: Sequence[str] | np.ndarray,
        study: Sequence[str] | np.ndarray,
        laterality: np.ndarray,
        policy: Policy,
        *,
        disease: Sequence[str] | np.ndarray | None = None,
        with_self: bool = True,
    ) -> None:
        """
        Args:
            patient: N ids.
            study: N ids; need only differ within a patient.
            laterality: (N,) FRONTAL, LATERAL or UNKNOWN.
            policy: the filters.
            disease: N labels; needed where the policy asks for the same.
            with_self: whether an image that passes its own filters is one of its candidates, as released.

        Raises:
            UsageError: the columns differ in length, or the policy asks for the same disease and there are none.
        """
        lengths = {len(patient), len(study), len(laterality), len(patient if disease is None else disease)}
        if len(lengths) > 1 or (policy.same_disease and disease is None):
            raise UsageError(
                f"patient pairs: got {len(patient)} patients, {len(study)} studies, {len(laterality)} lateralities and "
                f"{'no' if disease is None else len(disease)} diseases; expected as many of each, and diseases for same_disease."
            )
        patients, studies = _codes(patient), _codes(study)
        own = np.asarray(laterality, np.int64)
        nothing = np.zeros_like(own)
        diseases = _codes(disease) if policy.same_disease and disease is not None else nothing
        by_view = policy.same_laterality or policy.different_laterality
        wanted = np.where(own == UNKNOWN, UNKNOWN, 1 - own) if policy.different_laterality else own
        n_diseases, n_studies = int(diseases.max(initial=0)) + 1, int(studies.max(initial=0)) + 1

        def group(view: np.ndarray) -> np.ndarray:
            return (patients * 3 + (view if by_view else nothing)) * n_diseases + diseases

        key = group(own) * n_studies + studies
        self._order = np.argsort(key, kind="stable")
        ordered = key[self._order]

        def stretch(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.searchsorted(ordered, first), np.searchsorted(ordered, last)

        of_group = group(wanted) * n_studies
        in_study = stretch(of_group + studies, of_group + studies + 1)
        start, stop = in_study if policy.same_study else stretch(of_group, of_group + n_studies)
        gap, gap_stop = start, start
        if policy.different_study:
            gap, gap_stop = in_study
        elif not with_self:
            place = np.empty_like(self._order)
            place[self._order] = np.arange(len(own))
            inside = (place >= start) & (place < stop)
            gap, gap_stop = np.where(inside, place, start), np.where(inside, place + 1, start)
        nobody = (policy.same_laterality and policy.different_laterality) | (by_view & (own == UNKNOWN))
        self._start, self._gap, self._gap_length = start, gap, gap_stop - gap
        self.counts = np.where(nobody, 0, stop - start - self._gap_length)
        """(N,) int64: how many candidates each image has; 0 where it is paired with itself for want of any."""

    def __len__(self) -> int:
        return len(self.counts)

    def partners(self, picks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One candidate for each image, all equally probable.

        Args:
            picks: (B,) positions in 0..N-1.
            rng: the draws.

        Returns:
            (B,) int64 positions; an image without a candidate gets itself.
        """
        picks = np.asarray(picks, np.int64)
        counts = self.counts[picks]
        number = rng.integers(0, np.maximum(counts, 1))
        return np.where(counts > 0, self._at(picks, number), picks)

    def candidates(self, image: int) -> np.ndarray:
        """Positions of all candidates of one image, ascending; empty where it has none."""
        count = int(self.counts[image])
        return np.sort(self._at(np.full(count, image, np.int64), np.arange(count)))

    def alone(self) -> np.ndarray:
        """(N,) bool: images whose partner is always themselves."""
        lonely = self.counts == 0
        one = np.flatnonzero(self.counts == 1)
        lonely[one] = self._at(one, np.zeros(len(one), np.int64)) == one
        return lonely

    def _at(self, picks: np.ndarray, number: np.ndarray) -> np.ndarray:
        """The candidate of this number, past the gap."""
        place = self._start[picks] + number
        place = place + np.where(place >= self._gap[picks], self._gap_length[picks], 0)
        return self._order[np.minimum(place, len(self._order) - 1)]


def laterality_of(views: Sequence[str | None]) -> np.ndarray:
    """Laterality codes (N,) of an archive's views.

    Example:
        >>> laterality_of(["ap_supine", "lateral", "unknown"]).tolist()
        [0, 1, 2]
    """
    codes = {"pa": FRONTAL, "ap": FRONTAL, "ap_supine": FRONTAL, "lateral": LATERAL}
    return np.array([codes.get(view or "", UNKNOWN) for view in views], np.int64)


def _codes(values: Sequence[str] | np.ndarray) -> np.ndarray:
    return np.unique(np.asarray(values), return_inverse=True)[1].astype(np.int64).reshape(-1)
