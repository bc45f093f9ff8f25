"""Structured output: only tokens that a grammar allows may be sampled."""

import math

import pytest
import torch

from matrix.inside import assert_close, feature, randn

VOCABULARY = 32 * 40 + 7  # the last word of the mask is not full


def pack(allowed):
    """Booleans [batch, tokens] as grammar libraries hand them over: 32 to a word of int32."""
    batch, tokens = allowed.shape
    padded = torch.zeros(batch, -(-tokens // 32) * 32, dtype=torch.int64)
    padded[:, :tokens] = allowed
    words = (padded.view(batch, -1, 32) << torch.arange(32)).sum(-1)
    return torch.where(words >= 1 << 31, words - (1 << 32), words).int()


def apply_mask(logits, mask):
    """``logits`` [batch, tokens] with -inf wherever the bit of ``mask`` is not set."""
    bits = torch.arange(32, device=mask.device, dtype=torch.int32)
    allowed = ((mask[:, :, None] >> bits) & 1).flatten(1)[:, : logits.shape[1]].bool()
    return logits.masked_fill(~allowed, -math.inf)


@feature(
    "token-bitmask",
    "A grammar's packed mask on the logits, in torch's operators",
    purpose="JSON mode where no kernel of the grammar library serves the device.",
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bitmask(device, rng, dtype):
    """Also the 32nd bit, which is the sign of its word; sampling never leaves the grammar."""
    logits = randn(rng, 3, VOCABULARY, dtype=getattr(torch, dtype))
    allowed = torch.rand(3, VOCABULARY, generator=rng) < 0.1
    allowed[:, 31] = True
    masked = apply_mask(logits.to(device), pack(allowed).to(device))
    expected = logits.double().masked_fill(~allowed, -math.inf)
    assert_close(masked, expected, rtol=0, atol=0, why="nothing is computed")
    drawn = masked.float().softmax(-1).multinomial(200, replacement=True).cpu()
    assert allowed.gather(1, drawn).all()


@feature(
    "xgrammar",
    "XGrammar: a compiled grammar's mask applied to logits",
    purpose="The default grammar backend of SGLang and vLLM.",
    needs=["module:xgrammar"],
)
def test_xgrammar(device, rng):
    """Its kernel masks what the grammar forbids, token after token, until the grammar ends."""
    import xgrammar as xgr  # noqa: PLC0415 - a precondition of this test alone

    words = ["<stop>", *"abc{}:,", '"', "true", "false", "tr", "ue"]
    tokenizer = xgr.TokenizerInfo(words, stop_token_ids=[0])
    grammar = xgr.GrammarCompiler(tokenizer).compile_grammar('root ::= "{" ("true" | "false") "}"')
    matcher = xgr.GrammarMatcher(grammar)
    mask = xgr.allocate_token_bitmask(1, len(words))
    followed = ["{", "tr", "ue", "}", "<stop>"]
    allowed = [{"{"}, {"true", "false", "tr"}, {"ue"}, {"}"}, {"<stop>"}]
    for word, expected in zip(followed, allowed):
        matcher.fill_next_token_bitmask(mask)
        logits = randn(rng, 1, len(words))
        masked = logits.to(device)
        xgr.apply_token_bitmask_inplace(masked, mask.to(device))
        hidden = torch.tensor([[each not in expected for each in words]])
        reference = logits.double().masked_fill(hidden, -math.inf)
        assert_close(masked, reference, rtol=0, atol=0, why="nothing is computed")
        assert matcher.accept_token(words.index(word))
    assert matcher.is_terminated()
