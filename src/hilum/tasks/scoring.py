"""Scores for findings named in plain language, without a label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.findings import CHEXPERT_NAMES, canonical, find, fold
from hilum.models import Model, load_all
from hilum.models.gloria_scoring import SIMILARITIES, Similarity, prompt_matcher
from hilum.models.model import unit_rows
from hilum.models.prompt_pooling import POOLS, Pool, pooled_columns
from hilum.models.zero_shot import PromptSet, load_prompts, pooled_pair_scores, prompt_vectors
from hilum.tables import check_place, write_table
from hilum.tasks.embedding import OnBatch, embed, read_ahead, vectors_of


@dataclass(frozen=True)
class ZeroShot:
    """Zero-shot scores.

    Attributes:
        image_ids: N ids; `study_ids` and `patient_ids` go with them.
        findings: C names, as columns are named.
        scores: (N, C) float32 in [0, 1]; the mean over the models.
        prompts: finding -> (positive prompts, negative prompts).
        fingerprints: of the models, in order.
        embedded: images embedded in this call, over all models; the others were known.
        prompt_set, pool, similarity: what was asked, and how several prompts and an image and a text were compared.
    """

    image_ids: list[str]
    study_ids: list[str]
    patient_ids: list[str]
    findings: list[str]
    scores: np.ndarray
    prompts: dict[str, tuple[list[str], list[str]]]
    fingerprints: list[str]
    embedded: int = 0
    prompt_set: str = field(default="chexzero")
    pool: Pool = "embedding"
    similarity: Similarity = "global"

    def table(self) -> pa.Table:
        """One row an image: `image_id`, `study_id`, `patient_id`, and a column of scores for each finding."""
        columns: dict[str, pa.Array] = {
            "image_id": pa.array(self.image_ids, pa.string()),
            "study_id": pa.array(self.study_ids, pa.string()),
            "patient_id": pa.array(self.patient_ids, pa.string()),
        }
        columns |= {name: pa.array(self.scores[:, c]) for c, name in enumerate(self.findings)}
        return pa.table(columns)


def zeroshot(
    models: Sequence[Model | str | PathLike[str]] | Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    findings: Sequence[str] | None = None,
    *,
    where: str | None = None,
    prompts: PromptSet | str = "chexzero",
    pool: Pool | None = None,
    similarity: Similarity = "global",
    free_text: bool = False,
    batch_size: int = 64,
    out: str | PathLike[str] | None = None,
    on_batch: OnBatch | None = None,
) -> ZeroShot:
    """Score images for findings: softmax over the cosines to a positive and a negative prompt (Tiu et al. 2022, Methods).

    Image embeddings are computed once for each model and kept in the archive. Several models give the mean of their scores.

    Args:
        models: models or model folders (an ensemble folder counts as its members).
        archive: the archive, or its path.
        findings: names in plain language; default the 14 CheXpert observations.
        where: which images, as a filter on `images`, for example "split = 'test' AND view != 'lateral'".
        prompts: a prompt set, its name, or a TOML file.
        pool: of several prompts, "embedding" averages the vectors (CheXzero), "mean" the similarities (CXR-CLIP), "max" takes
            the most similar (GLoRIA); default "embedding", and "max" where words are matched with regions.
        similarity: "global" compares the embeddings. "local" and "both" match words with regions, which GLoRIA's models can;
            nothing is kept of that, so every call reads the images again.
        free_text: take findings as they are, without looking for misspellings.
        batch_size: images at once in the tower.
        out: a CSV file to write.
        on_batch: called with (done, all) while images are embedded.

    Raises:
        UsageError: no findings, a finding twice, or one that looks misspelled; or no image fits `where`.
        ModelError, ArchiveError: a model or the archive cannot be opened.

    Example:
        >>> hilum.zeroshot("runs/chexzero", "archive", ["pleural effusion"]).table()  # doctest: +SKIP
    """
    if out is not None:
        check_place(Path(out))  # before the embedding, which may take hours
    if similarity not in SIMILARITIES:
        raise UsageError(f"similarity is {similarity!r}; expected one of {', '.join(SIMILARITIES)}.")
    pool = pool or ("embedding" if similarity == "global" else "max")
    if pool not in POOLS or (similarity != "global" and pool == "embedding"):
        raise UsageError(
            f"prompts pooled by {pool!r}; expected {', '.join(POOLS)}, or mean or max of local similarities."
        )
    names = check_findings(list(findings) if findings is not None else list(CHEXPERT_NAMES), free_text)
    prompt_set = prompts if isinstance(prompts, PromptSet) else load_prompts(prompts)
    archive = archive if isinstance(archive, Archive) else Archive.open(Path(archive))
    given = [models] if isinstance(models, Model | str | PathLike) else list(models)
    loaded = [m for item in given for m in ([item] if isinstance(item, Model) else load_all([item]))]
    images = archive.images(["row", "image_id", "study_id", "patient_id"], where=where)
    if not images.num_rows:
        raise UsageError(
            f"{archive.path}: no image fits {where!r}." if where else f"{archive.path}: the archive has no images."
        )
    ids = images["image_id"].to_pylist()
    total, embedded = np.zeros((len(ids), len(names)), np.float64), 0
    for model in loaded:
        if similarity != "global":
            total += _matched(
                model, archive, images["row"].to_numpy(), names, prompt_set, similarity, pool, batch_size, on_batch
            )
            continue
        embedded += embed(model, archive, where=where, batch_size=batch_size, on_batch=on_batch).new
        vectors = unit_rows(vectors_of(model, archive, ids))
        total += pooled_pair_scores(vectors, *prompt_vectors(model, names, prompt_set), pool)
    result = ZeroShot(
        ids,
        images["study_id"].to_pylist(),
        images["patient_id"].to_pylist(),
        names,
        (total / len(loaded)).astype(np.float32),
        {name: prompt_set.prompts(name) for name in names},
        [model.fingerprint for model in loaded],
        embedded,
        prompt_set.name,
        pool,
        similarity,
    )
    if out is not None:
        write_table(Path(out), result.table())
    return result


def _matched(
    model: Model,
    archive: Archive,
    rows: np.ndarray,
    names: list[str],
    prompts: PromptSet,
    similarity: Similarity,
    pool: Pool,
    batch_size: int,
    on_batch: OnBatch | None,
) -> np.ndarray:
    """Scores (N, C) by matching words with regions: softmax of the two pooled similarities of each finding."""
    sides = [side for name in names for side in prompts.prompts(name)]  # positive, negative, positive, ...
    match = prompt_matcher(model, [text for side in sides for text in side], similarity)
    scores = []
    for stop, squares in read_ahead(model, archive, rows, batch_size):
        pooled = pooled_columns(match(squares), [len(side) for side in sides], pool)
        scores.append(1 / (1 + np.exp(pooled[:, 1::2] - pooled[:, ::2])))
        if on_batch is not None:
            on_batch(stop, len(rows))
    return np.concatenate(scores)


_WORDS = {
    word
    for name in [
        *CHEXPERT_NAMES,
        "pulmonary",
        "thickening",
        "opacities",
        "effusions",
        "nodules",
        "fractures",
        "pacemaker",
    ]
    for finding in [find(name)]
    for known in ([name, *finding.aliases] if finding else [name])
    for word in re.findall(r"[a-z]{5,}", fold(known))
}


def check_findings(names: list[str], free_text: bool = False) -> list[str]:
    """The findings as columns are named: the vocabulary's spelling where known, else as given.

    Raises:
        UsageError: none given, one twice, a blank one, or (without `free_text`) one that looks misspelled.
    """
    if not names:
        raise UsageError('name at least one finding, for example --finding "pleural effusion".')
    columns: list[str] = []
    for name in names:
        if not name.strip():
            raise UsageError("a finding is blank; expected words such as 'pleural effusion'.")
        meant = None if free_text or find(name) else _meant(name)
        if meant:
            raise UsageError(f"finding '{name}' looks misspelled. Did you mean '{meant}'? If not, add --free-text.")
        columns.append(canonical(name))
    doubled = sorted({c for c in columns if columns.count(c) > 1})
    if doubled:
        raise UsageError(f"{', '.join(doubled)}: named more than once (other names of one finding count as the same).")
    return columns


def _meant(name: str) -> str | None:
    """What a free text was probably meant to be: only when one of its words is a near miss of a vocabulary word."""
    import difflib

    mended, changed = [], False
    for word in fold(name).split():
        known = word in _WORDS or len(word) < 4
        close = [] if known else difflib.get_close_matches(word, _WORDS, n=1, cutoff=0.84)
        changed = changed or bool(close and close[0].rstrip("s") != word.rstrip("s"))
        mended.append(close[0] if close else word)
    return canonical(" ".join(mended)) if changed else None
