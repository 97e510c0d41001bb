"""The symbols of the derivation: what each stands for, and where the model keeps it.

A tensor, and the gradient of the loss with respect to it, is found by (block, symbol): blocks count
from 1 at the input, and 0 means outside the blocks. The derivation that this package makes
executable is an older, handwritten one. What that calls h is two tensors: the result x2 of a block,
and h, which is x2 of the last block after the final LayerNorm.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

Tensors = dict[tuple[int, str], Tensor]
INPUT_NAME, OUTPUT_NAME = "embedding.weight", "unembedding.weight"
OUTSIDE = 0


@dataclass(frozen=True)
class Symbol:
    """A tensor of the derivation.

    Attributes
    ----------
    by_hand : str
        What the handwritten derivation calls it; empty where it has no name there.
    meaning : str
    name : str
        The model's parameter that holds it, inside its block; empty for what is no parameter.
    third : int or None
        Which third of that parameter's rows it is, if not all of it.
    """

    by_hand: str
    meaning: str
    name: str = ""
    third: int | None = None


_QKV = "attention.query_key_value"
AT_OUTPUT = {
    "z": Symbol(
        "z, its gradient g",
        "logits; the error g = (p - y) / positions, times c where their spread is held constant",
    ),
    "W": Symbol("W_vocab", "unembedding", OUTPUT_NAME),
    "b": Symbol("b", "output bias; zero, the model has none"),
    "h": Symbol("h, in z = W h + b", "final hidden state"),
    "gain": Symbol("", "gain of the final LayerNorm", "norm.weight"),
    "shift": Symbol("", "shift of the final LayerNorm", "norm.bias"),
}
AT_INPUT = {
    "P": Symbol("", "positions", "positions.weight"),
    "E": Symbol("", "input embedding, where it is not W", INPUT_NAME),
    "W as output": Symbol("W_vocab", "what W, tied, receives as unembedding"),
    "W as input": Symbol("", "what W, tied, receives as input embedding"),
}
IN_BLOCK = {
    "x2": Symbol("h, in h = x1 + m", "result of the block"),
    "m": Symbol("m", "result of the MLP: its addition, where there is a residual path"),
    "W2": Symbol("W2", "contraction of the MLP", "contract.weight"),
    "b2": Symbol("b2", "its bias", "contract.bias"),
    "r": Symbol("ReLU(W1 v + b1)", "the MLP's hidden layer after the activation"),
    "u": Symbol("W1 v + b1", "the MLP's hidden layer before the activation"),
    "W1": Symbol("W1", "expansion of the MLP", "expand.weight"),
    "b1": Symbol("b1", "its bias", "expand.bias"),
    "v": Symbol("v", "LN2(x1), input of the MLP"),
    "gain2": Symbol("", "gain of LN2", "norm2.weight"),
    "shift2": Symbol("", "shift of LN2", "norm2.bias"),
    "x1 by MLP": Symbol("LN2*(g_v)", "what x1 receives through LN2 and the MLP"),
    "x1": Symbol("x1", "x0 + a"),
    "a": Symbol("a, also O", "attention's addition"),
    "Wo": Symbol("", "output projection of attention", "attention.output.weight"),
    "bo": Symbol("", "its bias", "attention.output.bias"),
    "C": Symbol("", "A V, the mixed values, heads side by side"),
    "A": Symbol("", "softmax(S), the attention weights"),
    "S": Symbol("", "Q K^T / sqrt(d), the scores"),
    "Q": Symbol("Query", "queries, a head each"),
    "K": Symbol("Key", "keys, a head each"),
    "V": Symbol("Value", "values, a head each"),
    "Wq": Symbol("", "projection to the queries", f"{_QKV}.weight", 0),
    "bq": Symbol("", "its bias", f"{_QKV}.bias", 0),
    "Wk": Symbol("", "projection to the keys", f"{_QKV}.weight", 1),
    "bk": Symbol("", "its bias; its gradient is zero", f"{_QKV}.bias", 1),
    "Wv": Symbol("", "projection to the values", f"{_QKV}.weight", 2),
    "bv": Symbol("", "its bias", f"{_QKV}.bias", 2),
    "X": Symbol("X", "LN1(x0), input of attention"),
    "gain1": Symbol("", "gain of LN1", "norm1.weight"),
    "shift1": Symbol("", "shift of LN1", "norm1.bias"),
    "x0 by attention": Symbol("", "what x0 receives through LN1 and attention"),
    "x0": Symbol("x0", "input of the block"),
}
OUTSIDE_BLOCKS = AT_OUTPUT | AT_INPUT


def describe(block: int, symbol: str) -> Symbol:
    """Return what the symbol stands for."""
    return (IN_BLOCK if block else OUTSIDE_BLOCKS)[symbol]


def parameters_by_symbol(named: Mapping[str, Tensor], layers: int) -> Tensors:
    """Return a model's parameters, or their gradients, by symbol.

    Parameters
    ----------
    named : mapping of str to Tensor
        By the model's own names. Without an ``unembedding.weight`` the model is tied.
    layers : int
        Number of blocks.
    """
    tied = OUTPUT_NAME not in named
    found = {
        (OUTSIDE, symbol): named[INPUT_NAME if tied and symbol == "W" else about.name]
        for symbol, about in OUTSIDE_BLOCKS.items()
        if about.name and not (tied and symbol == "E")
    }
    for block in range(1, layers + 1):
        for symbol, about in IN_BLOCK.items():
            if about.name:
                tensor = named[f"blocks.{block - 1}.{about.name}"]
                part = tensor if about.third is None else tensor.chunk(3)[about.third]
                found[block, symbol] = part
    return found


def way_back(layers: int) -> list[tuple[int, str]]:
    """Return every place that a gradient can have, in the order in which the gradient comes by."""
    blocks = [(block, symbol) for block in range(layers, 0, -1) for symbol in IN_BLOCK]
    before, after = ([(OUTSIDE, symbol) for symbol in part] for part in (AT_OUTPUT, AT_INPUT))
    return before + blocks + after


def of_block(tensors: Tensors, block: int) -> dict[str, Tensor]:
    """Return the tensors of one block by their symbols alone."""
    return {symbol: tensor for (number, symbol), tensor in tensors.items() if number == block}


def in_block(tensors: Mapping[str, Tensor], block: int) -> Tensors:
    """Return the tensors of one block by (block, symbol)."""
    return {(block, symbol): tensor for symbol, tensor in tensors.items()}
