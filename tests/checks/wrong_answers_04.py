"""Typical wrong answers to the exercises of chapter 04: (function, the diagnosis it must get)."""

from __future__ import annotations

from collections import Counter
from typing import Any

Words = list[tuple[list[str], int]]
Merges = list[tuple[str, str]]
Turns = list[tuple[str, str]]
Ids = list[int]
Replies = list[tuple[Ids, Ids]]

# ---- 4.1


def neighbours(words: Words) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for symbols, times in words:
        for i in range(len(symbols) - 1):
            counts[symbols[i], symbols[i + 1]] += times
    return counts


def forgets_times(words: Words) -> Any:
    counts = neighbours([(symbols, 1) for symbols, _ in words])
    return min(sorted(counts), key=lambda pair: -counts[pair])


def one_long_line(words: Words) -> Any:
    line: list[str] = []
    for symbols, times in words:
        line += symbols * times
    counts = neighbours([(line, 1)])
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[0]


def set_of_pairs(words: Words) -> Any:
    counts: Counter[tuple[str, str]] = Counter()
    for symbols, times in words:
        for pair in set(zip(symbols, symbols[1:], strict=False)):
            counts[pair] += times
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[0]


def highest_pair(words: Words) -> Any:
    return sorted((n, pair) for pair, n in neighbours(words).items())[-1][1]


def most_common(words: Words) -> Any:
    return neighbours(words).most_common(1)[0][0]


def least_common(words: Words) -> Any:
    return sorted((n, pair) for pair, n in neighbours(words).items())[0][1]


def two_symbols(words: Words) -> Any:
    counts: Counter[str] = Counter()
    for symbols, times in words:
        for symbol in symbols:
            counts[symbol] += times
    return tuple(sorted(counts, key=lambda s: (-counts[s], s))[:2])


def a_fixed_pair(words: Words) -> Any:
    return "q", "u"


def glued(words: Words) -> Any:
    return "".join(most_common(words))


# ---- 4.2


