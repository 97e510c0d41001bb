"""Each step of the model and its backward pass, in plain tensor algebra.

For a step y = f(x), a backward function takes g_y, the gradient of the loss with respect to y, and
returns g_x. The last axis of every tensor holds the components of one vector; the axes before it
(sequence, position, head) hold independent vectors, over which the gradient of a parameter is a
sum. Every gradient has the shape of that with respect to which it is taken.
"""

import math

import torch
from torch import Tensor

EPSILON = 1e-5  # the default of torch.nn.LayerNorm, which the model takes


def affine(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Return y = W x + b, (..., out), of x (..., in), W (out, in) and b (out,)."""
    return x @ W.T + b


def affine_backward(g_y: Tensor, x: Tensor, W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Go back through y = W x + b.

    dy_i / dx_j = W_ij, so g_x = W^T g_y; dy_i / dW_ij = x_j, so g_W = g_y x^T; dy_i / db_i = 1, so
    g_b = g_y. Of the unembedding, with the error g, these are dL/dh = W^T g,
    dL/dW = g h^T and dL/db = g.

    Parameters
    ----------
    g_y : Tensor of shape (..., out)
    x : Tensor of shape (..., in)
    W : Tensor of shape (out, in)

    Returns
    -------
    g_x : Tensor of shape (..., in)
    g_W : Tensor of shape (out, in)
    g_b : Tensor of shape (out,)
    """
    errors = _vectors(g_y)
    return g_y @ W, errors.T @ _vectors(x), errors.sum(0)


def softmax(z: Tensor) -> Tensor:
    """Return p_i = exp(z_i) / sum_k exp(z_k), (..., n), of z (..., n)."""
    powers = (z - z.amax(-1, keepdim=True)).exp()  # the largest becomes 1: nothing overflows
    return powers / powers.sum(-1, keepdim=True)


def softmax_backward(g_p: Tensor, p: Tensor) -> Tensor:
    """Return g_z, (..., n), of g_p and p = softmax(z), both (..., n).

    dp_i / dz_k = p_i (1[i = k] - p_k), so g_z = p (g_p - sum_i p_i g_p_i).
    """
    return p * (g_p - (p * g_p).sum(-1, keepdim=True))


def cross_entropy(z: Tensor, targets: Tensor) -> Tensor:
    """Return L, (), the mean of -ln p_y over positions, of z (positions, vocabulary)."""
    highest = z.amax(1)
    log_sum = highest + (z - highest[:, None]).exp().sum(1).log()
    return (log_sum - z.gather(1, targets[:, None])[:, 0]).mean()


def spread_factor(z: Tensor, spread: float) -> Tensor:
    """Return c = `spread` / (standard deviation of z), (..., 1), by which z (..., n) is scaled.

    It is taken as given: c z is to z as y = a x is to x with a number a, and g_z = c g_cz. What is
    not spread at all cannot be scaled; its c is 1.
    """
    found = z.std(-1, correction=0, keepdim=True)
    return torch.where(found > 0, spread / found, 1.0)


def error(z: Tensor, targets: Tensor) -> Tensor:
    """Return the error vector g = dL/dz = p - y of every position, over their number.

    d(-ln p_y) / dz_i = p_i - 1[i = y], since ln p_y = z_y - ln sum_k exp(z_k). The loss is the mean
    over the positions; the handwritten derivation has one.

    Parameters
    ----------
    z : Tensor of shape (positions, vocabulary)
        Logits.
    targets : int64 Tensor of shape (positions,)
        Token ids.

    Returns
    -------
    Tensor of shape (positions, vocabulary)
    """
    g = softmax(z)
    g[torch.arange(len(g)), targets] -= 1
    return g / len(g)


def standardise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return n = (x - mean) / s, (..., D), and s = sqrt(variance + epsilon), (..., 1)."""
    centred = x - x.mean(-1, keepdim=True)
    s = (centred.square().mean(-1, keepdim=True) + EPSILON).sqrt()
    return centred / s, s


def layer_norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """Return LN(x) = gain n + shift, (..., D), of x (..., D), gain and shift (D,)."""
    n, _ = standardise(x)
    return gain * n + shift


def layer_norm_backward(g_y: Tensor, x: Tensor, gain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Go back through LN: LN*(g_y), the transposed derivative of LN at x times g_y.

    x moves n_i by itself, by the mean and by s: dn_i / dx_j = (1[i = j] - 1/D - n_i n_j / D) / s.
    This matrix is symmetric. With g_n = gain g_y,
    g_x = (g_n - mean(g_n) - n mean(n g_n)) / s: what would only shift x, or only scale it, is taken
    out of the gradient, because LN does not see it.

    Parameters
    ----------
    g_y, x : Tensor of shape (..., D)
    gain : Tensor of shape (D,)

    Returns
    -------
    g_x : Tensor of shape (..., D)
    g_gain, g_shift : Tensor of shape (D,)
    """
    n, s = standardise(x)
    g_n = gain * g_y
    g_x = (g_n - g_n.mean(-1, keepdim=True) - n * (n * g_n).mean(-1, keepdim=True)) / s
    return g_x, _vectors(g_y * n).sum(0), _vectors(g_y).sum(0)


def activate(u: Tensor, activation: str) -> Tensor:
    """Return ReLU(u) = max(u, 0), or GELU(u) = u Phi(u) with the normal distribution Phi."""
    return u.clamp(min=0) if activation == "relu" else u * _normal_distribution(u)


def activate_backward(g_r: Tensor, u: Tensor, activation: str) -> Tensor:
    """Return g_u = g_r f'(u), component by component, all of one shape.

    ReLU mutes what it muted forward: f'(u) = 1[u > 0]. GELU: f'(u) = Phi(u) + u phi(u).
    """
    if activation == "relu":
        return g_r * (u > 0)
    density = (-u.square() / 2).exp() / math.sqrt(2 * math.pi)
    return g_r * (_normal_distribution(u) + u * density)


def _normal_distribution(u: Tensor) -> Tensor:
    return (1 + torch.erf(u / math.sqrt(2))) / 2


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return x (batch, context, D) as (batch, heads, context, d), with D = heads d."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Return x (batch, heads, context, d) as (batch, context, D)."""
    return x.transpose(1, 2).flatten(2)


def attention_scores(Q: Tensor, K: Tensor) -> Tensor:
    """Return S = Q K^T / sqrt(d), -inf where the key comes after the query.

    Q and K are (batch, heads, context, d), S is (batch, heads, query, key).
    """
    scores = Q @ K.mT / math.sqrt(Q.shape[-1])
    return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf)


