"""A small transformer that says which token comes next (Vaswani and others, NeurIPS 2017)."""

import math
from collections import OrderedDict
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from largestep import _checks

__all__ = ["Attention", "Block", "Embedding", "transformer"]

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}
_STD = 0.02


class Embedding(nn.Module):
    """What stands for each token, plus what stands for its position; both are learnt."""

    def __init__(self, classes: int, context: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(classes, width)
        self.positions = nn.Parameter(torch.empty(context, width))

    def forward(self, tokens: Int64[Tensor, "n length"]) -> Float[Tensor, "n length width"]:
        """Return the sum of the two.

        Raises
        ------
        ValueError
            If the sequences are longer than the context.
        """
        context, length = len(self.positions), tokens.shape[-1]
        if length > context:
            raise ValueError(f"sequences must have at most {context} tokens, got {length}")
        embedded: Tensor = self.tokens(tokens) + self.positions[:length]
        return embedded


class Attention(nn.Module):
    """Causal attention with several heads: a position sees itself and what comes before.

    It is written out, so that its logits can be measured and differentiated twice.

    Parameters
    ----------
    width : of the features, a multiple of the heads.
    heads : how many.
    qk_norm : whether queries and keys are brought to mean 0 and norm √d, d = width/heads, head by
        head and without a scale that is learnt. Then no logit exceeds √d.
    """

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.heads, self.qk_norm = heads, qk_norm
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def logits(
        self, features: Float[Tensor, "n length width"]
    ) -> Float[Tensor, "n heads length length"]:
        """Return qᵀk/√d of every query and key, and −∞ where the key comes after the query."""
        return self._logits_and_values(features)[0]

    def forward(self, features: Float[Tensor, "n length width"]) -> Float[Tensor, "n length width"]:
        """Return what each position gathers."""
        logits, values = self._logits_and_values(features)
        gathered = logits.softmax(-1) @ values
        mixed: Tensor = self.out(gathered.transpose(1, 2).flatten(2))
        return mixed

    def _logits_and_values(self, features: Tensor) -> tuple[Tensor, Tensor]:
        parts = self.queries_keys_values(features).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        size = queries.shape[-1]
        if self.qk_norm:
            queries, keys = (functional.layer_norm(x, (size,)) for x in (queries, keys))
        logits = queries @ keys.transpose(-1, -2) / math.sqrt(size)
        length = logits.shape[-1]
        later = torch.ones(length, length, dtype=torch.bool, device=logits.device).triu(1)
        return logits.masked_fill(later, -math.inf), values


class Block(nn.Module):
    """Attention, then two linear layers with units between, each beside a direct way.

    Attributes
    ----------
    units : the activation of the wider layer, whose features are measured.
    """

    def __init__(
        self, width: int, heads: int, activation: Literal["relu", "gelu"], *, qk_norm: bool
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, qk_norm=qk_norm)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.units = _ACTIVATIONS[activation]()
        self.contract = nn.Linear(4 * width, width)

    def forward(self, features: Float[Tensor, "n length width"]) -> Float[Tensor, "n length width"]:
        """Return the features with what attention and units add to them."""
        features = features + self.attention(self.norm1(features))
        added: Tensor = self.contract(self.units(self.expand(self.norm2(features))))
        return features + added


def transformer(
    classes: int,
    context: int = 64,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    activation: Literal["relu", "gelu"] = "relu",
    qk_norm: bool = False,
) -> nn.Sequential:
    """Return a decoder: (n, length) tokens → (n, length, classes) logits of the next token.

    Blocks normalise what they read, not what they add [1]_. It has no dropout. Weights and
    embeddings start normal with standard deviation 0.02, those of the two layers of a block that
    add to the features divided by √(2·depth) [2]_, biases at 0: at the start every token is about
    equally likely.

    Parameters
    ----------
    classes : number of tokens.
    context : the longest sequence.
    width : of the features; the units of a block are four times as many.
    depth : number of blocks.
    heads : of the attention; they divide the width.
    activation : of the units, "relu" or "gelu".
    qk_norm : whether queries and keys are normalised [3]_, which keeps attention from growing hard
        at large step sizes.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, or the heads do not divide the width.

    References
    ----------
    .. [1] R. Xiong and others, "On layer normalization in the transformer architecture", ICML 2020.
    .. [2] A. Radford and others, "Language models are unsupervised multitask learners", 2019.
    .. [3] M. Dehghani and others, "Scaling vision transformers to 22 billion parameters", ICML
       2023.
    """
    classes, context, width, depth, heads = (
        _checks.integer(name, value, at_least=1)
        for name, value in (
            ("classes", classes),
            ("context", context),
            ("width", width),
            ("depth", depth),
            ("heads", heads),
        )
    )
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, {heads}, got {width}")
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
    network = nn.Sequential(
        OrderedDict(
            {
                "embedding": Embedding(classes, context, width),
                **{
                    f"stage{number + 1}": Block(width, heads, activation, qk_norm=qk_norm)
                    for number in range(depth)
                },
                "norm": nn.LayerNorm(width),
                "linear": nn.Linear(width, classes),
            }
        )
    )
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            adds = name.endswith(("attention.out.weight", "contract.weight"))
            nn.init.normal_(parameter, std=_STD / math.sqrt(2 * depth) if adds else _STD)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return network
