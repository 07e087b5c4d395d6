"""Spans and BIO tags over the tokens of any fast tokenizer, there and back without loss.

Byte-level tokenizers put the space before a word into the word's token, and cut one emoji into
several tokens that all have the emoji's offsets. So a token counts by its range without the white
space at its ends, and a span's range is that of all its tokens together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.dialogue import Dialogue, Entity

OUTSIDE = "O"

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Lost:
    """A span that tags cannot carry, and why; the place is known once a dialogue was read."""

    entity: Entity
    reason: str
    dialogue_id: str = ""
    message: int | None = None

    def __str__(self) -> str:
        place = (
            f"dialogue {self.dialogue_id!r}, message {self.message}: " if self.dialogue_id else ""
        )
        span = f"{self.entity.start}:{self.entity.end} {self.entity.text!r}"
        return f"{place}{self.entity.slot} {span}: {self.reason}"


@dataclass(slots=True)
class Tagged:
    """A text as tokens: `ids`, their character ranges and their tags, all of one length."""

    text: str
    ids: list[int]
    ranges: list[Range]
    tags: list[str]
    lost: list[Lost] = field(default_factory=list)

    @property
    def entities(self) -> list[Entity]:
        """The spans that the tags carry."""
        return from_bio(self.tags, self.ranges, self.text)


@dataclass(slots=True)
class RoundTrip:
    """How many spans came back from tags as they were, and which did not."""

    spans: int = 0
    exact: int = 0
    lost: list[Lost] = field(default_factory=list)


def tag_names(slots: Iterable[str]) -> list[str]:
    """O, then B- and I- of every slot, in the given order."""
    return [OUTSIDE, *(f"{kind}-{slot}" for slot in slots for kind in "BI")]


def tokens_of(texts: Sequence[str], tokenizer: Any) -> list[tuple[list[int], list[Range]]]:
    """Ids and trimmed character ranges of each text; white space alone has an empty range.

    Raises TypeError for a tokenizer that does not track characters.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise TypeError(
            f"{type(tokenizer).__name__} has no offsets; load a fast tokenizer, for example with "
            "AutoTokenizer.from_pretrained(…)"
        )
    if not texts:
        return []
    options = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
    found = tokenizer(list(texts), **options)
    rows = zip(texts, found["input_ids"], found["offset_mapping"], strict=True)
    return [(ids, [_trimmed(text, *pair) for pair in pairs]) for text, ids, pairs in rows]


def _trimmed(text: str, start: int, end: int) -> Range:
    """A range without the white space at its ends; at its old end if nothing else is there."""
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    if left == len(piece):
        return end, end
    return start + left, start + len(piece.rstrip())


def to_bio(entities: Iterable[Entity], ranges: Sequence[Range]) -> tuple[list[str], list[Lost]]:
    """One tag a token, and the spans that no tags could carry.

    A span is lost when it overlaps one before it, when no token lies in it, or when its borders
    are not borders of tokens.
    """
    tags, lost = [OUTSIDE] * len(ranges), []
    for entity in sorted(entities, key=lambda e: (e.start, -e.end)):
        inside = [i for i, (a, b) in enumerate(ranges) if a < entity.end and b > entity.start]
        inside = [i for i in inside if ranges[i][0] < ranges[i][1]]
        reason = _why_lost(entity, inside, ranges, tags)
        if reason:
            lost.append(Lost(entity, reason))
            continue
        for i in range(inside[0], inside[-1] + 1):  # white space inside a span belongs to it
            tags[i] = f"I-{entity.slot}"
        tags[inside[0]] = f"B-{entity.slot}"
    return tags, lost


def _why_lost(
    entity: Entity, inside: Sequence[int], ranges: Sequence[Range], tags: Sequence[str]
) -> str:
    if not inside:
        return "no token lies in it"
    if any(tags[i] != OUTSIDE for i in inside):
        return "it overlaps another span or shares a token with it"
    start = min(ranges[i][0] for i in inside)
    end = max(ranges[i][1] for i in inside)
    if (start, end) != (entity.start, entity.end):
        return f"its tokens reach from {start} to {end}: a border lies inside a token or at a space"
    return ""


def from_bio(tags: Sequence[str], ranges: Sequence[Range], text: str) -> list[Entity]:
    """The spans that tags carry, in order and never overlapping; `value` is the text itself.

    An I- that continues nothing opens a span, as a model's tags need not be well formed.
    """
    runs = [run for run in _runs(tags, ranges) if run[1] < run[2]]
    spans: list[Entity] = []
    for slot, start, end in runs:
        start = max(start, spans[-1].end) if spans else start  # two halves of one emoji
        if start < end:
            spans.append(Entity(slot, start, end, text[start:end], text[start:end]))
    return spans


def _runs(tags: Sequence[str], ranges: Sequence[Range]) -> list[tuple[str, int, int]]:
    """(slot, start, end) of each run of tags that belong together."""
    runs: list[tuple[str, int, int]] = []
    open_slot = ""
    for tag, (start, end) in zip(tags, ranges, strict=True):
        kind, _, slot = tag.partition("-")
        if kind == "I" and slot == open_slot:
            name, first, last = runs[-1]
            if start < end:  # white space moves no border
                runs[-1] = (name, min(first, start) if first < last else start, max(last, end))
        elif slot:
            runs.append((slot, start, end))
        open_slot = slot
    return runs


def align_all(pairs: Sequence[tuple[str, Iterable[Entity]]], tokenizer: Any) -> list[Tagged]:
    """Tokens and tags of many (text, spans), in one call of the tokenizer."""
    tokens = tokens_of([text for text, _ in pairs], tokenizer)
    tagged = []
    for (text, entities), (ids, ranges) in zip(pairs, tokens, strict=True):
        tags, lost = to_bio(entities, ranges)
        tagged.append(Tagged(text, ids, ranges, tags, lost))
    return tagged


def align(text: str, entities: Iterable[Entity], tokenizer: Any) -> Tagged:
    """Tokens and tags of one text with its spans."""
    return align_all([(text, entities)], tokenizer)[0]


def round_trip(dialogues: Iterable[Dialogue], tokenizer: Any) -> RoundTrip:
    """Sends every span through tags and back; what differs is in `lost`, with its place."""
    report = RoundTrip()
    for dialogue in dialogues:
        pairs = [(message.content, message.entities) for message in dialogue.messages]
        for number, tagged in enumerate(align_all(pairs, tokenizer)):
            _compare(report, dialogue, number, tagged)
    return report


def _compare(report: RoundTrip, dialogue: Dialogue, number: int, tagged: Tagged) -> None:
    back = {(e.slot, e.start, e.end) for e in tagged.entities}
    reasons = {id(lost.entity): lost.reason for lost in tagged.lost}
    for entity in dialogue.messages[number].entities:
        report.spans += 1
        reason = reasons.get(id(entity), "")
        if not reason and (entity.slot, entity.start, entity.end) in back:
            report.exact += 1
        else:
            reason = reason or "it came back changed"
            report.lost.append(Lost(entity, reason, dialogue.id, number))
