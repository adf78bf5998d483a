"""CheXzero: tokens, preprocessing, towers, a training step, zero-shot, and its evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from hilum.evaluation import resampling
from hilum.evaluation.metrics import mcc, sensitivity, specificity
from hilum.evaluation.resampling import Resampler, interval
from hilum.evaluation.series import Series
from hilum.evaluation.thresholds import best_threshold
from hilum.methods.contrast import symmetric_nce
from hilum.models import Model, Preprocess
from hilum.models.clip_tokenizer import ClipTokenizer
from hilum.models.released.chexzero import import_chexzero
from hilum.models.towers import DualEncoder
from hilum.models.zero_shot import PromptSet, finding_vectors, pair_scores
from hilum.tasks.composing import Corpus, compose_many
from tests.parity import GOLDEN, Check, golden

FOLDER = GOLDEN / "chexzero"


def checks() -> Iterator[Check]:
    """Every array of the original's code that hilum has a counterpart of."""
    yield from _tokens(golden("clip_tokenizer"))
    arrays = _arrays()
    yield from _preprocessing(arrays)
    yield from _towers(arrays)
    yield from _zero_shot(arrays)
    yield from _training(arrays)
    yield from _evaluation(arrays)
    yield from _composing(arrays)


def _arrays() -> dict[str, np.ndarray]:
    files = [FOLDER / "io.npz"] if (FOLDER / "io.npz").is_file() else sorted(FOLDER.glob("*.npz"))
    found: dict[str, np.ndarray] = {}
    for file in files:
        with np.load(file) as saved:
            found |= {key: saved[key] for key in saved.files}
    return found


