"""What a trained encoder is used for: embedding, zero-shot scores, features, probes and finetuning."""

from __future__ import annotations

from hilum.tasks.composing import Corpus, Draft, DraftSentence, compose
from hilum.tasks.embedding import Embedded, embed, vectors_of
from hilum.tasks.explaining import Heatmap, explain
from hilum.tasks.feature_cache import features
from hilum.tasks.finetune_recipe import Finetune
from hilum.tasks.finetuning import Finetuned, finetune
from hilum.tasks.fitting import Fit, fit_probe
from hilum.tasks.fractions import Part, draw
from hilum.tasks.pictures import highest_scored
from hilum.tasks.predicting import Predicted, predict
from hilum.tasks.probing import Probed, probe
from hilum.tasks.report_writing import Written, write_reports
from hilum.tasks.scoring import ZeroShot, zeroshot
from hilum.tasks.semi_supervised import SemiSupervised, Taught, semi_supervise
from hilum.tasks.targets import Examples, examples_of

__all__ = [
    "Corpus",
    "Draft",
    "DraftSentence",
    "Embedded",
    "Examples",
    "Finetune",
    "Finetuned",
    "Fit",
    "Heatmap",
    "Part",
    "Predicted",
    "Probed",
    "SemiSupervised",
    "Taught",
    "Written",
    "ZeroShot",
    "compose",
    "draw",
    "embed",
    "examples_of",
    "explain",
    "features",
    "finetune",
    "fit_probe",
    "highest_scored",
    "predict",
    "probe",
    "semi_supervise",
    "vectors_of",
    "write_reports",
    "zeroshot",
]
