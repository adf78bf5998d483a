"""Image-text encoders imported from files of ConVIRT, CXR-CLIP and GLoRIA, and REFERS' report encoder: every forward array."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hilum.checkpoints import read_container
from hilum.models import Model
from hilum.models.gloria import GloriaEncoder, aggregate_words
from hilum.models.gloria_similarity import (
    attended_regions,
    both_similarity,
    global_similarity,
    local_similarity,
    slots_for_prompts,
    word_region_attention,
    z_scored,
)
from hilum.models.gloria_text import split_sentences
from hilum.models.image_text import ImageTextEncoder
from hilum.models.prompt_pooling import pooled_similarity
from hilum.models.released.bert import bert_of
from hilum.models.released.convirt import import_convirt
from hilum.models.released.cxr_clip import import_cxr_clip
from hilum.models.released.gloria import import_gloria
from hilum.models.text_towers import build_text_tower
from tests.parity import GOLDEN, Check, golden

Arrays = Mapping[str, np.ndarray]


def checks() -> Iterator[Check]:
    """Ours beside theirs."""
    with torch.no_grad():
        yield from _convirt(golden("convirt"))
        yield from _cxr_clip(golden("cxr_clip"))
        yield from _gloria(golden("gloria"))
        yield from _refers(golden("refers"))


def _convirt(arrays: Arrays) -> Iterator[Check]:
    file = GOLDEN / "convirt" / "best_model.pt"
    model = with_vocabulary(arrays, import_convirt, file, heads=bert_heads(file, "config"))
    encoder = model.encoder
    assert isinstance(encoder, ImageTextEncoder)
    images, ids, mask = (torch.from_numpy(arrays[name]) for name in ("images", "text_ids", "text_mask"))
    name, width = "convirt, imported", ids.shape[1]
    yield Check(name, "token ids", model.tokenizer(_texts(arrays["texts"]))[:, :width], arrays["text_ids"], 0)
    yield Check(name, "mask", encoder.text_tower.mask(ids), mask, 0)
    hidden = encoder.text_tower.hidden(ids, mask)[-1]
    for pooling in ("max", "mean", "cls"):
        pooled = encoder.text_tower.pool(hidden, mask, pooling)
        yield Check(name, f"text feature, {pooling}", pooled, arrays[f"text_feature_{pooling}"])
    yield Check(name, "sum of hidden states", (hidden * mask[..., None]).sum(dim=1), arrays["pool_sum_last_hidden"])
    yield Check(name, "image feature", encoder.image_features(images), arrays["image_feature"], relative=True)
    vectors, texts = encoder.encode_images(images), encoder.encode_texts(ids)
    yield Check(name, "image projection", vectors, arrays["image_proj"])
    yield Check(name, "text projection", texts, arrays["text_proj"])
    tau = read_container(file).plain("config")["t1"]
    logits = global_similarity(vectors, texts) / tau
    yield Check(name, "logits, image to text", logits, arrays["logits_i2t"], relative=True)
    yield Check(name, "logits, text to image", logits.T, arrays["logits_t2i"], relative=True)
    yield Check(name, "nearest text", logits.argmax(dim=1), arrays["eval_pred"], 0)
    by_mean = encoder.text_projection(encoder.text_tower(ids, "mean"))
    yield Check(
        name,
        "logits, mean pooling",
        global_similarity(vectors, by_mean) / tau,
        arrays["logits_i2t_meanpool"],
        relative=True,
    )
    names = sorted(encoder.image_tower.weights())
    yield Check(name, "names of the image tower", names, sorted(_texts(arrays["state_image_encoder_keys"])), 0)
    yield from _convirt_retrieval(arrays)


def _convirt_retrieval(arrays: Arrays) -> Iterator[Check]:
    from hilum.evaluation.retrieval import precision_at

    name = "convirt, retrieval"
    scores = global_similarity(torch.from_numpy(arrays["rt_query"]), torch.from_numpy(arrays["rt_cand"])).numpy()
    yield Check(name, "cosines", scores, arrays["rt_scores"])
    yield Check(name, "order of candidates", np.argsort(-scores, axis=1, kind="stable"), arrays["rt_order"], 0)
    relevant = arrays["rt_query_label"][:, None] == arrays["rt_cand_label"][None]
    for at in sorted(int(key.rsplit("_", 1)[1]) for key in arrays if key.startswith("rt_precision_at_")):
        yield Check(
            name, f"precision at {at}", precision_at(scores, relevant, at), arrays[f"rt_precision_at_{at}"], 1e-12
        )


def _cxr_clip(arrays: Arrays) -> Iterator[Check]:
    for kind in ("resnet", "swin"):
        file = GOLDEN / "cxr_clip" / f"{kind}_model-best.pt"
        images = torch.from_numpy(arrays[f"{kind}_images"])
        model = with_vocabulary(
            arrays, import_cxr_clip, file, heads=bert_heads(file, "config"), image_size_px=images.shape[-1]
        )
        encoder = model.encoder
        assert isinstance(encoder, ImageTextEncoder)
        name = f"cxr-clip {kind}, imported"
        for which, texts in (("1", "texts"), ("2", "texts2")):
            ids, length = arrays[f"input_ids{which}"], arrays[f"input_ids{which}"].shape[1]
            model.tokenizer.context_length = length
            yield Check(name, f"token ids {which}", model.tokenizer(_texts(arrays[texts])), ids, 0)
            mask = encoder.text_tower.mask(torch.from_numpy(ids))
            yield Check(name, f"mask {which}", mask, arrays[f"attention_mask{which}"], 0)
            embedded = F.normalize(encoder.encode_texts(torch.from_numpy(ids)), dim=1)
            yield Check(name, f"text embeddings {which}", embedded, arrays[f"{kind}_text_embeddings{which.strip('1')}"])
        ids = torch.from_numpy(arrays["input_ids1"])
        yield Check(name, "text feature", encoder.text_features(ids), arrays[f"{kind}_text_feature"])
        for pooling in ("bos", "mean"):
            pooled = encoder.text_tower(ids, pooling)
            yield Check(name, f"text feature, {pooling}", pooled, arrays[f"{kind}_text_feature_{pooling}"])
        yield Check(
            name, "image feature", encoder.image_features(images), arrays[f"{kind}_image_feature"], relative=True
        )
        for view, theirs in ((f"{kind}_images", "image_embeddings"), (f"{kind}_image_views", "image_view_embeddings")):
            embedded = F.normalize(encoder.encode_images(torch.from_numpy(arrays[view])), dim=1)
            yield Check(name, theirs.replace("_", " "), embedded, arrays[f"{kind}_{theirs}"])
        assert encoder.logit_scale is not None
        yield Check(name, "logit scale", encoder.logit_scale.exp(), arrays[f"{kind}_logit_scale"])
        if kind == "swin":
            last = encoder.image_tower.feature_maps(images).local.flatten(2).transpose(1, 2)
            yield Check(name, "last hidden states", last, arrays["swin_last_hidden"])
    yield from _cxr_clip_prompts(arrays)


def _cxr_clip_prompts(arrays: Arrays) -> Iterator[Check]:
    from hilum.evaluation.exclusive import class_accuracies
    from hilum.evaluation.retrieval import text_retrieval

    name, images = "cxr-clip, evaluation", arrays["ev_image_embeddings"]
    classes = [str(c) for c in arrays["zs_gloria_keys"][:-2]]
    truth = [str(label) for label in arrays["ev_label_names"]]
    prompts = [arrays[f"prompt_embed_{c.replace(' ', '_')}"] for c in classes]
    for pool in ("mean", "max"):
        scores = pooled_similarity(images, prompts, pool)
        if pool == "mean":
            yield Check(name, "class scores, mean over prompts", scores, arrays["zs_class_scores_mean"])
        accuracy = class_accuracies(scores, truth, classes)
        yield Check(name, f"class accuracies, {pool}", list(accuracy.values()), arrays[f"zs_gloria_{pool}"], 1e-12)
    yield from _pairs(arrays, images)
    found = text_retrieval(images, arrays["ret_text_embeddings"], _texts(arrays["ret_texts"]), (1, 5, 10))
    ours = [found.recall[1], found.recall[5], found.recall[10], found.mean_rank]
    yield Check(name, "retrieval, " + ", ".join(arrays["ret_keys"]), ours, arrays["ret_values"], 1e-12)
    one_hot = [classes[i % len(classes)] for i in range(len(arrays["ml_preds"]))]
    accuracy = class_accuracies(arrays["ml_preds"], one_hot, classes)
    yield Check(name, "classifier, exclusive classes", list(accuracy.values()), arrays["mc_values"], 1e-12)


def _pairs(arrays: Arrays, images: np.ndarray) -> Iterator[Check]:
    from hilum.evaluation.metrics import auroc, f1
    from hilum.models.zero_shot import pair_scores

    def measured(truth: np.ndarray, scores: np.ndarray) -> list[float]:
        calls = scores > 0.5
        return [auroc(truth, scores), float((calls == truth).mean()), f1(truth, calls)]

    name = "cxr-clip, evaluation"
    embedded = arrays["bin_text_embed"]  # (class, negative and positive, D)
    scores = pair_scores(images, embedded[:, 1], embedded[:, 0])
    ours = np.array([measured(arrays["bin_labels"][:, c], scores[:, c]) for c in range(scores.shape[1])])
    yield Check(name, "pairs of prompts: AUROC, accuracy, F1", ours, arrays["bin_result"], 1e-12)
    yield Check(name, "pairs of prompts: means", ours.mean(axis=0), arrays["bin_avg"], 1e-12)
    against, asked = arrays["rsna_text_embed"][:1], arrays["rsna_text_embed"][1:]
    ours = np.array(measured(arrays["rsna_labels"], pair_scores(images, asked, against)[:, 0]))
    yield Check(name, "RSNA's pair: AUROC, accuracy, F1", ours, arrays["rsna_result"], 1e-12)
    predicted = arrays["ml_preds"]
    ours = np.array([measured(arrays["ml_labels"][:, c], predicted[:, c]) for c in range(predicted.shape[1])])
    yield Check(name, "classifier: AUROC, accuracy, F1", ours, arrays["ml_result"], 1e-12)


def _gloria(arrays: Arrays) -> Iterator[Check]:
    file = GOLDEN / "gloria" / "chexpert_tiny.pt"
    model = with_vocabulary(arrays, import_gloria, file, heads=bert_heads(file, "hyper_parameters"))
    encoder, name = model.encoder, "gloria, imported"
    assert isinstance(encoder, GloriaEncoder)
    texts = [" ".join(split_sentences(t, min_words=2, compat="gloria")) for t in _texts(arrays["texts"])]
    ids = torch.from_numpy(arrays["caption_ids"])
    yield Check(name, "token ids", model.tokenizer(texts), ids, 0)
    layers = encoder.text_tower.hidden(ids, layers=encoder.architecture.text_layers)
    shown = arrays["bert_last_layers"].shape[2]
    yield Check(name, "last layers of BERT", torch.stack(layers, dim=1)[:, :, :shown], arrays["bert_last_layers"])
    flags = encoder.continued.bool()
    last = aggregate_words(layers[-1], ids, flags, encoder.architecture.last_id)
    ours = _to_width(last.features, arrays["agg_last_layer_first32"].shape[1]).transpose(1, 2)
    yield Check(name, "words of the last layer", ours, arrays["agg_last_layer_first32"])
    words = encoder.word_features(ids)
    yield Check(name, "words counted, with [CLS]", words.counts + 1, arrays["cap_lens_loss"], 0)
    wide = _to_width(words.features, arrays["text_emb_local_first32"].shape[2])
    yield Check(name, "word features", wide, arrays["text_emb_local_first32"])
    yield Check(name, "sentence vectors", encoder.encode_texts(ids), arrays["text_emb_global"])
    images = torch.from_numpy(arrays["images"])
    regions, whole = encoder.both_features(images)
    yield Check(name, "region features", regions, arrays["img_emb_local"], relative=True)
    yield Check(name, "image vectors", whole, arrays["img_emb_global"])
    yield Check(name, "image vectors, alone", encoder.encode_images(images), arrays["img_emb_global"])
    yield from _gloria_similarities(arrays, encoder, regions, whole)
    yield from _gloria_zero_shot(arrays, model, regions, whole)
    yield from _gloria_prompts(arrays)


def _gloria_similarities(arrays: Arrays, encoder: GloriaEncoder, regions: Tensor, whole: Tensor) -> Iterator[Check]:
    name = "gloria, similarities"
    ids = torch.from_numpy(arrays["sim_caption_ids"])
    words = encoder.word_features(ids)
    local = local_similarity(regions, words.features, torch.from_numpy(arrays["sim_cap_lens"]))
    total = global_similarity(whole, encoder.sentences(words))
    yield Check(name, "local", local, arrays["sim_local"])
    yield Check(name, "global", total, arrays["sim_global"])
    yield Check(name, "both", both_similarity(local, total), arrays["sim_both"])
    prompts = _texts(arrays["sim_texts"])
    counted = slots_for_prompts(prompts, words.counts, encoder.architecture.slots, compat="gloria")
    yield Check(name, "characters counted", counted, arrays["sim_cap_lens"], 0)
    image, texts = torch.from_numpy(arrays["ll_img"]), torch.from_numpy(arrays["ll_words"])
    each = torch.arange(len(texts))
    attention = word_region_attention(image, texts, torch.ones(len(texts), texts.shape[2], dtype=torch.bool))
    own = attention.weights[each, each].reshape(arrays["att_map"].shape)
    yield Check(name, "attention maps", own, arrays["att_map"], 1e-6)
    found = attended_regions(image, attention)[each, each]
    yield Check(name, "attended regions", found, arrays["att_weighted_context"], 1e-6)
    fixed = local_similarity(image, texts, torch.from_numpy(arrays["ls_cap_lens"]))
    yield Check(name, "local, fixed features", fixed, arrays["ls_local"])
    vectors, sentences = torch.from_numpy(arrays["gl_img"]), torch.from_numpy(arrays["gl_txt"])
    yield Check(name, "global, fixed features", global_similarity(vectors, sentences), arrays["ls_global"])


def _gloria_zero_shot(arrays: Arrays, model: Model, regions: Tensor, whole: Tensor) -> Iterator[Check]:
    encoder, name = model.encoder, "gloria, zero-shot"
    assert isinstance(encoder, GloriaEncoder)
    by_class = json.loads(str(arrays["zs_class_prompts_json"]))
    classes = [str(c) for c in arrays["zs_columns"]]
    prompts = [prompt for c in classes for prompt in by_class[c]]
    captions = [" ".join(split_sentences(p, min_words=2, compat="gloria")) for p in prompts]
    words = encoder.word_features(torch.from_numpy(model.tokenizer(captions)))
    counts = slots_for_prompts(prompts, words.counts, encoder.architecture.slots, compat="gloria")
    lengths = json.loads(str(arrays["zs_cap_lens_json"]))
    yield Check(name, "characters counted", counts, [n for c in classes for n in lengths[c]], 0)
    both = both_similarity(
        local_similarity(regions, words.features, counts), global_similarity(whole, encoder.sentences(words))
    )
    parts = both.split([len(by_class[c]) for c in classes], dim=1)
    raw = torch.stack([part.amax(dim=1) for part in parts], dim=1)
    yield Check(name, "largest over prompts", raw, arrays["zs_raw_max"])
    yield Check(name, "z-scores over images", z_scored(raw), arrays["zs_normalised"], relative=True)


def _gloria_prompts(arrays: Arrays) -> Iterator[Check]:
    from hilum.models.class_prompts import class_prompts, sampled_prompts

    name = "gloria, prompts"
    ours = class_prompts("gloria")
    yield Check(
        name, "counts", [len(ours[c]) for c in ours], list(json.loads(str(arrays["prompt_counts_json"])).values()), 0
    )
    theirs = json.loads(str(arrays["gen_prompts_seed6_json"]))
    drawn = sampled_prompts(ours, 5, random.Random(6))
    for finding in theirs:
        if finding != "Cardiomegaly":  # whose phrases are our own
            yield Check(name, f"five of {finding}, seed 6", drawn[finding], theirs[finding], 0)


def _refers(arrays: Arrays) -> Iterator[Check]:
    file = GOLDEN / "refers" / "text_encoder_checkpoint.pth"
    tensors = read_container(file).tensors("model")
    description, weights = bert_of(file, tensors, "contrastive_bert.text_encoder.", int(arrays["bert_cfg"][3]))
    tower = build_text_tower(description).eval()
    tower.load_weights(weights)
    fc = tensors["contrastive_bert.fc.weight"]
    linear = nn.Linear(fc.shape[1], fc.shape[0])
    linear.load_state_dict({part: tensors[f"contrastive_bert.fc.{part}"] for part in ("weight", "bias")})
    ids, mask = torch.from_numpy(arrays["bert_input_ids"]), torch.from_numpy(arrays["bert_attention_mask"]).bool()
    pooled = tower.pool(tower.hidden(ids, mask)[-1], mask, "cls")
    yield Check("refers", "report encoder", linear(pooled), arrays["bert_out"])


def with_vocabulary(arrays: Arrays, importer: Any, file: Path, **options: Any) -> Model:
    """The importer's model, with the arrays' vocabulary; through a model folder and back."""
    with tempfile.TemporaryDirectory() as place:
        vocab = Path(place) / "vocab.txt"
        vocab.write_text("\n".join(map(str, arrays["bert_vocab"])) + "\n", encoding="utf-8")
        made = importer(file, vocab, **options)
        made.save(Path(place) / "model")
        return Model.load(Path(place) / "model", device="cpu")


def bert_heads(file: Path, under: str) -> int:
    """Which no shape tells; the tiny files say it."""
    return int(read_container(file).plain(under)["_tiny"]["bert"]["num_attention_heads"])


def _texts(array: np.ndarray) -> list[str]:
    return [str(text) for text in array]


def _to_width(features: Tensor, slots: int) -> Tensor:
    return F.pad(features, (0, max(0, slots - features.shape[2])))[:, :, :slots]
