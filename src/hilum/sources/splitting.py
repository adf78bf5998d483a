"""Which split an image gets at ingest, and that a later run gives the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hilum.archive.splits import FRACTIONS, hashed_split
from hilum.errors import UsageError

SPLITTING = ("auto", "hashed", "official", "none")
# Of the patients an official list keeps for training and validation together, one in eight validates: 10 % of all
# where a fifth is kept for the test.
TRAIN_VAL = {"train": 0.875, "val": 0.125}


@dataclass(frozen=True)
class Splitting:
    """How the images of one source are split, always by patient.

    Attributes:
        how: "auto", "hashed", "official" or "none".
        seed: of the hashed split.
        fractions: share of patients in train, val and test of the hashed split.
        train_val: share of patients in train and val of those that the dataset keeps together for both.
    """

    how: str = "auto"
    seed: int = 0
    fractions: Mapping[str, float] = field(default_factory=lambda: dict(FRACTIONS))
    train_val: Mapping[str, float] = field(default_factory=lambda: dict(TRAIN_VAL))

    @classmethod
    def settle(
        cls,
        sources: Mapping[str, Any],
        source: str,
        how: str | None,
        seed: int | None,
        fractions: Mapping[str, float] | None,
        train_val: Mapping[str, float] = TRAIN_VAL,
    ) -> Splitting:
        """What was asked for, else what earlier runs into this archive did, else the defaults.

        Args:
            sources: the manifest's record of earlier runs, source -> record.
            source: the one at hand.
            how, seed, fractions: what was asked for now; None where nothing was.
            train_val: the source's own shares.

        Raises:
            UsageError: what is asked for now differs from earlier: one patient would get two splits.
            ArchiveError: the fractions are not shares.
        """
        records = [record for record in sources.values() if isinstance(record, Mapping) and "seed" in record]
        mine = sources.get(source)
        # Hashing is shared by all sources, for a patient may be in several; whether to take an official list is not.
        how_before = mine["split"] if isinstance(mine, Mapping) and "split" in mine else None
        before = records[0] if records else {}
        chosen = cls(
            how=_same("split", how, how_before) or "auto",
            seed=_same("seed", seed, before.get("seed")) or 0,
            fractions=_same("fractions", fractions, before.get("fractions")) or dict(FRACTIONS),
            train_val=dict(train_val),
        )
        hashed_split("", chosen.seed, chosen.fractions)  # complains about the fractions
        return chosen

    def of(self, patient_id: str, official: str | None) -> str | None:
        """The split of a patient; `official` is the dataset's own, or "train_val", or None."""
        if self.how == "none":
            return None
        if official is not None and self.how in ("auto", "official"):
            return hashed_split(patient_id, self.seed, self.train_val) if official == "train_val" else official
        return hashed_split(patient_id, self.seed, self.fractions) if self.how != "official" else None

    def record(self) -> dict[str, Any]:
        """What the manifest keeps."""
        return {
            "split": self.how,
            "seed": self.seed,
            "fractions": dict(self.fractions),
            "train_val": dict(self.train_val),
        }


def _same(name: str, asked: Any, before: Any) -> Any:
    """What is asked for, or was before; the two must not differ."""
    if asked is not None and before is not None and asked != before:
        raise UsageError(
            f"this archive was split with {name} = {before!r}, not {asked!r}; with both, one patient could train and "
            f"test. Leave {name} out, or ingest into a new archive."
        )
    return asked if asked is not None else before
