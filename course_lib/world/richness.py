"""How rich dialogues are: different words and n-grams, likeness to each other, acts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from course_lib.cleaning import shingles
from course_lib.dialogue import Dialogue

_WORD = re.compile(r"[a-z0-9]+(?:['’][a-z]+)?")


def words_of(text: str) -> list[str]:
    """The words of a text in small letters, numbers included."""
    return _WORD.findall(text.lower())


def distinct_share(turns: Iterable[Sequence[str]], size: int) -> float:
    """Distinct-n: different n-grams over all n-grams, counted within turns (Li et al. 2016).

    It falls as the text grows, so compare texts of like size. Raises ValueError where there is no
    n-gram.
    """
    grams = [
        tuple(turn[start : start + size]) for turn in turns for start in range(len(turn) - size + 1)
    ]
    if not grams:
        raise ValueError(f"no turn has {size} words: there is no {size}-gram to count")
    return len(set(grams)) / len(grams)


def nearest_similarities(texts: Sequence[str], chosen: Iterable[int]) -> list[float]:
    """For each chosen text its Jaccard similarity (character 5-grams) to the nearest other one."""
    import numpy as np

    sets = [shingles(text) for text in texts]
    sizes = np.array([len(one) for one in sets])
    holders: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(sets):
        for gram in one:
            holders[gram].append(number)
    lists = {gram: np.array(numbers) for gram, numbers in holders.items()}
    nearest = []
    for number in chosen:
        found = np.concatenate([lists[gram] for gram in sets[number]])
        shared = np.bincount(found, minlength=len(texts))
        similarity = shared / (sizes + sizes[number] - shared)
        similarity[number] = 0.0
        nearest.append(float(similarity.max()))
    return nearest


def act_shares(dialogues: Iterable[Dialogue], role: str) -> list[tuple[str, float]]:
    """(act, share of this role's turns that hold it), the most frequent first.

    A turn may hold several acts, so the shares may add up to more than one.
    """
    turns = [message for d in dialogues for message in d.messages if message.role == role]
    held = Counter(act for message in turns for act in {a for a, _ in message.acts if a})
    return [(act, count / len(turns)) for act, count in sorted(held.items(), key=_by_count)]


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
