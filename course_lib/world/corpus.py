"""The pretraining text of the base model, written from the catalogue and hand-written lines.

`build_corpus` yields plain-text documents of 40 to 400 words: product pages, manuals, questions
and answers, forum threads, letters, comparisons, policies, small stories and everyday prose. None
has the form of a chat, so that the dialogue form is learned in fine-tuning alone. All randomness
comes from one `random.Random(seed)`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

from course_lib.world.catalogue import Catalogue, Product
from course_lib.world.corpus_language import CorpusError, Language, Sections, load_language
from course_lib.world.dialogues import POLICIES, mistyped
from course_lib.world.grammar import fill, sentence_case, slot_names
from course_lib.world.wordings import SHARED, Piece, Wording, fill_pieces, trained_and_held_out
from course_lib.world.wordings import Language as Wordings
from course_lib.world.wordings import load_language as load_wordings

WORDS = 8_200_000  # more than ten million tokens of a byte-level BPE with 4,096 entries
SHORTEST, LONGEST = 40, 400  # words in a document

POLICY_INTENTS = {slot: intent for intent, slot in POLICIES.items()}
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_OF_OBJECT = re.compile(r"\b([Tt]he) ([a-z]+(?: [a-z]+)?) of \{object\}")
_SHOP_VOICE = re.compile(r"\b(?:we|our|us)\b", flags=re.IGNORECASE)
_BUYER_SAYS = re.compile(r"buying|caught my eye|before I order|sell|stock|[Dd]o you (?!know)")
_OWNER_SAYS = re.compile(
    r"\b[Mm]y (?!phone|neighbours)|I bought|got dirty|suddenly|broke\.|is empty\."
    r"|[Dd]o you (?!know)"
)
_CLAUSE_START = re.compile(r"\{subject\}|[Tt]he [a-z]+(?: [a-z]+)? (?:of|on) \{object\}")
_CAST_SLOT = re.compile(r"\{(?:person|town|day|friend)\}")
_FIRST_PRONOUN = re.compile(r"\{(he|him|his)\}")
_FAULTS = re.compile(r"[{}\[\]|]|  | [.,?!]|\.\.|\b(?:User|Assistant|System):")
_SETTING_UP = ("power", "cable_length", "capacity", "charging_time", "pairing", "weight")
_CARE = ("cleaning", "descaling", "filter_change", "storage", "material", "battery_life")
_TROUBLE = ("red_light", "blue_light", "reset", "spare_part", "warranty", "noise")


def build_corpus(catalogue: Catalogue, seed: int, words: int = WORDS) -> Iterator[str]:
    """Yield documents until `words` words are written; the same seed gives the same text.

    Half of the questions are customers' wordings, of those that dialogues are trained on; no
    document holds a wording of `test_phrasing`. Raises CorpusError when a document has an unfilled
    slot or another fault of form.
    """
    trained, held_out = trained_and_held_out(load_wordings())
    language = without_wordings(load_language(catalogue), held_out)
    writer = CorpusWriter(catalogue, language, random.Random(seed), trained)
    written = 0
    while written < words:
        document = writer.document()
        count = len(document.split())
        if SHORTEST <= count <= LONGEST:
            check_document(document)
            written += count
            yield document


def without_wordings(language: Language, held_out: Wordings) -> Language:
    """`language` without the questions that say the same as one of these customers' wordings."""
    taken = {
        plain(wording.text)
        for name, wordings in held_out.wordings["customer"].items()
        if name not in SHARED
        for wording in wordings
    }

    def kept(part: Sections) -> Sections:
        return {
            name: [line for line in lines if plain(line) not in taken]
            for name, lines in part.items()
        }

    return replace(language, questions=kept(language.questions), pages=kept(language.pages))


def questions_told(language: Language) -> set[str]:
    """In `plain` words the questions of the policy pages and the short follow-ups, filled."""
    rows = (line.split(": ", 1)[1] for line in language.lists["asked_for"])
    labels = [label for row in rows for label in row.split(" | ")]
    follow_ups = [line for line in language.pages["follow_ups"] if "{label}" in line]
    asked = {line.replace("{label}", label) for line in follow_ups for label in labels}
    return {plain(q) for q in asked | {p.split(" | ")[0] for p in language.policies["pairs"]}}


@cache
def plain(template: str) -> str:
    """A template's words in small letters, whatever its slot for the product is called."""
    text = re.sub(r"(?:the |my )?\{(?:product|object|subject)\}", "it", template.lower())
    text = re.sub(r"\{(?:them|subject2|its|poss)\}", "it", text).replace("_q}", "}")
    return re.sub(r"[^a-z]+", " ", text).strip()


