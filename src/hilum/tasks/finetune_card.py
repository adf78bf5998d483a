"""The model card of a finetuned model (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hilum.models import Model
from hilum.models.head import Head

_CARD = """---
library_name: hilum
license: apache-2.0
tags: [chest-x-ray, radiology, finetuned]
---
# {name}

**A research model, not a medical device. Do not use it for diagnosis.**

An encoder finetuned from `{encoder}` with a {task} head: {names}.

```
hilum predict {name} new-image.dcm
```

gives scores, not probabilities: they rank images. Choose thresholds on validation data.

## Data

| images | |
| --- | --- |
{counts}

Labels: {said_by}, target `{target}`; part of the training images: {part}.
{remarks}
## How it was chosen

{chosen}

## Recipe

| setting | value |
| --- | --- |
{recipe}

Seed {seed}.

## Limits

* It has seen only the images counted above; other scanners, views, ages and hospitals are untested.
* Labels have mistakes, and those mined from reports have more; a model repeats them.
* Read a finding's confidence interval, not its point estimate.
"""


def finetuned_card(model: Model, head: Head, part: str, remarks: Sequence[str]) -> str:
    """The card's Markdown, from the model's provenance."""
    made: dict[str, Any] = model.provenance
    if made["best_epoch"] is None:
        chosen = "Validation AUROC was undefined: the last pass was kept."
    else:
        chosen = f"Pass {made['best_epoch']} had the best validation AUROC ({made['best_val_auroc']:.4f})."
    noted = "\n" + "\n".join(f"* {remark}" for remark in remarks) + "\n" if remarks else ""
    return _CARD.format(
        name=model.name,
        encoder=made["pretrained"].get("name", made["encoder"]),
        task=head.task,
        names=", ".join(head.names),
        counts="\n".join(f"| {split} | {count:,} |" for split, count in made["images"].items()),
        said_by=made["said_by"],
        target=made["target"][0],
        part=part,
        remarks=noted,
        chosen=chosen,
        recipe="\n".join(f"| {key} | {value} |" for key, value in made["recipe"].items()),
        seed=made["seed"],
    )
