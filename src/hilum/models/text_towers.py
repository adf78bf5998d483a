"""Text towers: BERT and its family, built from a plain description that is saved beside the weights; no hub is asked."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from hilum.errors import ModelError
from hilum.models.encoder import compare_keys

# eos: the last token of the text, [SEP] (CXR-CLIP). bos: [CLS]. cls: [CLS] through BERT's pooler (REFERS).
# mean and max: over the text's tokens, [CLS] and [SEP] included (ConVIRT).
Pooling = Literal["eos", "bos", "cls", "mean", "max"]

_OUTSIDE = -1e12  # what max pooling puts where there is no token, as ConVIRT's released code does


class Bert(BaseModel):
    """A BERT (Devlin et al. 2019); the defaults are Bio_ClinicalBERT's (108,310,272 parameters)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Literal["bert"] = "bert"
    vocab_size: int = Field(28996, gt=0)
    width: int = Field(768, gt=0)
    layers: int = Field(12, gt=0)
    heads: int = Field(12, gt=0)
    feed_forward: int = Field(3072, gt=0, description="hidden width of a layer's feed-forward part")
    positions: int = Field(512, gt=0, description="most tokens of a text, special ones included")
    token_types: int = Field(2, gt=0, description="rows of the segment table, of which only the first is used")
    dropout: float = Field(0.1, ge=0, lt=1, description="of hidden states and attention, in training")
    pad_id: int = Field(0, ge=0)
    pooler: bool = Field(True, description="whether there is BERT's pooler; only pooling 'cls' uses it")


