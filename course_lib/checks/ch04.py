"""Checks of chapter 04."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from course_lib.checks.exercises import Wrong, exercise
from course_lib.checks.judging import SHAPE, Case, Mistake, judge, number

# ---- 4.1 the next merge

Pair = tuple[str, str]
Words = list[tuple[list[str], int]]


def _counts(words: Words, weigh: bool = True, once: bool = False) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for symbols, times in words:
        pairs: Iterable[Pair] = zip(symbols, symbols[1:], strict=False)
        for pair in dict.fromkeys(pairs) if once else pairs:
            counts[pair] += times if weigh else 1
    return counts


def _top(counts: Counter[Pair]) -> Pair:
    return min(counts, key=lambda pair: (-counts[pair], pair))


def _best_pair(words: Words) -> Pair:
    return _top(_counts(words))


def _across(words: Words) -> Pair:
    line = [symbol for symbols, times in words for _ in range(times) for symbol in symbols]
    return _top(Counter(zip(line, line[1:], strict=False)))


def _last_of_a_tie(words: Words) -> Pair:
    counts = _counts(words)
    return max(counts, key=lambda pair: (counts[pair], pair))


def _first_seen(words: Words) -> Pair:
    counts = _counts(words)
    return max(counts, key=lambda pair: counts[pair])


def _rarest(words: Words) -> Pair:
    counts = _counts(words)
    return min(counts, key=lambda pair: (counts[pair], pair))


def _letters(words: Words) -> Pair:
    counts = Counter(s for symbols, times in words for s in symbols * times)
    first, second = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[:2]
    return first, second


_PAIR_CASES: list[Case] = [
    ([(["l", "o", "w"], 5), (["l", "o", "w", "e", "r"], 2), (["n", "e", "w", "e", "r"], 4)],),
    ([(["t", "o", "t", "o"], 3), (["e", "n"], 5), (["k", "e", "t"], 1)],),
    ([(["z", "a"], 4), (["b", "c"], 4), (["b", "d"], 3), (["d", "b"], 2), (["d", "b", "e"], 1)],),
    ([(["a", "b"], 9), (["c", "d", "e"], 1), (["c", "d"], 1), (["c", "d", "f"], 1)],),
    ([(["x", "y"], 6), (["y", "q"], 5)],),
]
_PAIR_MISTAKES: dict[str, Mistake] = {
    "every word once": (
        lambda words: _top(_counts(words, weigh=False)),
        "each word is counted once. A pair in a word that occurs five times occurs five times.",
    ),
    "across words": (
        _across,
        "the last symbol of a word and the first of the next count as a pair for your function. "
        "Merges never cross the edge of a word.",
    ),
    "once a word": (
        lambda words: _top(_counts(words, once=True)),
        "a pair that stands twice in one word is counted once for it. Count every place.",
    ),
    "last of a tie": (
        _last_of_a_tie,
        "the count is right, but of several pairs with the same count you take the last in "
        "alphabetical order. Take the first.",
    ),
    "first seen of a tie": (
        _first_seen,
        "of several pairs with the same count you take the one that was seen first. Then the "
        "merges would depend on the order of the words: take the first in alphabetical order.",
    ),
    "the rarest": (_rarest, "that is the rarest pair. Take the most frequent."),
    "single symbols": (
        _letters,
        "those are the two most frequent symbols. Count pairs of neighbours.",
    ),
}


def _as_pair(value: Any) -> Pair:
    if not isinstance(value, (tuple, list)) or len(value) != 2 or not _texts(value):
        raise Wrong(SHAPE, f"return one pair of symbols such as ('l', 'o'), not {value!r}.")
    return value[0], value[1]


def _texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


@exercise(
    "4.1",
    "The next merge",
    answer_name="best_pair",
    difficulty=1,
    minutes=8,
    hints=(
        "go through the words; in each, zip(symbols, symbols[1:]) gives the neighbours.",
        "counts[pair] += times, for a collections.Counter called counts.",
        "min(counts, key=lambda pair: (-counts[pair], pair)) puts high counts first, then a to z.",
    ),
)
def check_best_pair(answer: Callable[..., Any]) -> None:
    """Judges best_pair(words): the most frequent pair of neighbours, ties in a-to-z order."""
    judge(answer, _best_pair, _PAIR_CASES, _PAIR_MISTAKES, _as_pair)


# ---- 4.2 using the merges

Merges = list[Pair]


def _joined(symbols: list[str], pair: Pair, most: int | None = None) -> list[str]:
    out: list[str] = []
    done = 0
    for symbol in symbols:
        fits = bool(out) and (out[-1], symbol) == pair
        if fits and (most is None or done < most):
            out[-1] += symbol
            done += 1
        else:
            out.append(symbol)
    return out


def _cut(word: str, merges: Merges) -> tuple[str, ...]:
    symbols = list(word)
    for pair in merges:
        symbols = _joined(symbols, pair)
    return tuple(symbols)


def _longest_first(word: str, merges: Merges) -> tuple[str, ...]:
    known, out = {a + b for a, b in merges} | set(word), []
    while word:
        size = next(n for n in range(len(word), 0, -1) if word[:n] in known)
        out.append(word[:size])
        word = word[size:]
    return tuple(out)


def _first_place_only(word: str, merges: Merges) -> tuple[str, ...]:
    symbols = list(word)
    for pair in merges:
        symbols = _joined(symbols, pair, most=1)
    return tuple(symbols)


def _left_to_right(word: str, merges: Merges) -> tuple[str, ...]:
    out: list[str] = []
    for symbol in word:
        out.append(symbol)
        while len(out) > 1 and (out[-2], out[-1]) in merges:
            out[-2:] = [out[-2] + out[-1]]
    return tuple(out)


def _one_merge(word: str, merges: Merges) -> tuple[str, ...]:
    for pair in merges:
        joined = _joined(list(word), pair)
        if len(joined) < len(word):
            return tuple(joined)
    return tuple(word)


_CUT_CASES: list[Case] = [
    ("lower", [("e", "r"), ("l", "o"), ("lo", "w")]),
    ("newer", [("w", "e"), ("e", "r"), ("n", "e"), ("ne", "we"), ("newe", "r")]),
    ("abcab", [("b", "c"), ("a", "b"), ("ab", "c")]),
    ("banana", [("a", "n"), ("an", "an"), ("b", "a")]),
    ("toto", [("t", "o"), ("to", "to")]),
    ("xyz", [("a", "b")]),
    ("abc", [("b", "c"), ("a", "b"), ("a", "bc")]),
]
_CUT_MISTAKES: dict[str, Mistake] = {
    "longest piece first": (
        _longest_first,
        "you take the longest known piece from the left each time. BPE does not look for long "
        "pieces: it repeats the merges in the order in which they were learned.",
    ),
    "merges backwards": (
        lambda word, merges: _cut(word, merges[::-1]),
        "the last merge is used first. The first one learned comes first.",
    ),
    "first place only": (
        _first_place_only,
        "each merge joins one place only. It joins the pair wherever it stands in the word.",
    ),
    "order of the word": (
        _left_to_right,
        "you go along the word and join whatever can be joined. Go along the merges instead, and "
        "for each one through the whole word.",
    ),
    "one merge only": (
        _one_merge,
        "you stop after the first merge that fits. Go on with the next ones: they join what the "
        "earlier ones made.",
    ),
    "single characters": (
        lambda word, merges: tuple(word),
        "the word is still in single characters: no merge was used.",
    ),
}


def _as_symbols(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, (tuple, list)) or not _texts(value):
        raise Wrong(SHAPE, f"return a list of texts such as ['lo', 'w'], not {value!r}.")
    return tuple(value)


@exercise(
    "4.2",
    "Cut a word by its merges",
    answer_name="cut_word",
    difficulty=2,
    minutes=12,
    hints=(
        "start with symbols = list(word); then one loop over the merges, in their order.",
        "inside, build a new list: if the last symbol in it and the next one are the pair, join.",
        "out[-1] += symbol joins; out.append(symbol) does not. After the loop: symbols = out.",
    ),
)
def check_cut_word(answer: Callable[..., Any]) -> None:
    """Judges cut_word(word, merges): the word after every merge, in the order they were learned."""
    judge(answer, _cut, _CUT_CASES, _CUT_MISTAKES, _as_symbols)


# ---- 4.3 the renderer

Turns = list[tuple[str, str]]


def _write(
    turns: Turns,
    waits: bool,
    begin: str = "<|endoftext|>",
    after_role: str = "",
    after_turn: str = "",
    change: Callable[[str], str] = str,
) -> str:
    parts = [f"<|{role}|>{after_role}{change(text)}<|end|>{after_turn}" for role, text in turns]
    return begin + "".join(parts) + ("<|assistant|>" + after_role if waits else "")


def _begins_each_turn(turns: Turns, waits: bool) -> str:
    parts = [f"<|endoftext|><|{role}|>{text}<|end|>" for role, text in turns]
    return "".join(parts) + ("<|assistant|>" if waits else "")


def _one_end(turns: Turns, waits: bool) -> str:
    text = "".join(f"<|{role}|>{text}" for role, text in turns)
    return "<|endoftext|>" + text + ("<|assistant|>" if waits else "<|end|>")


def _ends_replies_only(turns: Turns, waits: bool) -> str:
    parts = [f"<|{role}|>{text}" + "<|end|>" * (role == "assistant") for role, text in turns]
    return "<|endoftext|>" + "".join(parts) + ("<|assistant|>" if waits else "")


_WRITE_CASES: list[Case] = [
    ([("user", "Thank you!"), ("assistant", "You are welcome.")], False),
    ([("user", "How heavy is it?")], True),
    ([("system", "Be kind. "), ("user", " Hi"), ("assistant", "Hello!"), ("user", "Price?")], True),
    ([("assistant", "Hello!"), ("user", "And\nthe price?"), ("assistant", "")], False),
]
_WRITE_MISTAKES: dict[str, Mistake] = {
    "never asks": (
        lambda turns, waits: _write(turns, False),
        "with waits=True the prompt has to end in <|assistant|>, or the model does not know that "
        "it is its turn.",
    ),
    "always asks": (
        lambda turns, waits: _write(turns, True),
        "<|assistant|> stands at the end also where nothing is waited for. In training it would be "
        "an extra, empty turn.",
    ),
    "asks with an end": (
        lambda turns, waits: _write([*turns, ("assistant", "")] if waits else turns, False),
        "the prompt closes the turn that the model is to write: nothing may come after the last "
        "<|assistant|>.",
    ),
    "no beginning": (
        lambda turns, waits: _write(turns, waits, begin=""),
        "the text has to begin with <|endoftext|>, as in training.",
    ),
    "beginning in every turn": (
        _begins_each_turn,
        "<|endoftext|> stands before every turn. It begins the text, once.",
    ),
    "one end": (
        _one_end,
        "only the very last turn is closed. Every turn ends in <|end|>, or the model never sees "
        "where one stops.",
    ),
    "replies end, questions do not": (
        _ends_replies_only,
        "only the assistant's turns are closed. Every turn ends in <|end|>.",
    ),
    "a space after the role": (
        lambda turns, waits: _write(turns, waits, after_role=" "),
        "there is a space behind the role's token. It looks the same and gives other tokens.",
    ),
    "a line end after the role": (
        lambda turns, waits: _write(turns, waits, after_role="\n"),
        "there is a line end behind the role's token. Other formats have one; this one has not.",
    ),
    "a line end after each turn": (
        lambda turns, waits: _write(turns, waits, after_turn="\n"),
        "there is a line end behind each turn. Other formats have one; this one has not.",
    ),
    "text stripped": (
        lambda turns, waits: _write(turns, waits, change=str.strip),
        "the white space at the ends of the texts is gone. A renderer changes no text; that is "
        "the cleaning's work.",
    ),
}


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(SHAPE, f"return one text, not {type(value).__name__}.")
    return value


@exercise(
    "4.3",
    "The renderer",
    answer_name="render",
    difficulty=1,
    minutes=8,
    hints=(
        "three parts: the beginning, one piece a turn, and what waits for the assistant, if any.",
        "one turn is f'<|{role}|>{text}<|end|>'; join them with nothing in between.",
        "add '<|assistant|>' at the very end if waits is True.",
    ),
)
def check_render(answer: Callable[..., Any]) -> None:
    """Judges render(turns, waits): the course's chat format as text."""
    judge(answer, _write, _WRITE_CASES, _WRITE_MISTAKES, _as_text)