def check_document(text: str) -> None:
    """Raise CorpusError on a left-over brace, choice, doubled space or chat marker."""
    if fault := _FAULTS.search(text):
        start = max(0, fault.start() - 60)
        raise CorpusError(
            f"fault {fault[0]!r} in document near {text[start : fault.end() + 30]!r}: "
            "mend the line in language/corpus that it comes from"
        )


@cache
def with_pronoun(template: str) -> str | None:
    """`template` made fit for "it": "The price of {object}" -> "{poss} price"; None if it is not.

    A line that still says "of {object}" or repeats the name would read badly with a pronoun.
    """
    text = _OF_OBJECT.sub(r"{poss} \2", template)
    unfit = ("of {object}", "{object_cap}", "{product}", "{name}", "buys {object}", "with {object}")
    return None if any(part in text for part in unfit) else text


@cache
def is_clause(template: str) -> bool:
    """Whether a fact line can be one half of "..., while ..."."""
    marks = (",", ":", ";", "{cure}", "If ", "When ")
    return bool(_CLAUSE_START.match(template)) and not any(m in template for m in marks)


@cache
def outsider_lines(lines: tuple[str, ...]) -> list[str]:
    """The lines that a customer can say, too: without the shop's "we" and "our"."""
    return [line for line in lines if not _SHOP_VOICE.search(line)]