class Transformers(BaseModel):
    """Any other encoder of the BERT family, by the settings of its transformers configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Literal["transformers"] = "transformers"
    settings: dict[str, Any] = Field(description="of the configuration, `model_type` included")
    pooler: bool = True


# What a field of a saved architecture is declared as: pydantic picks the class by `family`.
TextDescription = Annotated[Bert | Transformers, Field(discriminator="family")]

# The tiny ones are for tests and two CPU cores; their vocabulary is learned from the user's reports.
NAMED: dict[str, Bert] = {
    "bio-clinicalbert": Bert(),
    "bert-base": Bert(vocab_size=30522),
    "bert-small": Bert(vocab_size=8192, width=256, layers=4, heads=4, feed_forward=1024, positions=256),
    "bert-tiny": Bert(vocab_size=2048, width=128, layers=2, heads=2, feed_forward=256, positions=128),
}


class TextTower(nn.Module):
    """A text tower: rows of token ids in, hidden states and one pooled vector a text out.

    An encoder keeps its tower as `text_tower`, so that in a model folder the weights lie under `text_tower.net.`.

    Attributes:
        description: what it was built from.
        net: the transformers module.
        width: of a hidden state.
        positions: most tokens of a text.
        pad_id: the id that stands for no token.
    """

    def __init__(self, description: Bert | Transformers) -> None:
        super().__init__()
        self.description = description
        self.net = _net(description)
        config = self.net.config
        self.width = int(getattr(config, "hidden_size", None) or config.dim)
        self.pad_id = int(config.pad_token_id or 0)
        self.positions = int(config.max_position_embeddings)
        if config.model_type in ("roberta", "xlm-roberta", "camembert"):
            self.positions -= self.pad_id + 1  # RoBERTa's positions start behind the padding's

    def forward(self, ids: Tensor, pooling: Pooling = "eos") -> Tensor:
        """(N, L) int64 ids, padded, to one vector a text (N, width)."""
        ids = self.trim(ids)
        mask = self.mask(ids)
        return self.pool(self.hidden(ids, mask)[-1], mask, pooling)

    def mask(self, ids: Tensor) -> Tensor:
        """True where there is a token: (N, L)."""
        return ids != self.pad_id

    def trim(self, ids: Tensor) -> Tensor:
        """The ids without the columns at the end in which no text has a token."""
        used = self.mask(ids).any(dim=0).nonzero()
        return ids[:, : int(used[-1]) + 1] if len(used) else ids[:, :1]

    def hidden(self, ids: Tensor, mask: Tensor | None = None, layers: int = 1) -> tuple[Tensor, ...]:
        """The hidden states of the last layers, the last one last: each (N, L, width).

        Args:
            ids: (N, L) int64, padded.
            mask: (N, L) True where there is a token; by default where the id is not padding.
            layers: how many; more than the tower has would give the embeddings, and is refused.

        Raises:
            ModelError: texts longer than the position table, or more layers than there are.
        """
        if ids.shape[1] > self.positions:
            raise ModelError(f"texts of {ids.shape[1]} tokens; the text tower has positions for {self.positions}.")
        mask = self.mask(ids) if mask is None else mask
        many = layers > 1
        out = self.net(input_ids=ids, attention_mask=mask.to(ids.dtype), output_hidden_states=many, return_dict=True)
        if not many:
            return (out.last_hidden_state,)
        if layers >= len(out.hidden_states):
            raise ModelError(f"the last {layers} layers of a text tower of {len(out.hidden_states) - 1}.")
        return tuple(out.hidden_states[-layers:])

    def pool(self, hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
        """One vector a text.

        Args:
            hidden: (N, L, width), as from `hidden`.
            mask: (N, L) True where there is a token.
            pooling: which token, or how tokens are put together.

        Returns:
            (N, width).

        Raises:
            ModelError: 'cls' where the tower has no pooler, or an unknown pooling.
        """
        if pooling == "bos":
            return hidden[:, 0]
        if pooling == "cls":
            dense = getattr(getattr(self.net, "pooler", None), "dense", None)
            if dense is None:
                raise ModelError("pooling 'cls' needs a text tower with BERT's pooler; this one has none. Take 'bos'.")
            return torch.tanh(dense(hidden[:, 0]))
        if pooling == "eos":
            last = (mask.sum(dim=1) - 1).clamp(min=0)
            return hidden[torch.arange(len(hidden), device=hidden.device), last]
        outside = ~mask.unsqueeze(-1)
        if pooling == "max":
            return hidden.masked_fill(outside, _OUTSIDE).amax(dim=1)
        if pooling == "mean":
            return hidden.masked_fill(outside, 0).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        raise ModelError(f"pooling is {pooling!r}; expected one of {', '.join(get_args(Pooling))}.")

    def freeze(self, layers: int) -> None:
        """Train neither the embeddings nor the first `layers` layers; -1 freezes all of them."""
        blocks = self._layers()
        if layers > len(blocks):
            raise ModelError(f"freeze the first {layers} layers of a text tower of {len(blocks)}.")
        self.net.embeddings.requires_grad_(False)
        for block in blocks if layers < 0 else blocks[:layers]:
            block.requires_grad_(False)

    def weights(self) -> dict[str, Tensor]:
        """The weights under the names of transformers."""
        return dict(self.net.state_dict())

    def load_weights(self, tensors: dict[str, Tensor]) -> None:
        """Put weights in, strictly; names are those of `weights()`.

        Raises:
            ModelError: a name is missing or too many, or a shape differs; all are listed.
        """
        own = self.weights()
        report = compare_keys(own, tensors)
        if report:
            raise ModelError(f"the weights do not fit the {self.description.family} text tower:\n{report}")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])

    def _layers(self) -> list[nn.Module]:
        body = getattr(self.net, "encoder", None) or getattr(self.net, "transformer", None)
        return list(getattr(body, "layer", []))


def build_text_tower(description: Bert | Transformers) -> TextTower:
    """A text tower with fresh random weights (torch's global generator).

    Raises:
        ModelError: the description's parts do not fit together, or transformers has no such encoder.

    Example:
        >>> build_text_tower(text_tower_named("bert-tiny")).width
        128
    """
    return TextTower(description)


def text_tower_named(name: str, **changes: Any) -> Bert:
    """The description of a text tower by its name.

    Args:
        name: one of `NAMED`, in any case.
        **changes: fields of the description, such as `vocab_size=tokenizer.size`.

    Raises:
        ModelError: no such tower (the closest is suggested), or no such field.

    Example:
        >>> text_tower_named("bert-tiny", layers=3).layers
        3
    """
    key = name.lower().replace("_", "-").rsplit("/", 1)[-1]
    if key not in NAMED:
        close = difflib.get_close_matches(key, NAMED, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ModelError(
            f"no text tower '{name}'.{hint} There are: {', '.join(NAMED)}; or give a local Hugging Face folder."
        )
    try:
        return TypeAdapter(Bert).validate_python({**NAMED[key].model_dump(), **changes})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
        raise ModelError(f"text tower {name}: {'; '.join(lines)}.") from None


def _net(description: Bert | Transformers) -> Any:
    from transformers import AutoConfig, AutoModel, BertConfig, BertModel

    if isinstance(description, Bert):
        if description.width % description.heads:
            raise ModelError(f"text tower: {description.width} dimensions do not divide by {description.heads} heads.")
        config = BertConfig(
            vocab_size=description.vocab_size,
            hidden_size=description.width,
            num_hidden_layers=description.layers,
            num_attention_heads=description.heads,
            intermediate_size=description.feed_forward,
            max_position_embeddings=description.positions,
            type_vocab_size=description.token_types,
            hidden_dropout_prob=description.dropout,
            attention_probs_dropout_prob=description.dropout,
            pad_token_id=description.pad_id,
        )
        return BertModel(config, add_pooling_layer=description.pooler)
    settings = dict(description.settings)
    kind = settings.pop("model_type", None)
    try:
        net = AutoModel.from_config(AutoConfig.for_model(kind, **settings))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"text tower: transformers has no encoder of the kind {kind!r}: {error}") from None
    if not description.pooler and getattr(net, "pooler", None) is not None:
        net.register_module("pooler", None)
    return net
