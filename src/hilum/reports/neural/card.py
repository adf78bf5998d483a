"""The model card of a labeler: what it is, what it was made from, how well it does, what it cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hilum.reports.neural.folder import LabelerConfig
    from hilum.reports.neural.network import CheXbert

_LIMITS = """\
- A research tool, not a medical device. It reads reports, never images, and knows only what the report says.
- Its scores are softmax scores; they are not calibrated probabilities.
- It repeats the habits of the labels it was trained on, their errors included, and is weakest where they are rare
  (uncertain findings above all). Compare it on labels of your own: `hilum labels compare`.
- It reads the language it was trained on; text in another language gives labels without meaning.
- A report longer than one window is read in overlapping windows: positive beats uncertain beats negative, and
  No Finding holds only where every window says it.
"""


def model_card(config: LabelerConfig, fingerprint: str, network: CheXbert) -> str:
    """The text of README.md."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    encoder = config.encoder
    size = ", ".join(
        f"{encoder[key]} {word}"
        for key, word in [("num_hidden_layers", "layers"), ("hidden_size", "wide"), ("vocab_size", "tokens")]
        if key in encoder
    )
    parts = [
        "# Report labeler",
        f"Labels {len(config.findings)} observations in chest X-ray reports as positive, negative, uncertain or not "
        f"mentioned (architecture: CheXbert, Smit et al. 2020).",
        f"- fingerprint: `{fingerprint}`\n- origin: {config.origin}\n- encoder: {encoder.get('model_type')} ({size}), "
        f"{parameters:,} parameters in all\n- window: {config.max_tokens} tokens, overlap {config.overlap_tokens}, "
        f"long reports: {config.long_reports}\n- text it was trained on: {config.text_policy or 'not stated'}",
    ]
    for title in ("data", "measured", "recipe"):
        if title in config.training:
            parts.append(f"## {title.capitalize()}\n\n" + _bullets(config.training[title]))
    parts.append("## Limits\n\n" + _LIMITS)
    return "\n\n".join(parts)


def _bullets(content: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {_shown(value)}" for name, value in content.items())


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
