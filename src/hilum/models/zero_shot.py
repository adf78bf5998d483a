"""Zero-shot scores from a pair of prompts (Tiu et al. 2022, Methods: softmax over the two cosines, no temperature)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hilum.errors import UsageError
from hilum.findings import fold
from hilum.models.prompt_pooling import Pool, pooled_similarity

if TYPE_CHECKING:
    from hilum.models.model import Model


@dataclass(frozen=True)
class PromptSet:
    """Templates that make a finding's positive and negative prompts; `{}` stands for the finding.

    Attributes:
        name: how it is named in results.
        positive: templates of the presence of a finding.
        negative: templates of its absence.
        words: finding (folded) -> what stands for it in the templates, where reports call it otherwise than its label.
        special: finding (folded) -> (positive prompts, negative prompts), for names the templates do not fit.
    """

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    special: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)

    def prompts(self, finding: str) -> tuple[list[str], list[str]]:
        """The positive and the negative prompts of a finding."""
        if fold(finding) in self.special:
            asked, against = self.special[fold(finding)]
            return list(asked), list(against)
        words = self.words.get(fold(finding), (finding,))
        positive = [template.replace("{}", word) for word in words for template in self.positive]
        return positive, [template.replace("{}", word) for word in words for template in self.negative]


def load_prompts(name_or_file: str | Path = "chexzero") -> PromptSet:
    """A packaged prompt set by name, or one's own TOML file.

    The file holds `positive = ["{}"]` and `negative = ["no {}"]`; a table `[words]` of what to fill in for a finding, such as
    `"Pleural Other" = ["pleural thickening"]`; and for findings the templates do not fit, tables such as
    `[special."No Finding"]` with their own `positive` and `negative`.

    Raises:
        UsageError: no such set or file, or it lacks a part.
    """
    packaged = files("hilum.models") / "prompts"
    path = Path(name_or_file)
    if path.suffix == ".toml":
        if not path.is_file():
            raise UsageError(f"{path}: no such prompt file.")
        text, name = path.read_text(encoding="utf-8"), path.stem
    else:
        entry = packaged / f"{name_or_file}.toml"
        if not entry.is_file():
            known = sorted(p.name.removesuffix(".toml") for p in packaged.iterdir() if p.name.endswith(".toml"))
            raise UsageError(f"no prompt set '{name_or_file}'. There are: {', '.join(known)}; or give a .toml file.")
        text, name = entry.read_text(encoding="utf-8"), str(name_or_file)
    try:
        content = tomllib.loads(text)
        special = {
            fold(finding): (tuple(pair["positive"]), tuple(pair["negative"]))
            for finding, pair in content.get("special", {}).items()
        }
        words = {fold(finding): tuple(said) for finding, said in content.get("words", {}).items()}
        prompts = PromptSet(name, tuple(content["positive"]), tuple(content["negative"]), words, special)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{name_or_file}: not a prompt set ({error}); it needs the lists 'positive' and 'negative'."
        ) from None
    if not prompts.positive or not prompts.negative:
        raise UsageError(f"{name_or_file}: 'positive' and 'negative' need at least one template each.")
    return prompts


def prompt_vectors(
    model: Model, findings: Sequence[str], prompts: PromptSet
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Unit vectors of each finding's positive and of its negative prompts, one by one.

    Returns:
        two lists of C arrays (P, D) float32; P may differ.
    """
    pairs = [prompts.prompts(finding) for finding in findings]
    texts = list(dict.fromkeys(text for pair in pairs for side in pair for text in side))
    vectors = dict(zip(texts, model.embed_texts(texts), strict=True)) if texts else {}
    positive, negative = ([np.array([vectors[text] for text in pair[k]], np.float32) for pair in pairs] for k in (0, 1))
    return positive, negative


def finding_vectors(model: Model, findings: Sequence[str], prompts: PromptSet) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of each finding's positive and negative prompts.

    Each prompt's vector is normalized, a finding's are averaged, and the average is normalized again.

    Returns:
        two arrays (C, D) float32.
    """

    def average(vectors: np.ndarray) -> np.ndarray:
        mean = np.mean(vectors, axis=0)
        return mean / np.linalg.norm(mean)

    sides = prompt_vectors(model, findings, prompts)
    positive, negative = (
        np.array([average(of) for of in side], np.float32).reshape(-1, model.embed_dim) for side in sides
    )
    return positive, negative


def pair_scores(image_vectors: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Softmax of two cosines: exp(z+) / (exp(z+) + exp(z-)), in [0.12, 0.88].

    Args:
        image_vectors: (N, D) unit rows.
        positive: (C, D) unit rows.
        negative: (C, D) unit rows.

    Returns:
        (N, C) float32. A score, not a probability: it is not calibrated.
    """
    difference = image_vectors @ (positive - negative).T  # z+ - z-
    return 1 / (1 + np.exp(-difference))


def pooled_pair_scores(
    image_vectors: np.ndarray, positive: Sequence[np.ndarray], negative: Sequence[np.ndarray], pool: Pool = "embedding"
) -> np.ndarray:
    """Softmax of two similarities, each of them of several prompts.

    Args:
        image_vectors: (N, D) unit rows.
        positive, negative: of each of C findings, (P, D) unit rows; see `prompt_vectors`.
        pool: how a side's prompts are put together; "embedding" gives what `finding_vectors` and `pair_scores` do.

    Returns:
        (N, C) float32. A score, not a probability: it is not calibrated.
    """
    asked, against = (pooled_similarity(image_vectors, side, pool) for side in (positive, negative))
    return (1 / (1 + np.exp(against - asked))).astype(np.float32)
