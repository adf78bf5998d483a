"""Paraphrases by translating a report into another language and back with local models (Smit et al. 2020, 3.4)."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from hilum.errors import ModelError
from hilum.reports.neural.network import quiet_transformers
from hilum.reports.neural.tokens import clean

log = logging.getLogger(__name__)

# A translation far shorter or longer than its report has lost or invented something.
_SHORTEST, _LONGEST = 0.5, 2.0


class BackTranslator:
    """Two translation models of local Hugging Face folders, such as Marian's or the WMT19 winners'.

    Args:
        there: folder of the model from the reports' language to another.
        back: folder of the model from that language back.
        beams: of the beam search.
        batch_size: reports translated together.
        device: where the models run.

    Raises:
        ModelError: a folder holds no translation model with its tokenizer.
    """

    def __init__(
        self, there: str | Path, back: str | Path, beams: int = 4, batch_size: int = 8, device: str = "cpu"
    ) -> None:
        self.there, self.back = _Translator(Path(there), beams, device), _Translator(Path(back), beams, device)
        self.batch_size = batch_size
        self.name = f"{self.there.name} > {self.back.name}, {beams} beams"

    def __call__(
        self, texts: Sequence[str], cache: Path | None = None, progress: Callable[[int, int], None] | None = None
    ) -> list[str | None]:
        """Each text translated there and back; None where nothing usable came back.

        Unusable: nothing, the text itself, or less than half or more than twice its words.

        Args:
            texts: reports.
            cache: a file of translations already made; a stopped run goes on from there.
            progress: called with reports done and in all.
        """
        known = _read_cache(cache, self.name)
        missing = [text for text in dict.fromkeys(texts) if _key(text) not in known]
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            returned = self.back(self.there([clean(text) for text in batch]))
            known |= {_key(text): other for text, other in zip(batch, returned, strict=True)}
            _write_cache(cache, self.name, known)
            if progress is not None:
                progress(start + len(batch), len(missing))
        usable = [known[_key(text)] if _is_usable(text, known[_key(text)]) else None for text in texts]
        log.info("back-translation: %d of %d reports came back usable", sum(u is not None for u in usable), len(texts))
        return usable


class _Translator:
    def __init__(self, folder: Path, beams: int, device: str) -> None:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        try:
            with quiet_transformers():
                self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
                model: Any = AutoModelForSeq2SeqLM.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            raise ModelError(
                f"{folder} is not a local translation model with its tokenizer: {error}. Marian's need the package "
                f"sentencepiece."
            ) from error
        self.model, self.beams, self.name = model.eval().to(device), beams, folder.name

    def __call__(self, texts: list[str]) -> list[str]:
        most = int(getattr(self.model.config, "max_position_embeddings", 512)) - 1
        encoded = self.tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=most)
        encoded = {name: tensor.to(self.model.device) for name, tensor in encoded.items() if name != "token_type_ids"}
        longest = min(most, 2 * encoded["input_ids"].shape[1] + 10)
        with torch.inference_mode():
            made = self.model.generate(**encoded, num_beams=self.beams, do_sample=False, max_new_tokens=longest)
        return [clean(text) for text in self.tokenizer.batch_decode(made, skip_special_tokens=True)]


def _is_usable(text: str, returned: str) -> bool:
    before, after = len(text.split()), len(returned.split())
    return clean(text).lower() != returned.lower() and _SHORTEST * before <= after <= _LONGEST * before and after > 0


def _key(text: str) -> str:
    return hashlib.sha256(clean(text).encode()).hexdigest()[:16]


def _read_cache(cache: Path | None, name: str) -> dict[str, str]:
    if cache is None or not cache.is_file():
        return {}
    content = json.loads(cache.read_text(encoding="utf-8"))
    return dict(content["texts"]) if content.get("models") == name else {}


def _write_cache(cache: Path | None, name: str, known: dict[str, str]) -> None:
    if cache is None:
        return
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(".part")
    part.write_text(json.dumps({"models": name, "texts": known}), encoding="utf-8")
    os.replace(part, cache)