# ---- 4.4 where a prompt leaves the training text

Ids = list[int]


def _pairs(trained: Ids, prompt: Ids) -> Iterator[tuple[int, bool]]:
    for place, (a, b) in enumerate(zip(trained, prompt, strict=False)):
        yield place, a != b


def _first_skew(trained: Ids, prompt: Ids) -> int:
    for place, differs in _pairs(trained, prompt):
        if differs:
            return place
    return -1 if len(prompt) <= len(trained) else len(trained)


def _runs_off(trained: Ids, prompt: Ids) -> int:
    return next((place for place, differs in _pairs(trained, prompt) if differs), -1)


def _last_skew(trained: Ids, prompt: Ids) -> int:
    places = [place for place, differs in _pairs(trained, prompt) if differs]
    return places[-1] if places else _first_skew(trained, prompt)


def _wants_equal(trained: Ids, prompt: Ids) -> int:
    found = _runs_off(trained, prompt)
    if found >= 0 or len(trained) == len(prompt):
        return found
    return min(len(trained), len(prompt))


def _how_many(trained: Ids, prompt: Ids) -> int:
    found = sum(differs for _, differs in _pairs(trained, prompt))
    return found or _first_skew(trained, prompt)


def _as_sets(trained: Ids, prompt: Ids) -> int:
    return next((place for place, token in enumerate(prompt) if token not in trained), -1)


