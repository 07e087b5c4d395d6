"""What a turn in free text does: the nearest hand-written wordings, and the slots that it names.

Every wording of the shop's language stands in a file of one intent, so a text means what the
wording nearest to it means. Names, numbers and values are masked first ("order 2155035290" and
"order {order}" are then the same), and of several sentences each goes with the wording that fits.
The agent's turns become acts such as ["confirm", "cancel_order"], the customer's become intents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from course_lib.annotation.baselines import Gazetteer
from course_lib.world.catalogue import Catalogue, load_catalogue
from course_lib.world.dialogues import (
    CONFIRMED,
    FACT_INTENTS,
    HELD_OUT_INTENTS,
    OPERATIONS,
    POLICIES,
)
from course_lib.world.grammar import agreement
from course_lib.world.wordings import SHARED, Language, load_language, trained_and_held_out

Act = tuple[str, str | None]

# A text less alike than this to every wording says nothing that is known (1: word for word).
THRESHOLD = {"agent": 0.5, "customer": 0.3}
_LONGEST = 4  # sentences of one wording
_MOST = 12  # sentences of a turn that are looked at
_TIE = 0.03  # wordings as near as this count as equally near: the value decides
_MASKS = {"product": "xproduct", "order": "xorder", "address": "xaddress", "value": "xvalue"}
# A customer's opener may end in a colon; an agent's colon stands before the value.
_CUTS = {"agent": re.compile(r"(?<=[.!?])\s+"), "customer": re.compile(r"(?<=[.!?:])\s+")}
_BRACED = re.compile(r"\{(\w+)\}")
_ORDER = re.compile(r"(?<![\d-])\d{7,12}(?![\d-])")
_ADDRESS = re.compile(r"\b\d{1,3} [A-Z][a-z]+(?: [A-Z][a-z]+)+, [A-Z][a-z]+\b")


@dataclass(frozen=True)
class Shop:
    """The catalogue, and the language split as for the data: `trained`, and `phrasing` (unseen)."""

    catalogue: Catalogue
    trained: Language
    phrasing: Language

    def language(self, wordings: str) -> Language:
        """The language called "trained" or "phrasing"."""
        if wordings not in ("trained", "phrasing"):
            raise ValueError(f"no wordings {wordings!r}: take 'trained' or 'phrasing'")
        return self.trained if wordings == "trained" else self.phrasing


@cache
def shop() -> Shop:
    """The shop that customers and agents share, read once."""
    undivided = (*SHARED, *HELD_OUT_INTENTS)
    return Shop(load_catalogue(), *trained_and_held_out(load_language(), undivided))


# ---- the slots of a text


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with masks for what it names: `slots` (the latest of each) and catalogue `values`."""

    text: str
    slots: Mapping[str, str]
    values: tuple[str, ...]


@cache
def _gazetteer() -> Gazetteer:
    catalogue = shop().catalogue
    facts = {value for product in catalogue.products for value in product.facts.values()}
    told = {catalogue.policies[slot] for slot in (*POLICIES.values(), "support_days")}
    names = {value.lower(): ("value", value) for value in sorted(facts | told)}
    for product in catalogue.products:
        for name in (product.name, product.full_name):
            names[name.lower()] = ("product", product.full_name)
    return Gazetteer(names)


def mask(text: str) -> Masked:
    """Product names, order numbers, addresses and catalogue values found and masked."""
    found = [(e.start, e.end, e.slot, e.value) for e in _gazetteer().find(text)]
    for slot, pattern in (("address", _ADDRESS), ("order", _ORDER)):
        spans = [(m.start(), m.end(), slot, m[0]) for m in pattern.finditer(text)]
        found = [f for f in found if not any(s[0] < f[1] and f[0] < s[1] for s in spans)]
        taken = [s for s in spans if not any(f[0] < s[1] and s[0] < f[1] for f in found)]
        found += taken
    slots: dict[str, str] = {}
    values: list[str] = []
    for start, end, slot, value in sorted(found, reverse=True):
        text = f"{text[:start]}{_MASKS[slot]}{text[end:]}"
        if slot == "value":
            values.append(value)
        else:
            slots.setdefault("order_number" if slot == "order" else slot, value)
    return Masked(text, slots, tuple(reversed(values)))


# ---- the nearest wordings


@dataclass(frozen=True, slots=True)
class Template:
    """A masked wording: the file (`intent`) and section it stands in."""

    intent: str
    section: str
    text: str


@dataclass(frozen=True, slots=True)
class Match:
    """A stretch of a turn, the templates nearest to it (several in a tie), how alike (0 to 1)."""

    text: str
    templates: tuple[Template, ...]
    similarity: float


