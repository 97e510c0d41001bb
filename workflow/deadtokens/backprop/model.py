"""The whole model by hand: forward with every intermediate kept, and back from the loss.

Forward, of each block: X = LN1(x0); Q, K, V = the three projections of X; S = Q K^T / sqrt(d);
A = softmax(S); C = A V; a = Wo C + bo; x1 = x0 + a; v = LN2(x1); u = W1 v + b1; r = ReLU(u) or
GELU(u); m = W2 r + b2; x2 = x1 + m, or m alone where `mlp_residual` is false. Before the blocks
x0 = E[token] + P[position]; after them h = LN(x2), z = W h + b, p = softmax(c z),
L = mean(-ln p_y). The factor c is 1, or what holds the spread of c z constant where `logit_spread`
says so. Tied, E is W.
"""

import torch
from torch import Tensor

from deadtokens.backprop.layers import (
    activate,
    activate_backward,
    affine,
    affine_backward,
    attention_scores,
    attention_scores_backward,
    cross_entropy,
    error,
    join_paths,
    layer_norm,
    layer_norm_backward,
    merge_heads,
    mix_values_backward,
    softmax,
    softmax_backward,
    split_heads,
    spread_factor,
    sum_rows,
)
from deadtokens.backprop.symbols import OUTSIDE, Tensors, in_block, of_block
from deadtokens.run.spec import RunSpec, initial_spread


def forward(weights: Tensors, inputs: Tensor, targets: Tensor, spec: RunSpec) -> Tensors:
    """Return every intermediate of a batch, from the block inputs to the loss.

    Parameters
    ----------
    weights : Tensors
        As `deadtokens.backprop.symbols.parameters_by_symbol` gives them, and the output bias
        (0, 'b'), of shape (vocabulary,).
    inputs, targets : int64 Tensor of shape (batch, context)
    spec : RunSpec
        Of which what shapes the model counts.

    Returns
    -------
    Tensors
        Of each block x0, X, a, x1, v, m and x2 (batch, context, D), u and r (batch, context, 4 D),
        Q, K and V (batch, heads, context, d), S and A (batch, heads, query, key), C as x0; outside
        h (batch, context, D), z (positions, vocabulary), c (positions, 1), L ().
    """
    w = of_block(weights, OUTSIDE)
    x = w["W" if spec.tied else "E"][inputs] + w["P"][: inputs.shape[1]]
    values: Tensors = {}
    for block in range(1, spec.layers + 1):
        values |= in_block(forward_block(x, of_block(weights, block), spec), block)
        x = values[block, "x2"]
    h = layer_norm(x, w["gain"], w["shift"])
    z = affine(h.flatten(0, 1), w["W"], w["b"])
    c = torch.ones_like(z[:, :1])
    if spec.logit_spread == "constant":
        c = spread_factor(z, initial_spread(spec))
    loss = cross_entropy(c * z, targets.flatten())
    return values | in_block({"h": h, "z": z, "c": c, "L": loss}, OUTSIDE)


def forward_block(x0: Tensor, w: dict[str, Tensor], spec: RunSpec) -> dict[str, Tensor]:
    """Return every intermediate of one block with the weights `w` for x0 (batch, context, D)."""
    X = layer_norm(x0, w["gain1"], w["shift1"])
    Q = split_heads(affine(X, w["Wq"], w["bq"]), spec.heads)
    K = split_heads(affine(X, w["Wk"], w["bk"]), spec.heads)
    V = split_heads(affine(X, w["Wv"], w["bv"]), spec.heads)
    S = attention_scores(Q, K)
    A = softmax(S)
    C = merge_heads(A @ V)
    a = affine(C, w["Wo"], w["bo"])
    x1 = x0 + a
    v = layer_norm(x1, w["gain2"], w["shift2"])
    u = affine(v, w["W1"], w["b1"])
    r = activate(u, spec.activation)
    m = affine(r, w["W2"], w["b2"])
    attention = {"x0": x0, "X": X, "Q": Q, "K": K, "V": V, "S": S, "A": A, "C": C, "a": a}
    x2 = x1 + m if spec.mlp_residual else m
    return attention | {"x1": x1, "v": v, "u": u, "r": r, "m": m, "x2": x2}