def _length_for_none(trained: Ids, prompt: Ids) -> int:
    found = _first_skew(trained, prompt)
    return len(prompt) if found < 0 else found


_SKEW_CASES: list[Case] = [
    ([0, 5, 11, 12, 2, 6, 21, 2], [0, 5, 11, 12, 2, 6]),
    ([0, 5, 11, 12, 2, 6, 21, 2], [0, 5, 9, 11, 12, 2, 6]),
    ([0, 5, 11, 12, 2, 6], [0, 5, 11, 12, 2, 6, 8]),
    ([0, 5, 11, 12, 2, 6, 21, 2], [0, 0, 5, 11, 12, 2, 6]),
    ([0, 5, 11, 2, 6, 21, 2], [5, 11, 2, 6]),
    ([0, 5, 11, 2], [0, 5, 11, 2]),
]
_SKEW_MISTAKES: dict[str, Mistake] = {
    "runs off the end": (
        _runs_off,
        "a prompt that is longer than the training text and agrees with all of it passes. zip "
        "stops at the shorter list: compare the lengths as well.",
    ),
    "must be equal": (
        _wants_equal,
        "a prompt that stops before the reply counts as wrong. It has to stop there: ask whether "
        "it is a beginning of the training ids, not whether it is all of them.",
    ),
    "the last difference": (
        _last_skew,
        "that is the last place that differs. The first one is where the fault was made; behind "
        "it everything may be shifted.",
    ),
    "how many differ": (
        _how_many,
        "that is a number of places. Return the first place, counted from 0.",
    ),
    "order ignored": (
        _as_sets,
        "you ask whether each token occurs in the training ids at all. It has to stand at the "
        "same place.",
    ),
    "one late": (
        lambda trained, prompt: (lambda at: at if at < 0 else at + 1)(_first_skew(trained, prompt)),
        "one too many: the first token has the place 0.",
    ),
    "length for none": (
        _length_for_none,
        "where nothing differs, return -1, not the length of the prompt.",
    ),
}