def _filled(text: str, plural: bool) -> str:
    words: dict[str, str] = agreement(plural) | {"shop": "Marrowby", "days": _MASKS["value"]}
    words |= _MASKS

    def fill(match: re.Match[str]) -> str:
        word = words[match[1].lower()]
        return word if match[1].islower() else word[:1].upper() + word[1:]

    return _BRACED.sub(fill, text)


def _templates(language: Language, side: str) -> list[Template]:
    return list(
        dict.fromkeys(
            Template(intent, wording.section, _filled(wording.text, plural))
            for intent, wordings in language.wordings[side].items()
            for wording in wordings
            for plural in (False, True)
        )
    )


class Matcher:
    """Finds the wordings nearest to a text: TF-IDF of words, pairs of words and parts of words."""

    def __init__(self, templates: Sequence[Template], side: str) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_union

        if not templates:
            raise ValueError("no wordings to match: give the templates of one side")
        self.templates, self.side = list(templates), side
        words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"[\w']+", sublinear_tf=True)
        parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True)
        self._vectors: Any = make_union(words, parts)
        texts = [template.text for template in self.templates]
        self._known = self._vectors.fit_transform(texts).T.tocsr()
        self._cache: dict[str, list[Match]] = {}

    def match(self, text: str) -> list[Match]:
        """The masked text cut into stretches of a few sentences, each with its templates.

        Of all ways to cut it the one whose stretches are the most alike to some wording.
        """
        self.prepare([text])
        return self._cache[text]

    def prepare(self, texts: Iterable[str]) -> None:
        """Matches many texts at once, which is faster; `match` then finds them ready."""
        if len(self._cache) > 50_000:
            self._cache.clear()
        new = {
            text: _stretches(text, _CUTS[self.side]) for text in texts if text not in self._cache
        }
        matches = iter(self._nearest([part for spans in new.values() for part in spans.values()]))
        for text, spans in new.items():
            self._cache[text] = _best_cut({span: next(matches) for span in spans})

    def _nearest(self, texts: Sequence[str]) -> list[Match]:
        matches = []
        for start in range(0, len(texts), 256):  # few rows at a time: they become dense
            some = texts[start : start + 256]
            alike = (self._vectors.transform(some) @ self._known).toarray() / 2  # two unit vectors
            matches += [self._match(text, row) for text, row in zip(some, alike, strict=True)]
        return matches

    def _match(self, text: str, row: Any) -> Match:
        top = float(row.max())
        near = (row >= top - _TIE).nonzero()[0] if top >= THRESHOLD[self.side] else []
        by_likeness = sorted(near, key=lambda i: -row[i])
        return Match(text, tuple(self.templates[i] for i in by_likeness), top)


def _stretches(text: str, cuts: re.Pattern[str]) -> dict[tuple[int, int], str]:
    """Runs of sentences by their (start, end), those with an earlier end first."""
    sentences = [s for s in cuts.split(text.strip()) if re.search(r"\w", s)][:_MOST]
    return {
        (start, end): " ".join(sentences[start:end])
        for end in range(1, len(sentences) + 1)
        for start in range(max(0, end - _LONGEST), end)
    }


def _best_cut(matches: Mapping[tuple[int, int], Match]) -> list[Match]:
    """The cut of highest likeness, each stretch weighed by its words (dynamic programming)."""
    best: dict[int, tuple[float, list[Match]]] = {0: (0.0, [])}
    for (start, end), match in matches.items():
        score, before = best[start]
        score += match.similarity * len(match.text.split())
        if end not in best or score > best[end][0]:
            best[end] = (score, [*before, match])
    return best[max(best)][1]


