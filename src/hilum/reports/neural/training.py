"""Training a labeler: stage one on the rules' labels, stage two on experts' (Smit et al. 2020, section 3.3)."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hilum.errors import TrainingError, UsageError
from hilum.reports import state_metrics
from hilum.reports.grid import read_grid
from hilum.reports.neural.backtranslate import BackTranslator
from hilum.reports.neural.corpus import Corpus, Silver, grid_codes, held_out, read_corpus, silver_labels
from hilum.reports.neural.examples import GoldExamples, SilverExamples
from hilum.reports.neural.fit import Progress, StageSettings, fit
from hilum.reports.neural.folder import is_labeler, read_config
from hilum.reports.neural.labeler import NeuralLabeler, load_labeler
from hilum.reports.neural.network import HEADS, CheXbert
from hilum.reports.neural.paraphrase import Paraphraser
from hilum.reports.neural.recipe import LabelerRecipe
from hilum.reports.neural.start import untrained

log = logging.getLogger(__name__)

AUGMENTATIONS = ("paraphrase", "backtranslation")


@dataclass(frozen=True)
class TrainingData:
    """Reports with rule labels, and the experts' among them.

    Attributes:
        silver_texts, silver_codes: of stage one; the experts' reports are not among them.
        silver_held: (N,) True for what is kept for early stopping.
        gold_texts, gold_codes, gold_held: the same of stage two; empty without expert labels.
        silver: labels new texts, when labels come from a function.
        counts: for the model card.
    """

    silver_texts: list[str]
    silver_codes: np.ndarray
    silver_held: np.ndarray
    gold_texts: list[str]
    gold_codes: np.ndarray
    gold_held: np.ndarray
    silver: Silver | None
    text_policy: str
    counts: dict[str, Any]


def train_labeler(
    source: str | Path,
    out: str | Path,
    *,
    silver: str | Path | Silver = "rules",
    gold: str | Path | None = None,
    silver_stage: bool = True,
    augment: Sequence[str] = (),
    translators: tuple[str | Path, str | Path] | None = None,
    encoder: str | Path | None = None,
    recipe: LabelerRecipe | None = None,
    text_columns: Sequence[str] = (),
    id_column: str | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> NeuralLabeler:
    """Train a labeler and write its model folder.

    A stopped training goes on where it was when it is started again with the same settings; its state lies in
    `out/.training` and is removed at the end. A training that is done is not done again.

    Args:
        source: an archive, or a table with reports.
        out: the model folder to write.
        silver: "rules", a table of labels of the same reports, or a function from texts to (N, heads) class codes.
        gold: a table of expert labels of some of the reports, joined by identifier; they are kept from stage one.
        silver_stage: False leaves out stage one: a labeler is only finetuned on the experts' labels.
        augment: of the experts' reports: "paraphrase" (offline), "backtranslation" (needs `translators`).
        translators: folders of two translation models, there and back.
        encoder: a local Hugging Face folder of a BERT-family encoder and its tokenizer, or the model folder of a labeler,
            whose heads are then kept; None: one from scratch, with a vocabulary learned from these reports.
        recipe: the settings; by default those of the paper.
        text_columns, id_column: of a table.
        device: where it is trained; by default the GPU, where there is one.
        progress: called with stage, step, steps and numbers to show.

    Raises:
        TableError, TrainingError, ModelError, UsageError: what cannot be read, trained, loaded or is not known.
    """
    recipe = recipe or LabelerRecipe()
    out, state = Path(out), Path(out) / ".training"
    _check(augment, translators, gold, silver_stage)
    data = training_data(read_corpus(source, text_columns, id_column), silver, gold, recipe)
    identity = _identity(data, recipe, augment, encoder, silver_stage)
    if (out / "config.json").is_file():
        return _trained_before(out, identity)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    # The vocabulary is learned from stage one alone, so that nothing of the experts' reports is in it.
    labeler = untrained(encoder, data.silver_texts, data.text_policy, recipe, device)
    network, reads, config = labeler.network, labeler.tokenizer, labeler.config
    trained: dict[str, Any] = {
        "identity": identity,
        "recipe": recipe.model_dump(),
        "data": data.counts,
        "measured": {},
    }

    kept = ~data.silver_held
    silver_examples = SilverExamples(
        [text for text, keep in zip(data.silver_texts, kept, strict=True) if keep],
        data.silver_codes[kept],
        reads,
        config.max_tokens,
        data.silver,
        recipe.compose,
        recipe.compose_sentences,
        recipe.seed,
    )
    trained["data"]["rule-labeled reports longer than a window, left out"] = silver_examples.too_long
    shared: dict[str, Any] = {
        "pad": reads.pad,
        "select_by": recipe.select_by,
        "identity": identity,
        "progress": progress,
    }
    if silver_stage:
        score = _scorer(labeler, data.silver_texts, data.silver_codes, data.silver_held)
        stage, checkpoint = _stage(recipe, gold=False), state / "silver.safetensors"
        history = fit(network, silver_examples, stage, score=score, checkpoint=checkpoint, **shared)
        trained["measured"] |= _measured("rule labels", history, score, labeler)
    if data.gold_texts:
        gold_kept = np.flatnonzero(~data.gold_held)
        texts = [data.gold_texts[row] for row in gold_kept]
        variants: list[list[str]] = []
        if "backtranslation" in augment and translators is not None:
            made = BackTranslator(*translators, device=device)(
                texts, state / "translations.json", _translation_progress(progress)
            )
            variants = [[text] if text else [] for text in made]
            trained["data"]["back-translations"] = sum(map(len, variants))
        gold_examples = GoldExamples(
            texts,
            data.gold_codes[gold_kept],
            reads,
            config.max_tokens,
            variants,
            Paraphraser() if "paraphrase" in augment else None,
            silver_examples.with_sentences_of(texts, recipe.swap),
            recipe.replay,
            recipe.join,
            recipe.seed,
        )
        trained["data"]["expert-labeled texts longer than a window, left out"] = gold_examples.too_long
        score = _scorer(labeler, data.gold_texts, data.gold_codes, data.gold_held)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        stage, checkpoint = _stage(recipe, gold=True), state / "gold.safetensors"
        history = fit(network, gold_examples, stage, score=score, checkpoint=checkpoint, **shared)
        network.load_state_dict(_blended(before, network.state_dict(), recipe.blend))
        trained["measured"] |= _measured("expert labels", history, score, labeler)
    labeler = NeuralLabeler(network, reads, replace(config, training=trained))
    labeler.save(out)
    for path in (state / "silver.safetensors", state / "gold.safetensors", state / "translations.json"):
        path.unlink(missing_ok=True)
    if state.is_dir() and not any(state.iterdir()):
        state.rmdir()
    return labeler


def training_data(
    corpus: Corpus, silver: str | Path | Silver, gold: str | Path | None, recipe: LabelerRecipe
) -> TrainingData:
    """Reports and labels of both stages, split by patient where patients are known, else by report."""
    labeler, rows, codes = silver_labels(silver, corpus)
    gold_rows: list[int] = []
    gold_codes = np.zeros((0, len(HEADS)), dtype=np.int8)
    if gold is not None:
        gold_rows, gold_codes = grid_codes(read_grid(Path(gold)), corpus.ids, str(gold))
    of_experts = set(gold_rows)
    kept = [at for at, row in enumerate(rows) if row not in of_experts]
    if not kept:
        raise TrainingError("no rule-labeled report is left for stage one: every report has expert labels.")
    silver_held = held_out([corpus.units[rows[at]] for at in kept], recipe.held_out, recipe.seed)
    gold_held = held_out([corpus.units[row] for row in gold_rows], recipe.gold_held_out, recipe.seed)
    if silver_held.all() or (len(gold_rows) and gold_held.all()):
        raise TrainingError(f"all of the {len(kept)} reports fell to the held-out part; lower held_out.")
    counts = {
        "reports without text, left out": corpus.empty,
        "rule-labeled reports trained on": int((~silver_held).sum()),
        "rule-labeled reports held out": int(silver_held.sum()),
        "expert-labeled reports trained on": int((~gold_held).sum()),
        "expert-labeled reports held out": int(gold_held.sum()),
    }
    return TrainingData(
        [corpus.texts[rows[at]] for at in kept],
        codes[kept],
        silver_held,
        [corpus.texts[row] for row in gold_rows],
        gold_codes,
        gold_held,
        labeler,
        corpus.text_policy,
        counts,
    )


def held_out_scores(labeler: NeuralLabeler, texts: Sequence[str], codes: np.ndarray) -> dict[str, float]:
    """Weighted F1 and kappa as means over findings, and the share of cells that agree."""
    predicted = labeler.predict(texts).codes
    counts = state_metrics.confusion(codes, predicted, np.ones((1, len(codes)), dtype=np.float32))[0]
    metrics = state_metrics.four_state(counts, labeler.findings)
    found = {name: float(np.nan_to_num(state_metrics.mean_defined(metrics[name]))) for name in ("weighted_f1", "kappa")}
    uncertain = state_metrics.state_f1(counts.sum(0), 3)
    return {
        **found,
        "accuracy": float((codes == predicted).mean()),
        "uncertain_f1_micro": float(np.nan_to_num(uncertain)),
    }


def _scorer(
    labeler: NeuralLabeler, texts: Sequence[str], codes: np.ndarray, held: np.ndarray
) -> Callable[[CheXbert], dict[str, float]] | None:
    rows = np.flatnonzero(held).tolist()
    if not rows:
        return None
    chosen = [texts[row] for row in rows]

    def score(network: CheXbert) -> dict[str, float]:
        network.eval()
        return held_out_scores(labeler, chosen, codes[rows])

    return score


def _stage(recipe: LabelerRecipe, gold: bool) -> StageSettings:
    shared = {f.name for f in fields(StageSettings)} & set(LabelerRecipe.model_fields)
    settings = {name: getattr(recipe, name) for name in shared}
    if gold:
        settings |= {
            "epochs": recipe.gold_epochs,
            "learning_rate": recipe.gold_learning_rate,
            "balance": recipe.gold_balance,
        }
    return StageSettings(name="expert labels" if gold else "rule labels", number=2 if gold else 1, **settings)


def _blended(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the line between two labelers: few expert reports teach much, and overfit as quickly."""
    if share == 1:
        return after
    return {name: torch.lerp(before[name], tensor, share) for name, tensor in after.items()}


