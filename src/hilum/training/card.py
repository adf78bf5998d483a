"""The model card of a pretrained model (Mitchell et al. 2019)."""

from __future__ import annotations

from typing import Any

from hilum.models import Model
from hilum.models.encoder import parameter_count

_CARD = """---
library_name: hilum
license: apache-2.0
tags: [chest-x-ray, radiology, {method}]
---
# {name}

**A research model, not a medical device. Do not use it for diagnosis.**

{what}, pretrained with `{method}` ({paper}){how}, without hand-made labels.

```python
import hilum

model = hilum.Model.load("{name}")
{example}
```

## Data

{counts}
{policy}

## How it was chosen

{chosen}

## Recipe

| setting | value | |
| --- | --- | --- |
{recipe}

Seed {seed}, {steps} steps.

## Limits

* It has seen only the images and wording counted above; other scanners, views, ages and languages are untested.
{limits}* The weights are under Apache-2.0 as far as this software is concerned; the terms of the data they were trained on also
  apply.
"""


_IMAGES_ONLY = """features = model.features(pixels)             # uint8 gray, (H, W) each -> (N, F)"""
_WITH_TEXTS = """images = model.embed_images(pixels)          # uint8 gray, (H, W) each -> (N, {dim}) unit rows
texts = model.embed_texts(["pleural effusion", "no pleural effusion"])"""

_LIMITS = """* Scores are cosines through a softmax: they rank images, they are not probabilities. Choose thresholds on validation
  data.
* A finding that the reports rarely name is rarely learned; read its confidence interval, not its point estimate.
"""


def model_card(model: Model, paper: str, result: dict[str, Any]) -> str:
    """The card's Markdown, from the model's provenance."""
    made = model.provenance
    best = made["kept"]
    texts, parameters = model.encoder.has_text, parameter_count(model.encoder)
    if texts:
        what = f"An image and a text encoder that share one space of {model.embed_dim} dimensions ({parameters:,} parameters)"
    else:
        what = f"An image encoder of {parameters:,} parameters"
    names = list(dict.fromkeys(name for counts in made["counts"].values() for name in counts))
    table = [f"| | {' | '.join(name.replace('_', ' ') for name in names)} |", "| --- " * (len(names) + 1) + "|"]
    for split, counts in made["counts"].items():
        if counts:
            table.append(f"| {split} | {' | '.join(f'{counts.get(name, 0):,}' for name in names)} |")
    if best is None:
        chosen = "The last step was kept."
    else:
        measured = ", ".join(f"{k} {v:.4f}" for k, v in best.items() if k != "step")
        chosen = f"Step {best['step']} of {result['steps']} was the best by {made['chosen_by']} ({measured})."
    return _CARD.format(
        name=model.name,
        method=made["made_by"].split()[-1],
        paper=paper,
        what=what,
        how=" on radiographs and their reports" if made["text_policy"] else " on radiographs",
        example=_WITH_TEXTS.format(dim=model.embed_dim) if texts else _IMAGES_ONLY,
        counts="\n".join(table),
        policy=f"\nText of a report: policy `{made['text_policy']}`.\n" if made["text_policy"] else "",
        chosen=chosen,
        recipe="\n".join(f"| {key} | {value} |  |" for key, value in made["recipe"].items()),
        seed=made["seed"],
        steps=result["steps"],
        limits=_LIMITS if texts else "",
    )