def _tokens(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    texts = json.loads(arrays["texts_utf8_json"].item())
    original = ClipTokenizer(literal_specials=True)
    raw = [original.encode(text) for text in texts]
    yield Check("clip tokenizer", "ids", original(texts), arrays["ids"], 0)
    short = arrays["ids_ctx32"]
    yield Check("clip tokenizer", "ids, short context", ClipTokenizer(short.shape[1], True)(texts), short, 0)
    yield Check("clip tokenizer", "ids before they are cut", np.concatenate(raw), arrays["raw_ids_flat"], 0)
    yield Check("clip tokenizer", "place of the end", original(texts).argmax(1), arrays["argmax_eot_pos"], 0)
    cleaned = [original.clean(text) for text in texts]
    yield Check("clip tokenizer", "cleaned texts", cleaned, json.loads(arrays["cleaned"].item()), 0)
    yield Check(
        "clip tokenizer", "decoded", [original.decode(ids) for ids in raw], json.loads(arrays["decoded"].item()), 0
    )


def _preprocessing(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    for name in sorted(key for key in arrays if key.startswith("pad_in_")):
        expected = arrays[name.replace("in", "out")]
        ours = Preprocess(canvas_px=expected.shape[0]).squares([arrays[name]])[0]
        yield Check("chexzero", f"square of bytes {name.removeprefix('pad_in_')}", ours, expected, 0)
    for antialias, name in ((True, "preproc_slice"), (False, "noaa_preproc_slice")):
        images = Preprocess(antialias=antialias)(arrays["images_u8"])
        kind = "with" if antialias else "without"
        yield Check("chexzero", f"preprocessed, {kind} antialias", images[:, 0, ::8, ::8], arrays[name])


def _model(letter: str, antialias: bool = True) -> Model:
    return import_chexzero(FOLDER / f"checkpoint_{letter}.pt", antialias=antialias)


def _towers(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    for antialias, name in ((True, "image_embed_a"), (False, "noaa_image_embed_a")):
        ours = _model("a", antialias).embed_images(arrays["images_u8"], normalize=False)
        kind = "with" if antialias else "without"
        yield Check("chexzero", f"image embeddings, {kind} antialias", ours, arrays[name])
    model = _model("a")
    for sign, template in zip(("pos", "neg"), arrays["pair_template"], strict=True):
        texts = [str(template).format(label) for label in arrays["labels"]]
        yield Check("chexzero", f"prompt ids, {sign}", model.tokenizer(texts), arrays[f"tokens_{sign}"], 0)
        ours = model.embed_texts(texts, normalize=False)
        yield Check("chexzero", f"prompt embeddings, {sign}", ours, arrays[f"text_embed_{sign}_a"])


def _zero_shot(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    labels = [str(label) for label in arrays["labels"]]
    positive, negative = ((str(template),) for template in arrays["pair_template"])
    pair = PromptSet("pair", positive, negative)
    for antialias, prefix in ((True, ""), (False, "noaa_")):
        each = []
        for letter in "ab":
            model = _model(letter, antialias)
            images, sides = model.embed_images(arrays["images_u8"]), finding_vectors(model, labels, pair)
            each.append(pair_scores(images, *sides))
            if letter == "a" and antialias:
                for sign, vectors in zip(("pos", "neg"), sides, strict=True):
                    yield Check("chexzero", f"cosines, {sign}", images @ vectors.T, arrays[f"{sign}_logits_a"])
                several = PromptSet("several", tuple(str(t) for t in arrays["multi_templates"]), negative)
                vectors = finding_vectors(model, labels, several)[0].T
                yield Check("chexzero", "several templates", vectors, arrays["zeroshot_weights_multi_a"])
        kind = "with" if antialias else "without"
        yield Check("chexzero", f"scores, {kind} antialias", each, arrays[f"{prefix}prob_each"], 1e-6)
        mean = np.mean(each, axis=0)
        yield Check("chexzero", f"scores of both, {kind} antialias", mean, arrays[f"{prefix}prob_ensemble"], 1e-6)


def _training(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    encoder = _model("a").encoder.train().requires_grad_(True)
    assert isinstance(encoder, DualEncoder)
    ids = torch.from_numpy(arrays["train_tokens"])
    images = Preprocess(antialias=True)(arrays["images_u8"])[: len(ids)]
    optimizer = torch.optim.SGD(encoder.parameters(), lr=1e-4, momentum=0.9)
    losses, gradients = [], {}
    for step in range(len(arrays["train_losses_4steps"])):
        loss = symmetric_nce(encoder.encode_images(images), encoder.encode_texts(ids), encoder.logit_scale)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {name: p.grad.clone() for name, p in encoder.clip.named_parameters() if p.grad is not None}
        optimizer.step()
        losses.append(float(loss.detach()))
    yield Check("chexzero", "loss", losses[0], arrays["train_loss"])
    yield Check("chexzero", "loss of four steps", losses, arrays["train_losses_4steps"])
    norms = [float(gradients[str(name)].norm()) for name in arrays["train_grad_keys"]]
    yield Check("chexzero", "gradient norm of each tensor", norms, arrays["train_grad_norms"], 1e-4, relative=True)
    total = float(np.sqrt(np.square(norms).sum()))
    yield Check("chexzero", "gradient norm of all", total, arrays["train_grad_total_norm"], 1e-4, relative=True)
    for name, key in (("visual.proj", "visual_proj"), ("text_projection", "text_projection")):
        expected = arrays[f"train_grad_{key}"]
        yield Check("chexzero", f"gradient of {name}", gradients[name], expected, 1e-4, relative=True)
    scale = float(encoder.logit_scale.detach())
    yield Check("chexzero", "logit scale after four steps", scale, arrays["train_logit_scale_after4"], 1e-6)


def _evaluation(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    name = "chexzero, evaluation"
    truth, scores = arrays["boot_y_true"], arrays["boot_y_pred"]
    columns, resampler = range(truth.shape[1]), Resampler(len(truth), len(arrays["boot_auc"]))
    drawn = [resampler.indices(i) for i in range(len(arrays["boot_first_sample_idx"]))]
    yield Check(name, "resamples", drawn, arrays["boot_first_sample_idx"], 0)
    series = {c: Series(truth[:, c], scores[:, c], metrics=("auroc",)) for c in columns}
    values = resampling.bootstrap(series, resampler)
    yield Check(name, "AUROC", [series[c].point()["auroc"] for c in columns], arrays["eval_auc"], 1e-12)
    each = np.stack([values[c]["auroc"] for c in columns], axis=1)
    yield Check(name, "AUROC of each resample", each, arrays["boot_auc"], 1e-12)
    found = [interval(values[c]["auroc"], rule="chexzero") for c in columns]
    rounded = np.round([(one.mean, one.low, one.high) for one in found], 4).T
    yield Check(name, "interval", rounded, arrays["boot_ci"], 1e-9)
    for rule in ("mcc", "f1"):
        ours = [best_threshold(truth[:, c], scores[:, c], rule) for c in columns]
        yield Check(name, f"threshold by {rule}", ours, arrays[f"thr_{rule}"], 0)
    calls = scores >= arrays["thr_mcc"]
    yield Check(name, "MCC", [mcc(truth[:, c], calls[:, c]) for c in columns], arrays["thr_mcc_point"], 1e-12)
    at = [scores[:, c] >= best_threshold(truth[:, c], scores[:, c], "youden") for c in columns]
    points = [(sensitivity(truth[:, c], at[c]), specificity(truth[:, c], at[c])) for c in columns]
    yield Check(name, "Youden's point", points, arrays["youden_sens_spec"], 1e-12)


def _composing(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    name, model = "cxr-repair", _model("a")
    corpus = Corpus.of_texts([str(text) for text in arrays["repair_corpus"]])
    yield Check(name, "ids, cut where too long", model.tokenizer(corpus.texts), arrays["repair_tokens_truncated"], 0)
    yield Check(name, "corpus embeddings", corpus.vectors(model), arrays["repair_corpus_embed"])
    images = model.embed_images(arrays["images_u8"])
    for key in sorted(key for key in arrays if key.startswith("repair_top")):
        found = arrays[key]
        drafts = list(
            compose_many(images, [None] * len(images), model, corpus, sentences=found.shape[1], way="cxr-repair")
        )
        places = [[one.place for one in draft.sentences] for draft in drafts]
        yield Check(name, f"the nearest {found.shape[1]}", places, found, 0)
        reports = arrays[key.replace("repair_top", "repair_reports_top")]
        yield Check(name, f"reports of the nearest {found.shape[1]}", [draft.text for draft in drafts], reports, 0)
