"""The model card of a pretrained model (Mitchell et al. 2019)."""

from __future__ import annotations

from typing import Any

from hilum.models import Model
from hilum.models.encoder import parameter_count

_CARD = """---
library_name: hilum
license: apache-2.0
tags: [chest-x-ray, radiology, zero-shot, {method}]
---
# {name}

**A research model, not a medical device. Do not use it for diagnosis.**

An image and a text encoder that share one space of {dim} dimensions ({parameters:,} parameters), pretrained with `{method}`
({paper}) on radiographs and their reports, without labels.

```python
import hilum

model = hilum.Model.load("{name}")
images = model.embed_images(pixels)          # uint8 gray, (H, W) each -> (N, {dim}) unit rows
texts = model.embed_texts(["pleural effusion", "no pleural effusion"])
```

## Data

| | images | without text | pairs used | texts cut at {context} tokens |
| --- | --- | --- | --- | --- |
{counts}

Text of a report: policy `{policy}`.

## How it was chosen

{chosen}

## Recipe

| setting | value | |
| --- | --- | --- |
{recipe}

Seed {seed}, {steps} steps.

## Limits

* It has seen only the images and wording counted above; other scanners, views, ages and languages are untested.
* Scores are cosines through a softmax: they rank images, they are not probabilities. Choose thresholds on validation data.
* A finding that the reports rarely name is rarely learned; read its confidence interval, not its point estimate.
* The weights are under Apache-2.0 as far as this software is concerned; the terms of the data they were trained on also apply.
"""


def model_card(model: Model, paper: str, result: dict[str, Any]) -> str:
    """The card's Markdown, from the model's provenance."""
    made = model.provenance
    best = made["kept"]
    rows = [
        f"| {split} | {c['images']:,} | {c['images_without_text']:,} | {c['pairs']:,} | {c['texts_cut']:,} |"
        for split, c in made["counts"].items()
        if c
    ]
    if best is None:
        chosen = "There was no validation split with text: the last step was kept."
    else:
        measured = ", ".join(f"{k} {v:.4f}" for k, v in best.items() if k != "step")
        chosen = f"Step {best['step']} of {result['steps']} was the best by {made['chosen_by']} ({measured})."
    recipe = [f"| {key} | {value} |  |" for key, value in made["recipe"].items()]
    return _CARD.format(
        name=model.name,
        method=made["made_by"].split()[-1],
        paper=paper,
        dim=model.embed_dim,
        parameters=parameter_count(model.encoder),
        context=model.tokenizer.context_length,
        counts="\n".join(rows),
        policy=made["text_policy"],
        chosen=chosen,
        recipe="\n".join(recipe),
        seed=made["seed"],
        steps=result["steps"],
    )