def attention_scores_backward(g_S: Tensor, Q: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Return g_Q = g_S K / sqrt(d) and g_K = g_S^T Q / sqrt(d), (batch, heads, context, d).

    A key's bias adds q.b to all scores of a query, which the softmax does not see: the rows of g_S
    sum to zero, and the gradient of that bias is zero.
    """
    root = math.sqrt(Q.shape[-1])
    return g_S @ K / root, g_S.mT @ Q / root


def mix_values_backward(g_C: Tensor, A: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
    """Go back through C = A V: return g_A = g_C V^T and g_V = A^T g_C.

    g_C and V are (batch, heads, context, d), A and g_A are (batch, heads, query, key).
    """
    return g_C @ V.mT, A.mT @ g_C


def join_paths(direct: Tensor, branch: Tensor) -> Tensor:
    """Return g_x of y = x + f(x), given g_y and f*(g_y).

    x reaches the loss by two paths at once, not by one or the other: a nudge dx changes y by
    dx + f'(x) dx, and the loss by g_y times that. So the two gradients add, each with weight 1.
    """
    return direct + branch


def sum_rows(g: Tensor, tokens: Tensor, rows: int) -> Tensor:
    """Go back through the look-up E[tokens]: each row sums the gradients of where it was read.

    Parameters
    ----------
    g : Tensor of shape (batch, context, D)
    tokens : int64 Tensor of shape (batch, context)
    rows : int
        Of E; those that were not read get zero.

    Returns
    -------
    Tensor of shape (rows, D)
    """
    return g.new_zeros(rows, g.shape[-1]).index_add(0, tokens.flatten(), _vectors(g))


def _vectors(x: Tensor) -> Tensor:
    """Return all vectors of x as the rows of one matrix."""
    return x.flatten(0, -2)