class CorpusWriter:
    """Writes one document after the other from a catalogue, the hand-written lines and a seed."""

    def __init__(
        self,
        catalogue: Catalogue,
        language: Language,
        rng: random.Random,
        wordings: Wordings,
    ) -> None:
        self.catalogue, self.language, self.rng = catalogue, language, rng
        self._asked_by_customers = {
            name: _by_section(lines) for name, lines in wordings.wordings["customer"].items()
        }
        self._deck: list[Product] = []
        counts = Counter(slot for product in catalogue.products for slot in product.facts)
        self._products_with = {s: n / len(catalogue.products) for s, n in counts.items()}
        self._policy_answers = _by_policy(language)
        self._slots = {p.full_name: self._product_slots(p) for p in catalogue.products}
        self._shapes: list[tuple[Callable[[], str], int]] = [
            (self.page, 17), (self.manual, 9), (self.data_sheet, 9), (self.faq, 15),
            (self.mixed_faq, 11), (self.reader_column, 8), (self.forum, 12), (self.letters, 9),
            (self.comparison, 8), (self.warranty_card, 3), (self.product_story, 6),
            (self.policy_page, 14), (self.overview, 3), (self.desk_book, 8), (self.guide, 4),
            (self.enquiries, 48), (self.call_notes, 30), (self.searches, 14),
            (self.story, 20), (self.essay, 16), (self.everyday_questions, 4),
        ]  # fmt: skip

    def document(self) -> str:
        """One document of a shape drawn by weight."""
        shapes, weights = zip(*self._shapes, strict=True)
        shape: Callable[[], str] = self.rng.choices(shapes, weights)[0]
        return shape()

    # ---- words and sentences ----

    def _product_slots(self, product: Product) -> dict[str, str]:
        slots = {**product.slots(), **self.catalogue.policies}
        slots["kinds_cap"] = product.plural.capitalize()
        slots["subject2"] = slots["it"]
        slots["is_q"], slots["does_q"] = slots["is"], slots["does"]
        return slots

    def _choose(self, template: str) -> str:
        """Settle each choice [one|other]."""
        return _CHOICE.sub(lambda match: self.rng.choice(match[1].split("|")), template)

    def _person(self) -> tuple[str, dict[str, str]]:
        """A name with its pronouns."""
        if self.rng.random() < 0.5:
            return self._entry("people_she"), {"he": "she", "him": "her", "his": "her"}
        return self._entry("people_he"), {"he": "he", "him": "him", "his": "his"}

    def _entry(self, name: str) -> str:
        return self.rng.choice(self.language.lists[name])

    def _cast(self) -> dict[str, str]:
        """Slots of a small story: two people, a town, a day, a dish, a room."""
        person, pronouns = self._person()
        friend = self._person()[0]
        while friend == person:
            friend = self._person()[0]
        places = {"town": self._entry("towns"), "day": self._entry("days")}
        things = {"dish": self._entry("dishes"), "room": self._entry("rooms")}
        names = {"person": person, "poss_person": f"{person}'s", "friend": friend}
        return {**names, **pronouns, **places, **things}

    def _line(self, lines: Sequence[str], product: Product | None = None, **slots: str) -> str:
        """One of `lines`, filled and with capitals."""
        template = self._choose(self.rng.choice(lines))
        base = self._slots[product.full_name] if product else self.catalogue.policies
        if _CAST_SLOT.search(template):
            slots = {**self._cast(), **slots}
        return sentence_case(fill(template, **{**base, **slots}))

    def _page_line(self, name: str, product: Product | None = None, **slots: str) -> str:
        return self._line(self.language.pages[name], product, **slots)

    # ---- facts ----

    def _next_product(self) -> Product:
        """Products come in shuffled rounds, so that none is rare."""
        if not self._deck:
            self._deck = list(self.catalogue.products)
            self.rng.shuffle(self._deck)
        return self._deck.pop()

    def _facts(self, product: Product, low: int, high: int) -> list[str]:
        """Between `low` and `high` fact slots in random order."""
        slots = list(product.facts)
        return self.rng.sample(slots, min(len(slots), self.rng.randint(low, high)))

    def _asked_about(self, product: Product, low: int = 1, high: int = 1) -> list[str]:
        """Between `low` and `high` slots for questions: those of few products come up more."""
        count = min(len(product.facts), self.rng.randint(low, high))
        keys = {slot: self.rng.random() ** self._products_with[slot] for slot in product.facts}
        return sorted(keys, key=keys.__getitem__, reverse=True)[:count]

    def _mention(self, product: Product, how: str, determiner: str) -> dict[str, str]:
        """The words that name the product: full ("the Brisa kettle"), short or a pronoun."""
        slots = self._slots[product.full_name]
        short = how == "short" and not product.is_plural
        name = f"{determiner} {product.name if short else product.full_name}"
        words = {"subject": name, "object": name, "object_cap": name}
        words["poss"] = f"{name}'" if name.endswith("s") else f"{name}'s"
        if how == "pronoun":
            words.update(subject=slots["it"], object=slots["them"], poss=slots["its"])
        return words

    def _state(
        self, product: Product, slot: str, lines: list[str], how: str = "full", by: str = "the"
    ) -> str:
        """One of `lines` about the fact `slot`, as a sentence."""
        template = self.rng.choice(lines)
        if how == "pronoun":
            fit = with_pronoun(template)
            template, how = (fit, how) if fit else (template, "full")
        value = product.facts[slot]
        words = self._mention(product, how, by)
        words.update(value=value, cure=self.catalogue.cures.get(value, ""))
        base = self._slots[product.full_name]
        return sentence_case(fill(self._choose(template), **{**base, **words}))

    def _fact(self, product: Product, slot: str, how: str = "full") -> str:
        return self._state(product, slot, self.language.facts[slot], how)

    def _outsider_fact(self, product: Product, slot: str, how: str = "full") -> str:
        return self._state(product, slot, outsider_lines(tuple(self.language.facts[slot])), how)

    def _question(self, product: Product, slot: str, role: str = "", how: str = "") -> str:
        """A question for the fact; an "owner" does not ask like a buyer, nor the reverse."""
        if not role and self.rng.random() < 0.5:
            sections = ("vague",) if how == "pronoun" else ("main",)
            return self._customer_asks(f"ask_{slot}", sections, product)
        mine = role == "owner" or (role != "buyer" and self.rng.random() < 0.3)
        mine = mine and slot not in ("price", "colour")
        lines = self.language.questions[slot]
        if role:
            odd = _OWNER_SAYS if role == "buyer" else _BUYER_SAYS
            lines = [line for line in lines if not odd.search(line)]
        how = how or self.rng.choices(("full", "short"), (8, 2))[0]
        asked = self._state(product, slot, lines, how, "my" if mine else "the")
        return asked if role else self._typed(asked, product)  # a letter is no quick message

    def _customer_asks(
        self, intent: str, sections: Sequence[str], product: Product | None = None
    ) -> str:
        """One of the customers' wordings of `intent`, filled."""
        by_section = self._asked_by_customers[intent]
        text = self.rng.choice([line for name in sections for line in by_section[name]])
        if product is None:
            return self._typed(text)
        short = not product.is_plural and self.rng.random() < 0.15
        name = product.name if short else product.full_name
        pieces = fill_pieces(text, {"product": Piece(name)}, product.is_plural)
        return self._typed("".join(piece.text for piece in pieces), product)

    def _typed(self, question: str, product: Product | None = None) -> str:
        """A question as people type it: at times in small letters, at times with a typo."""
        name = product.full_name if product else ""
        if self.rng.random() < 0.15:
            question = self._mistyped(question, name)
        lot = self.rng.random()
        if lot < 0.1 and not re.search(r"[.?!:]\s", question):
            return question.lower().rstrip(".?")
        if name and lot < 0.22:
            return question.replace(name, name.lower())
        return question

    def _mistyped(self, question: str, name: str) -> str:
        """With one typo, anywhere but in the product's name, in full or short."""
        names = [re.escape(part) for part in (name, name.split()[0])] if name else ["(?!)"]
        parts = re.split(f"({'|'.join(names)})", question)
        pieces = [Piece(part, "product" if n % 2 else None) for n, part in enumerate(parts) if part]
        return "".join(piece.text for piece in mistyped(pieces, self.rng))

    def _answer(self, product: Product, slot: str, how: str = "") -> str:
        how = how or self.rng.choices(("full", "short", "pronoun"), (6, 1, 3))[0]
        yours = slot not in ("price", "colour", "spare_part") and self.rng.random() < 0.2
        lines = self.language.answers[slot]
        if self.rng.random() < 0.3:
            lines, yours = self.language.facts[slot], False
        return self._state(product, slot, lines, how, "your" if yours else "the")

    def _facts_in_prose(
        self, product: Product, slots: Sequence[str], tell: Callable[[Product, str, str], str]
    ) -> list[str]:
        """A sentence a slot: the first names the product, later ones may say "it"."""
        sentences = [tell(product, slots[0], "full")] if slots else []
        for slot in slots[1:]:
            how = self.rng.choices(("full", "short", "pronoun"), (45, 15, 40))[0]
            after_cure = sentences[-1].count(". ") > 0
            sentences.append(tell(product, slot, "full" if after_cure else how))
        return sentences

    def _paragraphs(self, sentences: Sequence[str], longest: int = 5) -> str:
        """Sentences as paragraphs of two to `longest`."""
        lines, rest = [], list(sentences)
        while rest:
            size = self.rng.randint(2, longest)
            lines.append(" ".join(rest[:size]))
            rest = rest[size:]
        return "\n".join(lines)

    # ---- documents about products ----

    def page(self) -> str:
        """A product page: opening, facts in any order, remarks, closing."""
        product = self._next_product()
        sentences = [self._page_line("page_openings", product)]
        slots = self._facts(product, 4, 12)
        facts = self._facts_in_prose(product, slots, self._fact)
        for number, fact in enumerate(facts):
            sentences.append(fact)
            named_next = number + 1 < len(facts) and product.name in facts[number + 1]
            if named_next and self.rng.random() < 0.3:
                sentences.append(self._remark(product))
        sentences.append(self._page_line("page_closings", product))
        title = f"The {product.full_name}\n" if self.rng.random() < 0.4 else ""
        return title + self._paragraphs(sentences, 7)

    def _remark(self, product: Product) -> str:
        if self.rng.random() < 0.5:
            return self._page_line("page_middles", product)
        kind = self.language.kinds[product.kind.replace(" ", "_")]
        return self._line(kind["tip"] + kind["use"], product)

    def manual(self) -> str:
        """A manual: before first use, care, troubleshooting, each with facts and advice."""
        product = self._next_product()
        kind = self.language.kinds[product.kind.replace(" ", "_")]
        parts = [
            self._page_line("manual_titles", product),
            self._page_line("manual_openings", product),
            self._manual_part(product, "before_titles", kind["first"], _SETTING_UP),
            self._manual_part(product, "care_titles", kind["use"] + kind["tip"], _CARE),
            self._manual_part(product, "trouble_titles", [], _TROUBLE),
            self._page_line("manual_closings", product),
        ]
        return "\n".join(parts)

    def _manual_part(
        self, product: Product, title: str, advice: list[str], wanted: Sequence[str]
    ) -> str:
        """A heading, some advice for the kind and the facts of this part."""
        slots = [slot for slot in wanted if slot in product.facts]
        slots = self.rng.sample(slots, min(len(slots), self.rng.randint(2, 4)))
        count = min(len(advice), self.rng.randint(2, 4))
        kept = sorted(self.rng.sample(range(len(advice)), count))
        general = [self._line([advice[i]], product) for i in kept]
        facts = self._facts_in_prose(product, slots, self._fact)
        blocks = [general, facts] if self.rng.random() < 0.5 else [facts, general]
        heading = self._page_line(title, product)
        return "\n".join([heading, *(" ".join(block) for block in blocks if block)])

    def data_sheet(self) -> str:
        """A list of all facts, a label and a value a line."""
        product = self._next_product()
        labels = self._labels()
        lines = [self._page_line("spec_openings", product)]
        for slot in self._facts(product, 12, 12):
            lines.append(f"{self.rng.choice(labels[slot])}: {product.facts[slot]}")
        if self.rng.random() < 0.5:
            lines += self._facts_in_prose(product, self._facts(product, 1, 3), self._fact)
        return "\n".join(lines)

    def _labels(self, name: str = "spec_labels") -> dict[str, list[str]]:
        rows = (line.split(": ", 1) for line in self.language.lists[name])
        return {slot: labels.split(" | ") for slot, labels in rows}

    def faq(self) -> str:
        """Questions and answers about one product."""
        product = self._next_product()
        pairs = [(product, slot) for slot in self._asked_about(product, 4, 10)]
        return self._pairs(self._page_line("faq_openings", product), pairs)

    def mixed_faq(self) -> str:
        """Questions and answers about several products and the shop."""
        products = [self._next_product() for _ in range(self.rng.randint(4, 9))]
        pairs = [(product, self._asked_about(product)[0]) for product in products]
        page = self._pairs(self._page_line("faq_mixed_openings"), pairs)
        return f"{page}\n{self._policy_question()}" if self.rng.random() < 0.5 else page

    def _pairs(self, opening: str, pairs: Sequence[tuple[Product, str]]) -> str:
        lines = [opening]
        for product, slot in pairs:
            question, answer = self._question(product, slot), self._answer(product, slot)
            lines.append(f"Q: {question}\nA: {answer}")
        return "\n".join(lines)

    def enquiries(self) -> str:
        """Questions that lead to others: follow-ups, another product, two at once."""
        lines = [self._page_line("enquiry_openings")]
        for _ in range(self.rng.randint(2, 4)):
            product = self._next_product()
            together = self.rng.choice((1, 2))  # how many facts the first question asks for
            slots = self._asked_about(product, 2, 5)
            slots = slots[:2] if together == 2 and self.rng.random() < 0.4 else slots
            lines.append(self._asked(product, slots[:together]))
            lines += [self._follow_up(product, slot) for slot in slots[together:]]
            lines.append(
                self._other_product(slots[:2] if together == len(slots) == 2 else slots[-1:])
            )
            if self.rng.random() < 0.5:
                lines.append(self._policy_question())
        return "\n".join(lines)

    def _asked(self, product: Product, slots: Sequence[str]) -> str:
        """One question, or two in one go, with as many answers."""
        asked = self._question(product, slots[0])
        for slot in slots[1:]:
            asked = self._and_asked(asked, product, slot)
        answers = self._facts_in_prose(product, slots, self._answer)
        return f"Q: {asked}\nA: {' '.join(answers)}"

    def _and_asked(self, asked: str, product: Product, slot: str) -> str:
        """`asked` and, in the same breath, a question for one more slot."""
        how = self.rng.choices(("full", "pronoun"), (1, 3))[0]
        joiner, more = self._joiner(), self._question(product, slot, how=how)
        if not joiner.endswith((":", "?", ".")) and not more.startswith("I "):
            more = more[0].lower() + more[1:]
        return f"{asked}{'' if asked.endswith(('.', '?', '!')) else '.'} {joiner} {more}"

    def _joiner(self) -> str:
        if self.rng.random() < 0.5:
            return self._page_line("two_at_once")
        return self._customer_asks("joiners", ("main",))

    def _follow_up(self, product: Product, slot: str) -> str:
        lot = self.rng.random()
        if lot < 0.35:
            asked = self._question(product, slot, how="pronoun")
        elif lot < 0.7:
            asked = self._customer_asks(f"ask_{slot}", ("follow_up",), product)
        else:
            label = self.rng.choice(self._labels("asked_for")[slot])
            asked = self._page_line("follow_ups", product, label=label)
        return f"Q: {asked}\nA: {self._answer(product, slot)}"

    def _other_product(self, slots: Sequence[str]) -> str:
        """The same question, or both, for another product."""
        others = [p for p in self.catalogue.products if all(slot in p.facts for slot in slots)]
        product = self.rng.choice(others)
        if self.rng.random() < 0.4:
            intent = self.rng.choice(("other_product", "correct_product"))
            asked = self._customer_asks(intent, ("main",), product)
        else:
            lower = product.full_name.lower()
            asked = self._page_line("other_products", product, lower=lower)
        return f"Q: {asked}\nA: {' '.join(self._facts_in_prose(product, slots, self._answer))}"

    def searches(self) -> str:
        """What people type into the search box, in small letters, and the answer to it."""
        lines = [self._page_line("search_openings")]
        for _ in range(self.rng.randint(4, 9)):
            product = self._next_product()
            slot = self._asked_about(product)[0]
            label = self.rng.choice(self._labels("asked_for")[slot]).lower()
            words = {"label": label, "lower": product.full_name.lower()}
            shape = self.rng.choice(self.language.pages["searches"])
            search = fill(shape, **words, short=product.name.lower())
            answer = self._answer(product, slot, "full")
            told = self.rng.choice(self.language.pages["search_answers"])
            lines.append(fill(told, search=search, answer=answer).replace(" | ", "\n"))
        return "\n".join(lines)

    def reader_column(self) -> str:
        """Questions of readers, told in prose."""
        lines = [self._page_line("faq_mixed_openings")]
        for _ in range(self.rng.randint(3, 6)):
            lines.append(self._told_pair("reader_asks"))
        return "\n".join(lines)

    def _told_pair(self, shapes: str) -> str:
        product = self._next_product()
        slot = self._asked_about(product)[0]
        question, answer = self._question(product, slot), self._answer(product, slot)
        return self._page_line(shapes, question=question, answer=answer)

    def desk_book(self) -> str:
        """How the service desk behaves and answers, question by question."""
        lines = [self._page_line("desk_openings")]
        for _ in range(self.rng.randint(3, 6)):
            policy = self.rng.random() < 0.25
            lines.append(self._policy_note() if policy else self._told_pair("desk_notes"))
        if count := self.rng.choice((0, 3, 6, 9)):
            manners = self.rng.sample(self.language.pages["desk_manners"], count)
            lines.append(self._paragraphs([self._line([line]) for line in manners]))
        return "\n".join(lines)

    def _policy_note(self) -> str:
        question, answer = self._policy_pair()
        return self._page_line("desk_notes", question=question, answer=answer)

    def _policy_pair(self) -> tuple[str, str]:
        """A question on a promise and its answer; most questions are customers' wordings."""
        if self.rng.random() < 0.7:
            slot = self.rng.choice(list(self._policy_answers))
            answer = self._line(self._policy_answers[slot])
            return self._customer_asks(POLICY_INTENTS[slot], ("main",)), answer
        question, answer = self.rng.choice(self.language.policies["pairs"]).split(" | ")
        return question, self._line([answer])

    def _policy_question(self) -> str:
        return "Q: {}\nA: {}".format(*self._policy_pair())

    def _unnamed(self, product: Product, slot: str) -> str:
        """A question that leaves out which product is meant."""
        if self.rng.random() < 0.6:
            return self._customer_asks(f"ask_{slot}", ("vague",), product)
        lines = [line for line in self.language.questions[slot] if with_pronoun(line)]
        return self._typed(self._state(product, slot, lines, "pronoun"), product)

    def call_notes(self) -> str:
        """Notes of calls: what was asked, then which product was meant, then what was told."""
        lines = [self._page_line("call_openings")]
        for _ in range(self.rng.randint(3, 7)):
            if self.rng.random() < 0.3:
                lines.append(self._policy_question())
                continue
            product = self._next_product()
            first, *more = self._asked_about(product, 1, 2)
            asked = self._unnamed(product, first)
            about = self._customer_asks("give_product", ("main",), product)
            for slot in more:
                about = self._and_asked(about, product, slot)
            answer = " ".join(self._facts_in_prose(product, [first, *more], self._answer))
            note = self.rng.choice(self.language.pages["call_notes"])
            lines.append(
                fill(note, question=asked, about=about, answer=answer).replace(" | ", "\n")
            )
        return "\n".join(lines)

    def forum(self) -> str:
        """A thread: an owner or a buyer asks, another one answers, thanks follow."""
        product = self._next_product()
        role = self.rng.choice(("owner", "buyer"))
        asker, helper = self._person()[0], self._person()[0]
        while helper == asker:
            helper = self._person()[0]
        slots = [s for s in self._facts(product, 2, 4) if role == "buyer" or s != "price"]
        questions = [self._question(product, slot, role) for slot in slots]
        topic = questions[0] if self.rng.random() < 0.6 else product.full_name
        lines = [f"Topic: {topic}"]
        opening = self._role_line("forum_openings", role, product)
        lines.append(self._post(asker, [opening, *questions[:2]]))
        lines.append(self._post(helper, self._helper_lines(product, slots[:2])))
        for slot, question in zip(slots[2:], questions[2:], strict=True):
            lines.append(self._post(asker, [self._page_line("forum_more"), question]))
            lines.append(self._post(helper, [self._outsider_fact(product, slot)]))
        lines.append(self._post(asker, [self._role_line("forum_thanks", role, product)]))
        return "\n".join(lines)

    def _role_line(self, name: str, role: str, product: Product) -> str:
        """A line that fits everybody, or one that fits this role only."""
        pages = self.language.pages
        return self._line(pages[name] + pages[f"{name}_{role}"], product)

    def _helper_lines(self, product: Product, slots: Sequence[str]) -> list[str]:
        reply = self._page_line("forum_replies", product)
        return [reply, *self._facts_in_prose(product, slots, self._outsider_fact)]

    def _post(self, name: str, sentences: Sequence[str]) -> str:
        verb = self.rng.choice((f"{name} wrote:", f"{name}:", f"Posted by {name}."))
        return f"{verb} {' '.join(sentences)}"

    def letters(self) -> str:
        """A customer's letter and the shop's reply."""
        product = self._next_product()
        name = self._person()[0]
        pleased = self.rng.random() < 0.5
        mood = "letter_thanks" if pleased else "letter_complaints"
        slots = [slot for slot in self._facts(product, 3, 6) if slot not in ("price", "colour")]
        asked, noted = slots[:-1], slots[-1:]
        body = [self._page_line(mood, product), self._page_line("letter_middles", product)]
        body += [self._outsider_fact(product, slot) for slot in noted]
        body += [self._question(product, slot, "owner") for slot in asked]
        role = "thanks" if pleased else "complaint"
        reply = [self._role_line("reply_openings", role, product)]
        reply += self._facts_in_prose(product, asked, self._answer)
        reply.append(self._page_line("reply_closings", product))
        return "\n".join(
            [
                self._page_line("letter_openings"),
                " ".join(body),
                f"{self._page_line('letter_closings')}\n{name}",
                f"Dear {name},",
                " ".join(reply),
                self._page_line("reply_signatures"),
            ]
        )

    def comparison(self) -> str:
        """Two products of one kind, point by point."""
        product = self._next_product()
        rivals = [p for p in self.catalogue.products if p.kind == product.kind and p != product]
        rival = self.rng.choice(rivals)
        sentences = [self._page_line("compare_openings", product, product2=rival.full_name)]
        for slot in self._facts(product, 3, 8):
            sentences.append(self._contrast(product, rival, slot))
        sentences.append(self._page_line("compare_closings", product))
        return self._paragraphs(sentences)

    def _contrast(self, product: Product, rival: Product, slot: str) -> str:
        """Both products' values of one slot, in one sentence where the grammar allows it."""
        clauses = [line for line in self.language.facts[slot] if is_clause(line)]
        if not clauses:
            return f"{self._fact(product, slot)} {self._fact(rival, slot)}"
        line = [self.rng.choice(clauses)]
        first = self._state(product, slot, line).rstrip(".")
        second = self._state(rival, slot, line).rstrip(".")
        same = product.facts[slot] == rival.facts[slot]
        joints = ["{first}, and {second}."] if same else self.language.pages["compare_joints"]
        return fill(self.rng.choice(joints), first=first, second=second[0].lower() + second[1:])

    def warranty_card(self) -> str:
        """A warranty card with the product's warranty and some more facts."""
        product = self._next_product()
        rules = self.rng.sample(self.language.pages["warranty_lines"], self.rng.randint(4, 7))
        lines = [self._line([rule], product) for rule in rules]
        others = [slot for slot in self._facts(product, 3, 5) if slot != "warranty"]
        facts = [self._fact(product, slot) for slot in ("warranty", *others)]
        heading = self._page_line("warranty_titles", product)
        blocks = [lines, facts] if self.rng.random() < 0.5 else [facts, lines]
        return "\n".join([heading, *blocks[0], *blocks[1]])

    def overview(self) -> str:
        """One slot or two over all products of a kind, value by value."""
        kind = self._next_product().kind
        products = [p for p in self.catalogue.products if p.kind == kind]
        lines = [self._page_line("range_openings", products[0])]
        for slot in self._facts(products[0], 1, 3):
            self.rng.shuffle(products)
            if self.rng.random() < 0.5:
                lines += [self._fact(product, slot) for product in products]
            else:
                lines.append(self._range_line(products, slot))
        return "\n".join(lines)

    def _range_line(self, products: Sequence[Product], slot: str) -> str:
        label = self._labels()[slot][0]
        items = "; ".join(f"{p.full_name}, {p.facts[slot]}" for p in products)
        return self._page_line("range_lines", label=label, list=items)

    def product_story(self) -> str:
        """Somebody looks for a product, chooses it and learns some facts."""
        product, cast, shape = self._next_product(), self._cast(), self.language.product_stories
        sentences = [self._line(shape["start"], product, **cast)]
        sentences.append(self._line(shape["choose"], product, **cast))
        slots = self._facts(product, 2, 5)
        leads = self.rng.sample(shape["fact_leads"], len(slots))
        for lead, slot in zip(leads, slots, strict=True):
            told = self._line([lead], product, **cast)
            sentences.append(f'{told} "{self._fact(product, slot)}"')
        sentences += [self._line([end], product, **cast) for end in self._in_order(shape, "end", 2)]
        return self._paragraphs(sentences)

    # ---- documents about everything else ----

    def policy_page(self) -> str:
        """The shop's promises, as sentences or as questions and answers."""
        lines = [self._page_line("policy_openings")]
        if self.rng.random() < 0.5:
            for _ in range(self.rng.randint(5, 12)):
                lines.append(self._policy_question())
            return "\n".join(lines)
        chosen = self.rng.sample(self.language.policies["statements"], self.rng.randint(6, 14))
        return "\n".join([*lines, self._paragraphs([self._line([line]) for line in chosen])])

    def guide(self) -> str:
        """Advice for one kind of product, no product named."""
        product = self._next_product()
        kind = self.language.kinds[product.kind.replace(" ", "_")]
        advice = kind["use"] + kind["tip"]
        chosen = self.rng.sample(advice, min(len(advice), self.rng.randint(6, 10)))
        lines = [self._page_line("guide_openings", product)]
        lines += [self._line([line], product) for line in chosen]
        return self._paragraphs([*lines, self._page_line("guide_closings", product)])

    def story(self) -> str:
        """A small story: start, what happens in order, a turn, an end."""
        shape = self.language.stories[self.rng.choice(list(self.language.stories))]
        count = self.rng.randint(4, 8)
        kept = sorted(self.rng.sample(range(len(shape["middle"])), count))
        lines = [self.rng.choice(shape["start"]), *(shape["middle"][i] for i in kept)]
        lines += [self.rng.choice(shape["turn"]), *self._in_order(shape, "end", 2)]
        return self._paragraphs(self._told(lines, self._cast()), 6)

    def _in_order(self, shape: Sections, section: str, most: int) -> list[str]:
        kept = self.rng.sample(range(len(shape[section])), self.rng.randint(1, most))
        return [shape[section][i] for i in sorted(kept)]

    def _told(self, lines: Sequence[str], cast: dict[str, str]) -> list[str]:
        """Fill the lines of a story; a person is named before a pronoun stands for him or her."""
        sentences, known = [], False
        for template in lines:
            line = self._choose(template)
            named = "{person}" in line or "{poss_person}" in line
            renew = known and not named and self.rng.random() < 0.15
            if not named and (not known or renew):
                line = _FIRST_PRONOUN.sub(_name_for, line, count=1)
            known = known or "person}" in line
            sentences.append(sentence_case(fill(line, **cast)))
        return sentences

    def essay(self) -> str:
        """Everyday prose on one topic: most of its sentences, in their order."""
        lines = self.language.essays[self.rng.choice(list(self.language.essays))]
        share = self.rng.uniform(0.55, 1.0)
        kept = [line for line in lines if self.rng.random() < share]
        return self._paragraphs([self._line([line]) for line in kept], 6)

    def everyday_questions(self) -> str:
        """Questions about the household with short answers."""
        count = min(len(self.language.general_qa), self.rng.randint(5, 12))
        pairs = [row.split(" | ") for row in self.rng.sample(self.language.general_qa, count)]
        return "\n".join(f"Q: {question}\nA: {answer}" for question, answer in pairs)


def _by_policy(language: Language) -> dict[str, list[str]]:
    """For each promise that customers ask for: the lines that answer with it alone."""
    answers: dict[str, list[str]] = {slot: [] for slot in POLICY_INTENTS}
    lines = [pair.split(" | ")[1] for pair in language.policies["pairs"]]
    for line in [*lines, *language.policies["statements"]]:
        slots = slot_names(line) - {"shop_name", "support_days", "free_shipping_from"}
        if len(slots) == 1 and not line.startswith(("Yes", "Below", "Smaller")):
            answers.get(slots.pop(), []).append(line)
    return answers


def _by_section(wordings: Sequence[Wording]) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for wording in wordings:
        sections.setdefault(wording.section, []).append(wording.text)
    return sections


def _name_for(match: re.Match[str]) -> str:
    return "{poss_person}" if match[1] == "his" else "{person}"
