"""The transformer: pre-norm, learned positions, one matrix W for embedding and unembedding."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec, embedding_std, initial_spread
from deadtokens.training.loss import Prediction, predict
from deadtokens.training.products import Linear, Products

EXPANSION = 4  # width of the MLP's hidden layer, in units of the model's width
ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu}


class Attention(nn.Module):
    """Causal self-attention: x (batch, context, width) to the same shape.

    Written out: at these sizes it is faster than the fused kernels, and deterministic everywhere.
    """

    def __init__(self, width: int, heads: int, context: int, products: Products):
        super().__init__()
        self.heads, self.products = heads, products
        future = torch.ones(context, context, dtype=torch.bool).triu(1)
        self.register_buffer("future", future, persistent=False)
        self.query_key_value = Linear(width, 3 * width, products)
        self.output = Linear(width, width, products)

    def forward(self, x: Tensor) -> Tensor:
        batch, context, width = x.shape
        parts = self.query_key_value(x).view(batch, context, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (batch, heads, context, -1)
        scores = self.products.matmul(query, key.transpose(2, 3)) * query.shape[-1] ** -0.5
        scores = scores.masked_fill(self.future[:context, :context], -torch.inf)
        mixed = self.products.matmul(torch.softmax(scores, dim=-1), value)
        return self.output(mixed.transpose(1, 2).reshape(batch, context, width))


class Block(nn.Module):
    """One pre-norm block: x1 = x0 + attention(LN1(x0)), x2 = x1 + mlp(LN2(x1)).

    Without `mlp_residual`, x2 = mlp(LN2(x1)).
    """

    def __init__(self, spec: RunSpec, products: Products):
        super().__init__()
        width = spec.width
        self.activation, self.mlp_residual = ACTIVATIONS[spec.activation], spec.mlp_residual
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, spec.heads, spec.context, products)
        self.norm2 = nn.LayerNorm(width)
        self.expand = Linear(width, EXPANSION * width, products)
        self.contract = Linear(EXPANSION * width, width, products)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        m = self.contract(self.activation(self.expand(self.norm2(x))))
        return x + m if self.mlp_residual else m


class Transformer(nn.Module):
    """Token ids to final hidden states, and these to the prediction of the next tokens.

    Parameters
    ----------
    spec : RunSpec
        Sizes, activation, initial weights, and the format of the products.
    vocabulary_size : int
        Number of rows of W.
    """

    def __init__(self, spec: RunSpec, vocabulary_size: int):
        super().__init__()
        self.products = Products(REGIMES[spec.precision].arithmetic)
        self.embedding = nn.Embedding(vocabulary_size, spec.width)
        self.unembedding = None if spec.tied else nn.Embedding(vocabulary_size, spec.width)
        self.positions = nn.Embedding(spec.context, spec.width)
        self.blocks = nn.ModuleList(Block(spec, self.products) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width)
        self.spread = initial_spread(spec) if spec.logit_spread == "constant" else None
        self._initialise(spec)

    @property
    def W(self) -> nn.Parameter:
        """The recorded matrix (vocabulary, width): row i scores token i."""
        return (self.unembedding or self.embedding).weight

    def forward(self, tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the final hidden states, (batch, context, width), of tokens (batch, context).

        `rows` stands for the input embedding: a view of it, if the gradient that comes by its way
        is asked for.
        """
        x = F.embedding(tokens, self.embedding.weight if rows is None else rows)
        x = x + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def predict(self, hidden: Tensor, targets: Tensor, rows: Tensor | None = None) -> Prediction:
        """Return loss and mean probabilities for hidden (positions, width), targets (positions,).

        `rows` stands for W, as in `forward`.
        """
        W = self.W if rows is None else rows
        operands = self.products.operand(hidden), self.products.operand(W)
        return predict(*operands, targets, self.spread)

    @torch.no_grad()
    def _initialise(self, spec: RunSpec) -> None:
        """Set every parameter from the seed alone, whatever the device and the regime.

        Standard normals are drawn first and scaled then, so that runs which differ only in a
        standard deviation start in the same directions.
        """
        generator = torch.Generator().manual_seed(spec.seed)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                std = embedding_std(spec) if "embedding" in name else spec.init_std
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


def initial_model(spec: RunSpec, vocabulary_size: int) -> Transformer:
    """Return the model with which a run starts: numbers of its weights, in their parameters."""
    regime = REGIMES[spec.precision]
    start = "bfloat16" if spec.bfloat16_start else regime.weights
    rounded = Transformer(spec, vocabulary_size).to(getattr(torch, start))
    return rounded.to(getattr(torch, regime.parameters))


def initial_weights(spec: RunSpec, vocabulary_size: int) -> dict[str, Tensor]:
    """Return the weights with which a run starts, by their names in the model."""
    model = initial_model(spec, vocabulary_size)
    return {name: parameter.detach() for name, parameter in model.named_parameters()}
