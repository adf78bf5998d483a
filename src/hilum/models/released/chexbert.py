"""CheXbert checkpoints become report labelers (Smit et al. 2020); the reading is done in `hilum.reports.neural`."""

from __future__ import annotations

from pathlib import Path

from hilum.checkpoints import sha256_of
from hilum.errors import UsageError
from hilum.models.released.imported import Imported
from hilum.models.released.recognize import read_own_state_dict


def chexbert_folder(file: Path, out: Path, *, vocab: str | Path | None = None) -> Imported:
    """Write the labeler folder of a CheXbert checkpoint.

    Args:
        file: `chexbert.pth`.
        out: the labeler folder to write; use it with `hilum label --with`.
        vocab: the WordPiece vocabulary it was trained with (`vocab.txt` of bert-base-uncased).

    Raises:
        UsageError: no vocabulary is given.
        CheckpointError: the file is not CheXbert's.
    """
    from hilum.reports.neural import import_chexbert, load_labeler

    if vocab is None:
        raise UsageError(
            f"hilum import chexbert: --vocab is missing. Give the vocab.txt of bert-base-uncased beside {file.name}."
        )
    expected = "a BERT and linear_heads.0.weight, bare or under 'model_state_dict'"
    tensors = len(read_own_state_dict(file, "chexbert", expected, under="model_state_dict"))
    import_chexbert(file, vocab, out)
    return Imported(out, file, sha256_of(file), tensors, load_labeler(out).config.fingerprint)
