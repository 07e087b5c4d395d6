"""Tiny tokenizers and models for tests, built in memory."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TEXTS = [
    "Hello! How long is the warranty on the Brisa kettle? It is two years.",
    "Thank you, that was all. You are welcome, have a nice day.",
    "My order number is 1234567890. I have cancelled your order.",
]


def bpe_tokenizer(bos: bool = True):
    """A byte-level BPE of 400 tokens, in memory."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|endoftext|>",
        **({"bos_token": "<|endoftext|>"} if bos else {}),
    )


def tiny_gpt2(vocabulary: int = 420, positions: int = 128, dropout: float = 0.0):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=positions,
        n_embd=32,
        n_layer=2,
        n_head=2,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config).eval()


def tiny_llama(vocabulary: int = 420):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).eval()


def toy_dialogues():
    """Several turns, a context-only reply, a system and a tool turn, an agent who opens."""
    from course_lib.dialogue import Dialogue, Message

    return [
        Dialogue(
            "d1",
            [
                Message("system", "You help customers of a shop."),
                Message("user", "How long is the warranty on the Brisa kettle?"),
                Message("assistant", "It is two years."),
                Message("user", "And the price?"),
                Message("assistant", "39 euros."),
            ],
        ),
        Dialogue(
            "d2",
            [
                Message("assistant", "Hello! How can I help?", train=False),
                Message("user", "My order, please."),
                Message("tool", "order 1234567890: sent"),
                Message("assistant", "It is on its way.\n"),
                Message("assistant", " Anything else? 😀"),
            ],
        ),
        Dialogue("d3", [Message("user", "Thank you!"), Message("assistant", "You are welcome.")]),
    ]
