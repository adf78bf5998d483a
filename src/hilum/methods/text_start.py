"""What a text tower starts from: a local Hugging Face folder, or nothing but the user's own reports."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hilum.errors import ModelError, TrainingError
from hilum.models.hf_folder import TextModel, from_hf_folder
from hilum.models.text_towers import build_text_tower, text_tower_named
from hilum.models.wordpiece_tokenizer import Cleaning, WordPieceTokenizer

CLINICAL = "bio-clinicalbert"
CLINICAL_ID = "emilyalsentzer/Bio_ClinicalBERT"  # Alsentzer et al. 2019, MIT licence


def start_text(
    text_model: str,
    texts: Iterable[str],
    context: int,
    vocabulary: int,
    *,
    pooler: bool = False,
    cleaning: Cleaning = "none",
) -> TextModel:
    """A text tower and its tokenizer.

    Args:
        text_model: a local Hugging Face folder; 'bio-clinicalbert' asks the hub; or a size by name ('bert-tiny'), which
            starts from random weights with a vocabulary learned from `texts`.
        texts: reports to learn a vocabulary from.
        context: most tokens of a text.
        vocabulary: most pieces of a learned vocabulary.
        pooler: keep BERT's pooler; without a use for it, it would get no gradient.
        cleaning: of the tokenizer.

    Raises:
        TrainingError: it is neither a folder nor a known size.
        ModelError: the folder does not hold what it should.
    """
    if text_model == CLINICAL:
        text_model = _from_hub()
    if Path(text_model).is_dir():
        found = from_hf_folder(text_model, context, cleaning)
        if not pooler:
            for name, weight in found.tower.net.named_parameters():
                if name.startswith("pooler."):
                    weight.requires_grad_(False)
        return found
    if "/" in text_model or Path(text_model).suffix:
        raise TrainingError(
            f"text_model={text_model}: no such folder. Give a local Hugging Face folder, or a size such as bert-tiny, "
            "which learns its vocabulary from your reports."
        )
    tokenizer = WordPieceTokenizer.learned_from(texts, vocabulary, context, cleaning)
    description = text_tower_named(text_model, vocab_size=tokenizer.size, positions=context, pooler=pooler)
    return TextModel(build_text_tower(description), tokenizer, 0)


def _from_hub() -> str:
    how = (
        "Put the folder of Bio_ClinicalBERT (config, weights, vocabulary) at hand and pass --set text_model=FOLDER, or start "
        "from nothing with --set text_model=bert-small."
    )
    if os.environ.get("HILUM_OFFLINE") == "1":
        raise ModelError(
            f"text_model={CLINICAL}: its weights are needed and downloads are off (HILUM_OFFLINE=1). {how}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return snapshot_download(CLINICAL_ID, allow_patterns=["*.json", "*.txt", "*.safetensors", "pytorch_model.bin"])
    except (HfHubHTTPError, OSError) as error:  # what the hub's client raises when nothing answers
        reason = str(error).splitlines()[0][:200]
        raise ModelError(f"text_model={CLINICAL}: the hub did not give its weights: {reason}. {how}") from error