def join(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def greedy(word: str, merges: Merges) -> list[str]:
    pieces = sorted({a + b for a, b in merges}, key=len, reverse=True)
    out = []
    while word:
        piece = next((p for p in pieces if word.startswith(p)), word[0])
        out.append(piece)
        word = word.removeprefix(piece)
    return out


def backwards(word: str, merges: Merges) -> list[str]:
    symbols = list(word)
    for pair in reversed(merges):
        symbols = join(symbols, pair)
    return symbols


def one_place(word: str, merges: Merges) -> list[str]:
    symbols = list(word)
    for a, b in merges:
        for i in range(len(symbols) - 1):
            if (symbols[i], symbols[i + 1]) == (a, b):
                symbols[i : i + 2] = [a + b]
                break
    return symbols


def along_the_word(word: str, merges: Merges) -> list[str]:
    out: list[str] = []
    for letter in word:
        out += [letter]
        while len(out) >= 2 and (out[-2], out[-1]) in merges:
            last = out.pop()
            out[-1] += last
    return out


def returns_early(word: str, merges: Merges) -> list[str]:
    for pair in merges:
        joined = join(list(word), pair)
        if joined != list(word):
            return joined
    return list(word)


def letters(word: str, merges: Merges) -> list[str]:
    return list(word)


def whole_word(word: str, merges: Merges) -> list[str]:
    return [word]


def with_spaces(word: str, merges: Merges) -> Any:
    return " ".join(letters(word, merges))


# ---- 4.3


def pieces(turns: Turns) -> list[str]:
    return [f"<|{role}|>{text}<|end|>" for role, text in turns]


def no_question(turns: Turns, waits: bool) -> str:
    return "<|endoftext|>" + "".join(pieces(turns))


def question_always(turns: Turns, waits: bool) -> str:
    return "<|endoftext|>" + "".join(pieces(turns)) + "<|assistant|>"


def empty_turn(turns: Turns, waits: bool) -> str:
    return no_question(turns, waits) + ("<|assistant|><|end|>" if waits else "")


def no_begin(turns: Turns, waits: bool) -> str:
    return "".join(pieces(turns)) + "<|assistant|>" * waits


def begins_often(turns: Turns, waits: bool) -> str:
    return "".join("<|endoftext|>" + piece for piece in pieces(turns)) + "<|assistant|>" * waits


def ends_once(turns: Turns, waits: bool) -> str:
    text = "<|endoftext|>"
    for role, content in turns:
        text += f"<|{role}|>" + content
    return text + ("<|assistant|>" if waits else "<|end|>")


def closes_replies(turns: Turns, waits: bool) -> str:
    text = "<|endoftext|>"
    for role, content in turns:
        text += f"<|{role}|>" + content
        if role == "assistant":
            text += "<|end|>"
    return text + "<|assistant|>" * waits


def spaced(turns: Turns, waits: bool) -> str:
    text = "".join(f"<|{role}|> {content}<|end|>" for role, content in turns)
    return "<|endoftext|>" + text + "<|assistant|> " * waits


def role_lines(turns: Turns, waits: bool) -> str:
    text = "".join(f"<|{role}|>\n{content}<|end|>" for role, content in turns)
    return "<|endoftext|>" + text + "<|assistant|>\n" * waits


def turn_lines(turns: Turns, waits: bool) -> str:
    text = "".join(piece + "\n" for piece in pieces(turns))
    return "<|endoftext|>" + text + "<|assistant|>" * waits


def stripped(turns: Turns, waits: bool) -> str:
    turns = [(role, content.strip()) for role, content in turns]
    return no_question(turns, waits) + "<|assistant|>" * waits


def chatml(turns: Turns, waits: bool) -> str:
    return "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)


def a_list(turns: Turns, waits: bool) -> Any:
    return pieces(turns)


# ---- 4.4


def zip_only(trained: Ids, prompt: Ids) -> int:
    for i, (a, b) in enumerate(zip(trained, prompt, strict=False)):
        if a != b:
            return i
    return -1


def equal_only(trained: Ids, prompt: Ids) -> int:
    for i in range(max(len(trained), len(prompt))):
        if i >= len(trained) or i >= len(prompt) or trained[i] != prompt[i]:
            return i
    return -1


def from_behind(trained: Ids, prompt: Ids) -> int:
    if len(prompt) > len(trained) and prompt[: len(trained)] == trained:
        return len(trained)
    for i in reversed(range(min(len(trained), len(prompt)))):
        if trained[i] != prompt[i]:
            return i
    return -1


def number_of_them(trained: Ids, prompt: Ids) -> int:
    if len(prompt) > len(trained) and prompt[: len(trained)] == trained:
        return len(trained)
    differing = [a for a, b in zip(trained, prompt, strict=False) if a != b]
    return len(differing) or -1


def membership(trained: Ids, prompt: Ids) -> int:
    for i, token in enumerate(prompt):
        if token not in trained:
            return i
    return -1


def from_one(trained: Ids, prompt: Ids) -> int:
    for i in range(len(prompt)):
        if i >= len(trained) or trained[i] != prompt[i]:
            return i + 1
    return -1


def its_length(trained: Ids, prompt: Ids) -> int:
    for i in range(len(prompt)):
        if i >= len(trained) or trained[i] != prompt[i]:
            return i
    return len(prompt)


def always_fine(trained: Ids, prompt: Ids) -> int:
    return -1


def true_or_false(trained: Ids, prompt: Ids) -> Any:
    return trained[: len(prompt)] == prompt


# ---- 4.5


def fits(whole: Ids, replies: Replies) -> bool:
    return all(whole[: len(p)] == p and whole[: len(e)] == e for p, e in replies)


def marked(whole: Ids, replies: Replies, early: int = 0, late: int = 0) -> list[bool]:
    spans = [(len(p) + early, len(e) + late) for p, e in replies]
    return [any(a <= i < b for a, b in spans) for i in range(len(whole))]


def trusting(whole: Ids, replies: Replies) -> list[bool]:
    return marked(whole, replies)


def half_careful(whole: Ids, replies: Replies) -> list[bool]:
    if any(whole[: len(p)] != p for p, _ in replies):
        return []
    return marked(whole, replies)


def silent(whole: Ids, replies: Replies) -> list[bool]:
    return marked(whole, [pair for pair in replies if fits(whole, [pair])])


def endless(whole: Ids, replies: Replies) -> list[bool]:
    return marked(whole, replies, late=-1) if fits(whole, replies) else []


def all_up_to_it(whole: Ids, replies: Replies) -> list[bool]:
    return marked(whole, [([], e) for _, e in replies]) if fits(whole, replies) else []


def one_early(whole: Ids, replies: Replies) -> list[bool]:
    return marked(whole, replies, early=-1) if fits(whole, replies) else []


def one_late(whole: Ids, replies: Replies) -> list[bool]:
    return marked(whole, replies, early=1, late=1) if fits(whole, replies) else []


def the_last(whole: Ids, replies: Replies) -> list[bool]:
    return marked(whole, replies[-1:]) if fits(whole, replies) else []


def turned_round(whole: Ids, replies: Replies) -> list[bool]:
    return [not on for on in marked(whole, replies)] if fits(whole, replies) else []


def refuses_all(whole: Ids, replies: Replies) -> list[bool]:
    return []


def the_ids(whole: Ids, replies: Replies) -> Any:
    return whole


CHAPTER_04: dict[str, list[tuple[Any, str]]] = {
    "4.1": [
        (forgets_times, "every word once"),
        (one_long_line, "across words"),
        (set_of_pairs, "once a word"),
        (highest_pair, "last of a tie"),
        (most_common, "first seen of a tie"),
        (least_common, "the rarest"),
        (two_symbols, "single symbols"),
        (a_fixed_pair, "differs"),
        (glued, "wrong shape"),
    ],
    "4.2": [
        (greedy, "longest piece first"),
        (backwards, "merges backwards"),
        (one_place, "first place only"),
        (along_the_word, "order of the word"),
        (returns_early, "one merge only"),
        (letters, "single characters"),
        (whole_word, "differs"),
        (with_spaces, "wrong shape"),
    ],
    "4.3": [
        (no_question, "never asks"),
        (question_always, "always asks"),
        (empty_turn, "asks with an end"),
        (no_begin, "no beginning"),
        (begins_often, "beginning in every turn"),
        (ends_once, "one end"),
        (closes_replies, "replies end, questions do not"),
        (spaced, "a space after the role"),
        (role_lines, "a line end after the role"),
        (turn_lines, "a line end after each turn"),
        (stripped, "text stripped"),
        (chatml, "differs"),
        (a_list, "wrong shape"),
    ],
    "4.4": [
        (zip_only, "runs off the end"),
        (equal_only, "must be equal"),
        (from_behind, "the last difference"),
        (number_of_them, "how many differ"),
        (membership, "order ignored"),
        (from_one, "one late"),
        (its_length, "length for none"),
        (always_fine, "differs"),
        (true_or_false, "wrong shape"),
    ],
    "4.5": [
        (trusting, "never refuses"),
        (half_careful, "checks the prompts only"),
        (silent, "one reply dropped"),
        (endless, "end token lost"),
        (all_up_to_it, "prompt trained"),
        (one_early, "role token trained"),
        (one_late, "one position late"),
        (the_last, "last reply only"),
        (turned_round, "the wrong way round"),
        (refuses_all, "differs"),
        (the_ids, "wrong shape"),
    ],
}
