"""Reports: sections as four originals cut them, CheXbert's network, and the metrics it is judged by."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from hilum.reports import mimic_conclusion, report_text, sections
from hilum.reports.neural.chexbert_import import import_chexbert
from hilum.reports.neural.network import HEADS, CheXbert, labeler_loss
from hilum.reports.state_metrics import confusion, four_state, state_weights
from tests.parity import GOLDEN, Check, golden

# Where bert-base-uncased has its special tokens.
SPECIAL = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
METRICS = {
    "positive_f1": "positive",
    "negative_f1": "negation",
    "uncertain_f1": "uncertain",
    "mention_f1": "mention",
    "blank_f1": "blank",
    "weighted_f1": "weighted",
    "kappa": "kappa",
}


def checks() -> Iterator[Check]:
    """Every array of the originals that hilum has a counterpart of."""
    yield from _sections()
    arrays = golden("chexbert")
    network = _network()
    yield from _network_outputs(network, arrays)
    yield from _training(network, arrays)
    yield from _metrics(arrays)


def _sections() -> Iterator[Check]:
    cases = json.loads((GOLDEN / "sections" / "sections.json").read_text(encoding="utf-8"))
    texts = [case["text"] for case in cases]
    ours = [sections(text, mode="mimic") for text in texts]
    parsed = [case["mimic_section_parser"] for case in cases]
    for part, key in (("text", "sections"), ("name", "names"), ("start", "start_indices")):
        found = json.dumps([[getattr(one, part) for one in of] for of in ours])
        yield Check("sections", f"MIMIC-CXR's parser, {key}", found, json.dumps([of[key] for of in parsed]), 0)
    conclusions = [mimic_conclusion(text) for text in texts]
    expected = [case["mimic_conclusion_section"] for case in cases]
    told = [(one.name, one.text) if one else (None, "") for one in conclusions]
    yield Check(
        "sections",
        "MIMIC-CXR's conclusion",
        json.dumps(told),
        json.dumps([(e["name"], e["text"]) for e in expected]),
        0,
    )
    for policy, key in (("chexzero", "chexzero_impression"), ("cxr-repair", "cxr_repair_impression")):
        yield Check(
            "sections",
            f"impression of {policy}",
            [report_text({}, policy, t) for t in texts],
            [c[key] for c in cases],
            0,
        )


def _network() -> CheXbert:
    file = GOLDEN / "chexbert" / "chexbert_tiny.pt"
    config = json.loads((GOLDEN / "chexbert" / "config.json").read_text(encoding="utf-8"))
    lines = [SPECIAL.get(i, f"[unused{i}]") for i in range(config["vocab_size"])]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return import_chexbert(file, vocabulary, attention_heads=config["num_attention_heads"]).network


def _network_outputs(network: CheXbert, arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    ids, mask = torch.tensor(arrays["input_ids"]), torch.tensor(arrays["attention_mask"])
    heads = range(len(HEADS))
    with torch.inference_mode():
        yield Check("chexbert", "vector of a report", network.embed(ids, mask), arrays["cls_hidden"])
        logits = network(ids, mask)
        alone = [network(ids[i : i + 1, :n], mask[i : i + 1, :n]) for i, n in enumerate(arrays["lengths"])]
    ours, theirs = (torch.cat(list(logits), 1), np.concatenate([arrays[f"logits_{h:02d}"] for h in heads], 1))
    yield Check("chexbert", "logits of all heads", ours, theirs)
    rows = torch.cat([torch.cat(list(one), 1) for one in alone])
    theirs = np.concatenate([arrays[f"logits_unpadded_{h:02d}"] for h in heads], 1)
    yield Check("chexbert", "logits of each report without padding", rows, theirs)
    yield Check("chexbert", "states", torch.stack([h.argmax(1) for h in logits], 1), arrays["pred_class"], 0)


def _training(network: CheXbert, arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    network.requires_grad_(True).zero_grad()
    logits = network(torch.tensor(arrays["input_ids"]), torch.tensor(arrays["attention_mask"]))
    loss = labeler_loss(logits, torch.tensor(arrays["labels_class"]))
    loss.backward()
    yield Check("chexbert", "loss", loss, arrays["loss"], 1e-5, relative=True)
    norm = torch.stack([p.grad.square().sum() for p in network.parameters() if p.grad is not None]).sum().sqrt()
    yield Check("chexbert", "gradient norm", norm, arrays["grad_norm"], 1e-4, relative=True)
    head = network.heads[0].weight.grad
    yield Check("chexbert", "gradient of a head", head, arrays["grad_head0_weight"], 1e-4, relative=True)
    words = network.encoder.embeddings.word_embeddings.weight.grad
    first = int(arrays["input_ids"][0, 0])
    yield Check("chexbert", "gradient of [CLS]", words[first], arrays["grad_word_emb_row101"], 1e-4, relative=True)


def _metrics(arrays: Mapping[str, np.ndarray]) -> Iterator[Check]:
    truth = arrays["metrics_y_true"]
    once = np.ones((1, len(truth)), np.float32)
    counts = confusion(truth, arrays["metrics_y_pred"], once)[0]
    found = four_state(counts, HEADS)
    for ours, theirs in METRICS.items():
        # The original writes 0 where a state cannot be said (No Finding).
        yield Check(
            "chexbert, metrics", ours.replace("_", " "), np.nan_to_num(found[ours]), arrays[f"metrics_{theirs}"], 1e-9
        )
    expected = arrays["metrics_weights_neg_unc_pos"]
    yield Check("chexbert, metrics", "weights of the states", state_weights(counts, HEADS), expected, 1e-9)
