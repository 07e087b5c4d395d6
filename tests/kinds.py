"""Tiny tokenizers of every kind that people bring: each differs in what bites a chat format."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.tiny import TEXTS

EXTRA = ["system user assistant tool <think> </think>", "café naïve 79 euros", "order: sent\n\n\n"]

CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
# Cuts words as Llama 3 and Qwen do in what matters here: line ends stay together.
LINES_APART = r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

HEADERS = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' -}}
{{- message.content | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
{%- endif -%}
"""


def _byte_level(special: list[str], pattern: str = "") -> Any:
    """A byte-level BPE of 420 tokens; `special` come first; `pattern` cuts words, else GPT-2's."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)
    cut = [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    bpe.pre_tokenizer = pre_tokenizers.Sequence([*cut, to_bytes])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS + EXTRA, trainer)
    return bpe


def _sentencepiece(prepare: Callable[[Any], None]) -> Any:
    """A character BPE with byte fallback; `prepare` sets how spaces are written."""
    from tokenizers import Tokenizer, models, trainers

    special = ["<unk>", "<s>", "</s>"]
    bpe = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    prepare(bpe)
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    bpe.train_from_iterator(TEXTS + EXTRA, trainer)
    state = json.loads(bpe.to_str())
    vocabulary = state["model"]["vocab"]
    for byte in range(256):  # what no token covers is written byte by byte
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    return Tokenizer.from_str(json.dumps(state))


def _wrapped(backend: Any, template: str | None = None, **special: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    tokenizer.chat_template = template
    return tokenizer


def _adds_bos(backend: Any, bos: str) -> Any:
    from tokenizers import processors

    pair = (bos, backend.token_to_id(bos))
    return processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[pair])


def gpt2() -> Any:
    """Bytes; one token is beginning, end and unknown; no template, no padding token."""
    from tokenizers import processors

    end = "<|endoftext|>"
    backend = _byte_level([end])
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    return _wrapped(backend, bos_token=end, eos_token=end, unk_token=end)


def pad_is_eos() -> Any:
    """GPT-2's kind as many people use it: the end token pads, too."""
    tokenizer = gpt2()
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def llama3() -> Any:
    """Bytes; the post-processor adds the beginning, and offsets leave leading spaces out."""
    from tokenizers import processors

    bos, headers = "<|begin_of_text|>", ["<|start_header_id|>", "<|end_header_id|>"]
    backend = _byte_level([bos, "<|end_of_text|>", "<|eot_id|>", *headers], LINES_APART)
    backend.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=True), _adds_bos(backend, bos)]
    )
    return _wrapped(backend, HEADERS, bos_token=bos, eos_token="<|eot_id|>")


def llama2() -> Any:
    """SentencePiece's ways: a normalizer writes ▁ for spaces and one before every text."""
    from tokenizers import decoders, normalizers

    def spaces(bpe: Any) -> None:
        bpe.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        bpe.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )

    return _with_s(_sentencepiece(spaces))


def metaspace(scheme: str) -> Any:
    """SentencePiece's ways by a pre-tokenizer; `scheme` says which texts get a space before."""
    from tokenizers import decoders, pre_tokenizers

    def spaces(bpe: Any) -> None:
        bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
        bpe.decoder = decoders.Sequence(
            [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme)]
        )

    return _with_s(_sentencepiece(spaces))


def _with_s(backend: Any) -> Any:
    backend.post_processor = _adds_bos(backend, "<s>")
    return _wrapped(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def qwen() -> Any:
    """Bytes; no beginning; its own template, control and padding tokens; composes accents."""
    from tokenizers import AddedToken, normalizers

    backend = _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], LINES_APART)
    backend.normalizer = normalizers.NFC()
    backend.add_tokens([AddedToken(t, normalized=False) for t in ("<think>", "</think>")])
    return _wrapped(backend, CHATML, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def neox() -> Any:
    """Bytes; runs of spaces are added tokens, and a special token passes the normalizer."""
    from tokenizers import AddedToken

    end = "<|endoftext|>"
    backend = _byte_level([end])
    backend.add_tokens([AddedToken(" " * n, normalized=True) for n in (2, 3, 4)])
    backend.add_special_tokens([AddedToken("<|old|>", normalized=True)])
    return _wrapped(backend, bos_token=end, eos_token=end)


def phi() -> Any:
    """Has tokens of our names already, and they swallow the white space behind them."""
    from tokenizers import AddedToken

    backend = _byte_level(["<|endoftext|>"])
    names = ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>")
    backend.add_special_tokens([AddedToken(name, rstrip=True, normalized=False) for name in names])
    return _wrapped(backend, eos_token="<|endoftext|>")


def ours() -> Any:
    """The course's own tokenizer."""
    from course_lib.models import BASE_MODEL, load_tokenizer

    return load_tokenizer(BASE_MODEL)


KINDS: dict[str, Callable[[], Any]] = {
    "ours": ours,
    "gpt2": gpt2,
    "pad is eos": pad_is_eos,
    "llama3": llama3,
    "llama2": llama2,
    "metaspace first": lambda: metaspace("first"),
    "metaspace always": lambda: metaspace("always"),
    "metaspace never": lambda: metaspace("never"),
    "qwen": qwen,
    "neox": neox,
    "phi": phi,
}