def _as_place(value: Any) -> int:
    found = number(value)
    if found != int(found):
        raise Wrong(SHAPE, f"a place is a whole number, not {found!r}.")
    return int(found)


@exercise(
    "4.4",
    "Where the prompt goes wrong",
    answer_name="first_skew",
    difficulty=2,
    minutes=8,
    hints=(
        "walk over both lists together and return the first place where they differ.",
        "if no place differs, one question is left: is the prompt longer than the training ids?",
        "then return len(trained); otherwise the prompt is a prefix, and you return -1.",
    ),
)
def check_first_skew(answer: Callable[..., Any]) -> None:
    """Judges first_skew(trained, prompt): the first place that differs, or -1 for a prefix."""
    judge(answer, _first_skew, _SKEW_CASES, _SKEW_MISTAKES, _as_place)


# ---- 4.5 the mask of a template that one did not write

Replies = list[tuple[Ids, Ids]]
Span = Callable[[Ids, Ids], tuple[int, int]]


def _mask(whole: Ids, replies: Replies, span: Span, used: slice = slice(None)) -> list[bool]:
    mask = [False] * len(whole)
    for prompt, ended in replies[used]:
        start, end = span(prompt, ended)
        for place in range(max(0, start), min(end, len(whole))):
            mask[place] = True
    return mask


def _between(prompt: Ids, ended: Ids) -> tuple[int, int]:
    return len(prompt), len(ended)


def _refuses(whole: Ids, replies: Replies, both: bool = True) -> bool:
    heads = [head for pair in replies for head in (pair if both else pair[:1])]
    return any(whole[: len(head)] != head for head in heads)