def backward(
    weights: Tensors, values: Tensors, inputs: Tensor, targets: Tensor, spec: RunSpec
) -> Tensors:
    """Return the gradient of the loss with respect to every parameter and every intermediate.

    Parameters
    ----------
    weights, values : Tensors
        What `forward` was given, and what it returned.
    inputs, targets : int64 Tensor of shape (batch, context)
    spec : RunSpec

    Returns
    -------
    Tensors
        Each gradient by the symbol and with the shape of that with respect to which it is taken.
        Besides: 'x1 by MLP' and 'x0 by attention', what came by the branches, as x0; and, tied, the
        two parts of the gradient of W, 'W as output' and 'W as input'.
    """
    w, seen = of_block(weights, OUTSIDE), of_block(values, OUTSIDE)
    g = {"z": seen["c"] * error(seen["c"] * seen["z"], targets.flatten())}
    g_h, g_W, g["b"] = affine_backward(g["z"], seen["h"].flatten(0, 1), w["W"])
    g["h"] = g_h.view_as(seen["h"])
    last = values[spec.layers, "x2"]
    g_x, g["gain"], g["shift"] = layer_norm_backward(g["h"], last, w["gain"])
    gradients: Tensors = {}
    for block in range(spec.layers, 0, -1):
        own, kept = of_block(weights, block), of_block(values, block)
        gradients |= in_block(backward_block(g_x, kept, own, spec), block)
        g_x = gradients[block, "x0"]
    g["P"] = w["P"].new_zeros(w["P"].shape)
    g["P"][: inputs.shape[1]] = g_x.sum(0)
    g |= embedding_gradients(g_W, sum_rows(g_x, inputs, len(g_W)), spec.tied)
    return gradients | in_block(g, OUTSIDE)


def embedding_gradients(as_output: Tensor, as_input: Tensor, tied: bool) -> dict[str, Tensor]:
    """Return what W and E receive, all (vocabulary, D): tied, W plays both parts and gets both."""
    if not tied:
        return {"W": as_output, "E": as_input}
    both = join_paths(as_output, as_input)
    return {"W": both, "W as output": as_output, "W as input": as_input}


def backward_block(
    g_x2: Tensor, seen: dict[str, Tensor], w: dict[str, Tensor], spec: RunSpec
) -> dict[str, Tensor]:
    """Go back through one block, from x2 = x1 + m to x0.

    A sum passes its gradient on to both of its terms unchanged, the residual path's and the
    branch's: g_m = g_x2 (by hand: g_x1 = g_m = g_h) and g_a = g_x1. Where x2 is m alone, x1 has no
    second way to the loss and nothing is added.

    Parameters
    ----------
    g_x2 : Tensor of shape (batch, context, D)
    seen, w : dict of str to Tensor
        The block's intermediates and weights.
    spec : RunSpec
    """
    g = {"x2": g_x2, "m": g_x2}
    g |= backward_mlp(g["m"], seen, w, spec.activation)
    g["x1"] = g["x1 by MLP"]
    if spec.mlp_residual:
        g["x1"] = join_paths(g["x2"], g["x1 by MLP"])  # by hand: g_x1 = g_h + LN2*(g_v)
    g["a"] = g["x1"]
    g |= backward_attention(g["a"], seen, w)
    g["x0"] = join_paths(g["x1"], g["x0 by attention"])
    return g


def backward_mlp(
    g_m: Tensor, seen: dict[str, Tensor], w: dict[str, Tensor], activation: str
) -> dict[str, Tensor]:
    """Go back from m = W2 r + b2 through r = f(u), u = W1 v + b1 and v = LN2(x1) to x1."""
    g = {}
    g["r"], g["W2"], g["b2"] = affine_backward(g_m, seen["r"], w["W2"])
    g["u"] = activate_backward(g["r"], seen["u"], activation)
    g["v"], g["W1"], g["b1"] = affine_backward(g["u"], seen["v"], w["W1"])
    g["x1 by MLP"], g["gain2"], g["shift2"] = layer_norm_backward(g["v"], seen["x1"], w["gain2"])
    return g


def backward_attention(
    g_a: Tensor, seen: dict[str, Tensor], w: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Go back from a = Wo C + bo through C = A V, A = softmax(S), Q, K, V and X = LN1(x0) to x0.

    X goes into Q, K and V, so what comes back by the three adds.
    """
    g = {}
    g["C"], g["Wo"], g["bo"] = affine_backward(g_a, seen["C"], w["Wo"])
    g_C = split_heads(g["C"], seen["Q"].shape[1])
    g["A"], g["V"] = mix_values_backward(g_C, seen["A"], seen["V"])
    g["S"] = softmax_backward(g["A"], seen["A"])
    g["Q"], g["K"] = attention_scores_backward(g["S"], seen["Q"], seen["K"])
    by_Q, g["Wq"], g["bq"] = affine_backward(merge_heads(g["Q"]), seen["X"], w["Wq"])
    by_K, g["Wk"], g["bk"] = affine_backward(merge_heads(g["K"]), seen["X"], w["Wk"])
    by_V, g["Wv"], g["bv"] = affine_backward(merge_heads(g["V"]), seen["X"], w["Wv"])
    g["X"] = by_Q + by_K + by_V
    branch = layer_norm_backward(g["X"], seen["x0"], w["gain1"])
    g["x0 by attention"], g["gain1"], g["shift1"] = branch
    return g
