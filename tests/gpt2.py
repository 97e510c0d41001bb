"""A tiny GPT-2 of transformers and texts for it; the upper quarter of its tokens is dead."""

import torch
from torch import Tensor

TOKENS, LIVE, WIDTH, LENGTH = 40, 30, 8, 9


def tiny_gpt2(tied: bool = True, dropout: float = 0.1):
    """Return a model; with dropout its training depends on the random numbers that it meets."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    sizes = {"vocab_size": TOKENS, "n_positions": LENGTH, "n_embd": WIDTH, "n_layer": 1}
    model = GPT2LMHeadModel(
        GPT2Config(
            **sizes,
            **rates,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            tie_word_embeddings=tied,
        )
    )
    model.loss_type = "ForCausalLM"  # what it takes by default, but with a warning
    return model


def texts(number: int) -> list[dict[str, Tensor]]:
    """Return inputs with their labels, some of which the loss ignores."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(0, LIVE, (number, LENGTH), generator=generator)
    labels = rows.masked_fill(torch.rand(rows.shape, generator=generator) < 0.2, -100)
    return [{"input_ids": ids, "labels": to} for ids, to in zip(rows, labels, strict=True)]