def _measured(
    stage: str,
    history: dict[str, Any],
    score: Callable[[CheXbert], dict[str, float]] | None,
    labeler: NeuralLabeler,
) -> dict[str, Any]:
    measured: dict[str, Any] = {f"steps on {stage}": f"{history['steps']} (best: {history['best_step']})"}
    if score is not None:
        measured[f"held-out reports with {stage}"] = score(labeler.network)
    return measured


def _trained_before(out: Path, identity: str) -> NeuralLabeler:
    if is_labeler(out):
        before = load_labeler(out)
        if before.config.training.get("identity") == identity:
            log.info("%s was trained with these settings before; nothing to do", out)
            return before
    raise TrainingError(f"{out} holds another model. Name another folder, or delete it.")


def _identity(
    data: TrainingData, recipe: LabelerRecipe, augment: Sequence[str], encoder: str | Path | None, silver_stage: bool
) -> str:
    """A hash of all that decides the weights."""
    start = str(encoder or "") if encoder is None or not is_labeler(Path(encoder)) else read_config(Path(encoder))
    told = [sorted(augment), silver_stage, start, data.silver_texts, data.gold_texts]
    digest = hashlib.sha256((recipe.model_dump_json() + json.dumps(told)).encode())
    digest.update(data.silver_codes.tobytes() + data.gold_codes.tobytes())
    return digest.hexdigest()[:16]


def _translation_progress(progress: Progress | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, of: progress("back-translation", done, of, {})


def _check(augment: Sequence[str], translators: object, gold: str | Path | None, silver_stage: bool) -> None:
    unknown = [name for name in augment if name not in AUGMENTATIONS]
    if unknown:
        raise UsageError(f"augmentation {unknown[0]!r} is not known; expected one of {', '.join(AUGMENTATIONS)}.")
    if not silver_stage and gold is None:
        raise UsageError("there is nothing to train on: no stage one, and no expert labels (--gold).")
    if augment and gold is None:
        raise UsageError("augmentation is of the experts' reports; give their labels with --gold.")
    if "backtranslation" in augment and translators is None:
        raise UsageError(
            "back-translation needs two local translation models, there and back: --translator there --translator back."
        )