def _prefix_mask(
    whole: Ids, replies: Replies, span: Span = _between, used: slice = slice(None)
) -> tuple[bool, ...]:
    if _refuses(whole, replies):
        return ()
    return tuple(_mask(whole, replies, span, used))


def _never_refuses(whole: Ids, replies: Replies) -> tuple[bool, ...]:
    return tuple(_mask(whole, replies, _between))


def _checks_prompts_only(whole: Ids, replies: Replies) -> tuple[bool, ...]:
    if _refuses(whole, replies, both=False):
        return ()
    return tuple(_mask(whole, replies, _between))


def _leaves_out(whole: Ids, replies: Replies) -> tuple[bool, ...]:
    good = [pair for pair in replies if not _refuses(whole, [pair])]
    return tuple(_mask(whole, good, _between))


_WHOLE = [0, 5, 11, 12, 2, 6, 21, 22, 2, 5, 13, 2, 6, 23, 2]
_MASK_CASES: list[Case] = [
    (_WHOLE, [(_WHOLE[:6], _WHOLE[:9]), (_WHOLE[:13], _WHOLE[:15])]),
    (_WHOLE, [(_WHOLE[:6], _WHOLE[:9])]),
    (_WHOLE, []),
    (_WHOLE, [([0, 5, 11, 12, 2, 6, 7], [0, 5, 11, 12, 2, 6, 7, 21, 22, 2])]),
    (_WHOLE, [(_WHOLE[:6], [*_WHOLE[:6], 7, 21, 22, 2]), (_WHOLE[:13], _WHOLE[:15])]),
    ([6, 21, 2, 10], [([6], [6, 21, 2])]),
]
_MASK_MISTAKES: dict[str, Mistake] = {
    "never refuses": (
        _never_refuses,
        "a template that writes an earlier turn otherwise goes unnoticed. Each prompt and each "
        "ended text must be a beginning of the whole; if one is not, return [].",
    ),
    "checks the prompts only": (
        _checks_prompts_only,
        "the prompts are checked, but not the texts up to the reply's end. A template may change "
        "the reply itself: check both.",
    ),
    "one reply dropped": (
        _leaves_out,
        "a reply that does not fit is left out in silence. Return [] for the whole dialogue.",
    ),
    "end token lost": (
        lambda whole, replies: _prefix_mask(whole, replies, lambda p, e: (len(p), len(e) - 1)),
        "the last token of each reply is left out. It is the end token, and this model would "
        "never learn to stop.",
    ),
    "prompt trained": (
        lambda whole, replies: _prefix_mask(whole, replies, lambda p, e: (0, len(e))),
        "everything up to the reply's end is marked. The reply begins where the prompt ends.",
    ),
    "role token trained": (
        lambda whole, replies: _prefix_mask(whole, replies, lambda p, e: (len(p) - 1, len(e))),
        "the mask begins one token early, on the prompt's last token.",
    ),
    "one position late": (
        lambda whole, replies: _prefix_mask(whole, replies, lambda p, e: (len(p) + 1, len(e) + 1)),
        "the mask is one position late. The first token of a reply has the place len(prompt).",
    ),
    "last reply only": (
        lambda whole, replies: _prefix_mask(whole, replies, used=slice(-1, None)),
        "only the last reply is marked. Every trained turn is an example.",
    ),
    "the wrong way round": (
        lambda whole, replies: tuple(not on for on in _prefix_mask(whole, replies)),
        "the mask is the wrong way round: True is what the assistant says.",
    ),
}


def _as_mask(value: Any) -> tuple[bool, ...]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (tuple, list)) or any(entry not in (0, 1) for entry in value):
        raise Wrong(SHAPE, "return a list with True or False for each token, or [] to refuse.")
    return tuple(bool(entry) for entry in value)


@exercise(
    "4.5",
    "The mask of a template that you did not write",
    answer_name="mask_by_prefixes",
    difficulty=3,
    minutes=15,
    hints=(
        "first the check: whole[:len(prompt)] == prompt, and the same for ended; else return [].",
        "then a list of len(whole) times False, and for each reply a stretch of True.",
        "the stretch goes from len(prompt) up to, not including, len(ended).",
    ),
)
def check_mask_by_prefixes(answer: Callable[..., Any]) -> None:
    """Judges mask_by_prefixes(whole, replies): True where a reply stands, [] for a bad template."""
    judge(answer, _prefix_mask, _MASK_CASES, _MASK_MISTAKES, _as_mask)
