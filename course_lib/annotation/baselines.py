"""Baselines: keyword rules, majority and TF-IDF with a linear model for intents; a gazetteer.

All that guess intents have `predict(texts)`, as in scikit-learn. What is fine-tuned must beat them.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_lib.dialogue import Entity

KEYWORDS = Path(__file__).with_name("keywords.toml")
UNKNOWN = "out_of_scope"

Pairs = Sequence[tuple[str, str]]


# ---- intents by keyword


@dataclass(slots=True)
class KeywordRules:
    """Groups of intent -> phrases; the file `keywords.toml` says how they are tried."""

    groups: list[list[tuple[str, re.Pattern[str]]]]
    otherwise: str = UNKNOWN

    def guess(self, text: str) -> str:
        """The intent of one message; `otherwise` when no phrase stands in it."""
        for group in self.groups:
            found = [(m.start(), -len(m[0]), i) for i, p in group if (m := p.search(text))]
            if found:
                first = min(place[:2] for place in found)
                return next(intent for *place, intent in found if tuple(place) == first)
        return self.otherwise

    def predict(self, texts: Iterable[str]) -> list[str]:
        return [self.guess(text) for text in texts]


def load_rules(path: str | Path = KEYWORDS) -> KeywordRules:
    """Reads a file of keyword rules; raises ValueError with the file for one that is none."""
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        return rules_from(tables)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: no file of keyword rules ({error})") from None


def rules_from(tables: Mapping[str, Mapping[str, Sequence[str]]]) -> KeywordRules:
    """Rules from {group: {intent: phrases}}."""
    return KeywordRules([[_rule(*pair) for pair in group.items()] for group in tables.values()])


def _rule(intent: str, phrases: Sequence[str]) -> tuple[str, re.Pattern[str]]:
    if isinstance(phrases, str) or not phrases or not all(isinstance(p, str) for p in phrases):
        raise TypeError(f"{intent} needs a list of phrases, not {phrases!r}")
    longest_first = sorted(phrases, key=len, reverse=True)
    return intent, re.compile("|".join(map(_phrase, longest_first)), re.IGNORECASE)


def _phrase(phrase: str) -> str:
    words = [_word(word) for word in phrase.split()]
    pattern = r"\W+".join(words).replace(r"\W+...\W+", r"\W+(?:\S+\W+){0,6}?")
    return rf"(?<!\w){pattern}(?!\w)"


def _word(word: str) -> str:
    if word == "...":
        return word
    if word == "*":
        return r"\w+"
    return re.escape(word).replace(r"\*", r"\w*").replace(r"\#", r"\d+")


# ---- intents by scikit-learn


def majority(pairs: Pairs) -> Any:
    """The commonest intent, whatever the message says (scikit-learn's DummyClassifier)."""
    from sklearn.dummy import DummyClassifier

    texts, intents = zip(*pairs, strict=True)
    return DummyClassifier(strategy="most_frequent").fit(texts, intents)


def tfidf(pairs: Pairs, strength: float = 10.0) -> Any:
    """TF-IDF of words, pairs of words and parts of words, with a logistic regression on top.

    `strength` is its C: greater fits the examples more closely. Parts of words bear with typos.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), min_df=3, sublinear_tf=True)
    texts, intents = zip(*pairs, strict=True)
    few = len(texts) < 50  # a word that occurs once is all there is
    if few:
        words.min_df = parts.min_df = 1
    model = LogisticRegression(C=strength, max_iter=200)
    return make_pipeline(make_union(words, parts), model).fit(texts, intents)


@dataclass(slots=True)
class Average:
    """Several classifiers of the same labels as one: the mean of their probabilities.

    As scikit-learn's VotingClassifier with voting="soft", for classifiers that are trained already.
    """

    members: Sequence[Any]

    def __post_init__(self) -> None:
        if len({tuple(member.classes_) for member in self.members}) != 1:
            raise ValueError("give one or more classifiers with the same labels in the same order")

    @property
    def classes_(self) -> Any:
        """The labels in the order of the outputs."""
        return self.members[0].classes_

    def predict_proba(self, texts: Iterable[str]) -> Any:
        """(N, labels) probabilities."""
        texts = list(texts)
        return sum(member.predict_proba(texts) for member in self.members) / len(self.members)

    def predict(self, texts: Iterable[str]) -> list[str]:
        best = self.predict_proba(texts).argmax(1)
        return [str(self.classes_[i]) for i in best]


# ---- entities by list


@dataclass(slots=True)
class Gazetteer:
    """Known names by slot. Finds the longest at each place, in whole words, whatever the case."""

    names: dict[str, tuple[str, str]] = field(default_factory=dict)  # lower text -> slot, value
    _by_first: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_first: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self.names, key=len, reverse=True):
            by_first[_first_word(name)].append(name)
        self._by_first = dict(by_first)

    def find(self, text: str) -> list[Entity]:
        """The names in a text from left to right; none overlaps another."""
        lower, found, free = _lower(text), [], 0
        for match in _WORD.finditer(lower):
            start = match.start()
            name = self._longest_at(lower, start, match[0]) if start >= free else None
            if name is not None:
                free = start + len(name)
                slot, value = self.names[name]
                found.append(Entity(slot, start, free, text[start:free], value))
        return found

    def predict(self, texts: Iterable[str]) -> list[list[Entity]]:
        return [self.find(text) for text in texts]

    def _longest_at(self, lower: str, start: int, word: str) -> str | None:
        for name in self._by_first.get(word, ()):
            if lower.startswith(name, start) and _ends_word(lower, start + len(name)):
                return name
        return None


_WORD = re.compile(r"\w+|[^\w\s]")


def _first_word(name: str) -> str:
    match = _WORD.match(name)
    return match[0] if match else ""


def _ends_word(text: str, end: int) -> bool:
    inside = end < len(text) and _is_word(text[end - 1]) and _is_word(text[end])
    return not inside


def _is_word(character: str) -> bool:
    return re.match(r"\w", character) is not None


def _lower(text: str) -> str:
    """Lower case letter by letter, so that every place stays where it was (İ has two)."""
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)


def learn_gazetteer(pairs: Iterable[tuple[str, Iterable[Entity]]]) -> Gazetteer:
    """The spans of annotated texts as a gazetteer: of each text its commonest slot and value."""
    counts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for _, entities in pairs:
        for entity in entities:
            counts[_lower(entity.text.strip())][entity.slot, entity.value] += 1
    best = {
        name: min(seen.items(), key=lambda p: (-p[1], p[0]))[0] for name, seen in counts.items()
    }
    return Gazetteer({name: found for name, found in best.items() if name})