# ---- what an agent does


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn understood: acts or intents in order, named slots, and catalogue values stated.

    `topic` is the kind of small talk.
    """

    text: str
    acts: tuple[Act, ...]
    intents: tuple[str, ...]
    slots: Mapping[str, str]
    values: tuple[str, ...]
    topic: str | None = None

    def does(self, act: str, slot: str | None = None) -> bool:
        """Whether the turn has this act, with this slot if one is given."""
        return any(a == act and slot in (None, s) for a, s in self.acts)

    def asked(self) -> tuple[str, ...]:
        """The slots that the turn asks for."""
        return tuple(slot for act, slot in self.acts if act == "request" and slot)


_ACTS: dict[str, tuple[Act, ...]] = {
    "acknowledge_correction": (("acknowledge", None),),
    "anything_else": (("offer", None),),
    "complaint": (("apologise", None), ("handover", None)),
    "goodbye": (("bye", None),),
    "greeting": (("greet", None),),
    "human_agent": (("handover", None),),
    "not_done": (("leave", None),),
    "other_request": (("handover", None),),
    "out_of_scope": (("decline", "out_of_scope"),),
    "small_talk": (("chat", None),),
    "thanks": (("welcome", None),),
    **{f"ask_{slot}": (("request", slot),) for slot in ("product", "order_number", "address")},
    **{intent: (("inform", slot),) for intent, slot in (FACT_INTENTS | POLICIES).items()},
    "ask_hours": (("inform", "support_hours"), ("inform", "support_days")),
    **{f"confirm_{intent}": (("confirm", intent),) for intent in CONFIRMED},
    **{f"done_{intent}": (("notify", intent),) for intent in CONFIRMED},
    **{intent: (("notify", intent),) for intent in OPERATIONS if intent not in CONFIRMED},
}
# Half a wording can be near the whole: these acts also need the words that make them.
_SIGNS = {
    "handover": re.compile(
        r"colleague|team|staff|person|somebody|someone|customer service", re.IGNORECASE
    ),
    "confirm": re.compile(r"\?|confirm", re.IGNORECASE),
}
_CURE = "cure"  # what to do about a red light: part of the answer, no act of its own


@cache
def _agent_matcher() -> Matcher:
    cures = [Template(_CURE, "main", text) for text in shop().catalogue.cures.values()]
    return Matcher([*_templates(shop().trained, "agent"), *cures], "agent")


@cache
def _slots_of_value() -> dict[str, set[str]]:
    slots: dict[str, set[str]] = {}
    for product in shop().catalogue.products:
        for slot, value in product.facts.items():
            slots.setdefault(value, set()).add(slot)
    for slot in POLICIES.values():
        slots.setdefault(shop().catalogue.policies[slot], set()).add(slot)
    return slots


def slots_of(value: str) -> set[str]:
    """The facts and promises that have this value somewhere in the shop."""
    return _slots_of_value().get(value, set())


def _chosen(match: Match, values: Iterable[str]) -> Template | None:
    """The nearest template; of several as near the one whose fact has such a value."""
    fitting = set().union(*(slots_of(value) for value in values))
    informs = FACT_INTENTS | POLICIES
    for template in match.templates:
        if informs.get(template.intent) in fitting:
            return template
    return match.templates[0] if match.templates else None


def prepare(replies: Iterable[str] = (), messages: Iterable[str] = ()) -> None:
    """Reads many agents' replies and customers' messages at once, faster than one by one."""
    if replies := list(replies):
        _agent_matcher().prepare(mask(text).text for text in replies)
    if messages := list(messages):
        _customer_matcher().prepare(mask(text).text for text in messages)


@lru_cache(maxsize=50_000)
def agent_turn(text: str) -> Turn:
    """What an agent's reply does; a reply like no wording has no acts."""
    masked, acts, intents = mask(text), dict[Act, None](), []
    for match in _agent_matcher().match(masked.text):
        template = _chosen(match, masked.values)
        if template and not _is_scrap(match.text, template):
            intents.append(template.intent)
            acts |= dict.fromkeys(_acts_of(template.intent, match.text))
    return Turn(text, tuple(acts), tuple(intents), masked.slots, masked.values)


def _is_scrap(text: str, template: Template) -> bool:
    """Whether the text is less than half of its wording: too little to have done anything."""
    return 2 * len(text.split()) < len(template.text.split())


def _acts_of(intent: str, text: str) -> list[Act]:
    acts = _ACTS.get(intent, ())
    return [act for act in acts if act[0] not in _SIGNS or _SIGNS[act[0]].search(text)]


# ---- what a customer wants


@cache
def _customer_matcher() -> Matcher:
    return Matcher(_templates(shop().trained, "customer"), "customer")


@cache
def _decision_matcher() -> Matcher:
    both = ("affirm", "deny")
    known = [t for t in _templates(shop().trained, "customer") if t.intent in both]
    return Matcher(known, "customer")


def yes_or_no(text: str) -> str | None:
    """Gives "affirm" or "deny", the nearer where one is expected; None where neither is near."""
    matches = [match for match in _decision_matcher().match(mask(text).text) if match.templates]
    best = max(matches, key=lambda match: match.similarity, default=None)
    return best.templates[0].intent if best else None


@lru_cache(maxsize=50_000)
def customer_turn(text: str) -> Turn:
    """A customer's intents in order (without openers), and the slots that were named."""
    masked = mask(text)
    matches = _customer_matcher().match(masked.text)
    nearest = [match.templates[0] for match in matches if match.templates]
    intents = dict.fromkeys(near.intent for near in nearest if near.intent not in SHARED)
    topic = next((near.section for near in nearest if near.intent == "small_talk"), None)
    return Turn(text, (), tuple(intents), masked.slots, masked.values, topic)
