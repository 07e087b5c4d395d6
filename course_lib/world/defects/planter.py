"""How many lines of each kind there are, and the making of the raw logs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from course_lib.dialogue import Dialogue
from course_lib.world.catalogue import Catalogue
from course_lib.world.defects.copies import Copies
from course_lib.world.defects.lines import Line, as_log
from course_lib.world.defects.meaning import Meaning
from course_lib.world.defects.negatives import Negatives
from course_lib.world.defects.personal import Personal
from course_lib.world.defects.structure import Structure
from course_lib.world.defects.text import Text
from course_lib.world.splits import fact_counts
from course_lib.world.wordings import Language, load_language

# The clean dialogues that go into the raw logs, and how many lines each defect gets.
BASE = 3200
COUNTS = {
    # further lines
    "exact_duplicate": 90, "spelling_duplicate": 70, "near_duplicate": 90, "typo_duplicate": 50,
    "reworded_duplicate": 50, "label_conflict": 40, "minimal_pair": 40, "leak": 50,
    "near_leak": 40, "broken_json": 25, "missing_role": 25, "wrong_encoding": 25,
    # what only some dialogues can take, within a line of the clean set
    "unconfirmed_action": 35, "forgotten_slot": 30, "short_reply": 35, "order_number": 50,
    "wrong_fact": 40,
    # within a line of the clean set
    "broken_span": 30, "markup": 60, "html_entity": 50, "mojibake": 50, "zero_width": 50,
    "full_width": 40, "long_mail": 35,
    "email": 50, "phone": 60, "card": 40, "iban": 40, "street_address": 40, "full_name": 40,
    "empty_turn": 40, "swapped_roles": 30, "split_turn": 35, "open_end": 35,
    "looping_reply": 40, "cut_reply": 40, "foreign_reply": 35, "wrong_intent": 40,
    "abuse": 35, "prompt_injection": 35,
    # hard negatives
    "ampersand": 30, "emoji": 40, "accents": 40, "part_number": 25, "tracking_number": 25,
    "price": 40, "date": 25, "hotline": 40, "namelike_product": 25, "first_name": 25,
    "foreign_word": 25, "angry_customer": 30, "innocent_words": 30,
}  # fmt: skip


def plant(
    clean: Sequence[Dialogue],
    tests: Sequence[Dialogue],
    catalogue: Catalogue,
    seed: int,
    base: int = BASE,
    counts: dict[str, int] | None = None,
    language: Language | None = None,
) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Raw lines and ledger from a part of the clean dialogues and from test dialogues to leak.

    Ids become `log-00001` by line; split, family, goal and policy are taken off, as a log has none.
    Of `language` the agent's wordings are used only.
    """
    rng = random.Random(f"{seed}:defects")
    planter = Planter(rng, catalogue, language or load_language(), clean, tests)
    lines = planter.lines(clean, base, COUNTS if counts is None else counts)
    lines.sort(key=lambda line: line.place)
    for number, line in enumerate(lines, start=1):
        line.dialogue.id = f"log-{number:05d}"
    ledger = [line.entry(number) for number, line in enumerate(lines, start=1) if line.kind]
    return [line.data() for line in lines], ledger


class Planter(Copies, Text, Personal, Structure, Meaning, Negatives):
    """Makes the lines; every clean dialogue carries at most one defect or one copy."""

    def lines(self, clean: Sequence[Dialogue], base: int, counts: dict[str, int]) -> list[Line]:
        """All lines, copies after what they copy."""
        chosen = self._chosen(clean, min(base, len(clean)))
        lines = [Line(as_log(dialogue), self.rng.random()) for dialogue in chosen]
        free, extra = list(lines), []
        for kind, count in counts.items():
            for _ in range(count):
                extra += self._planted(kind, free)
        return lines + extra

    def maker(self, kind: str) -> Callable[[Line], Line | None]:
        """The method that plants this kind; see Tools for what it takes and returns."""
        make: Callable[[Line], Line | None] = getattr(self, f"plant_{kind}")
        return make

    def _chosen(self, clean: Sequence[Dialogue], number: int) -> list[Dialogue]:
        """A sample in which the agent tells every fact at least twice, where `clean` has it."""
        told: Counter[tuple[str, str]] = Counter()
        needed: list[Dialogue] = []
        rest: list[Dialogue] = []
        for dialogue in self.rng.sample(list(clean), len(clean)):
            facts = fact_counts([dialogue])
            (needed if any(told[fact] < 2 for fact in facts) else rest).append(dialogue)
            told += facts
        chosen = (needed + rest)[:number]
        self.rng.shuffle(chosen)
        return chosen

    def _planted(self, kind: str, free: list[Line]) -> list[Line]:
        """Tries free lines until one takes the defect; returns the further line, if it made one."""
        make = self.maker(kind)
        for index, line in enumerate(free):
            made = make(line)
            if made is not None:
                made.kind = kind
                del free[index]
                return [] if made is line else [made]
        raise ValueError(f"no clean dialogue left that can take a {kind!r}; lower its count")
