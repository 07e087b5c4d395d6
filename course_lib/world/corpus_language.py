"""The hand-written sentences of the pretraining text: reading and checking the files.

Every file under `language/corpus/` holds one sentence a line; `#` starts a comment, `== name`
opens a section, `{slot}` is filled, `[one|other]` is a choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib.world.catalogue import FACT_SLOTS, Catalogue
from course_lib.world.grammar import GrammarError, agreement, slot_names

CORPUS_FOLDER = Path(__file__).with_name("language") / "corpus"
PERSON_SLOTS = {"person", "poss_person", "he", "him", "his", "friend", "town", "day", "dish",
                "room"}  # fmt: skip
PRODUCT_SLOTS = {"product", "name", "kind", "kinds", "kinds_cap", "a_kind", "product2"}
MENTION_SLOTS = {"subject", "object", "object_cap", "poss", "subject2", "is_q", "does_q"}
INSERT_SLOTS = {
    "value",
    "cure",
    "question",
    "about",
    "answer",
    "first",
    "second",
    "label",
    "list",
    "search",
    "lower",
    "short",
}

Sections = dict[str, list[str]]


class CorpusError(ValueError):
    """Hand-written text that cannot be used; says file, line and what to do."""


@dataclass(frozen=True)
class Language:
    """All hand-written lines; folders map file name -> lines, or -> section -> lines."""

    facts: Sections
    questions: Sections
    answers: Sections
    pages: Sections
    lists: Sections
    essays: Sections
    kinds: dict[str, Sections]
    stories: dict[str, Sections]
    policies: Sections
    product_stories: Sections
    general_qa: list[str]

    def sentences(self) -> set[str]:
        """The distinct hand-written lines, without the lists of names and labels."""
        flat = (self.facts, self.questions, self.answers, self.pages, self.essays)
        deep = (*self.kinds.values(), *self.stories.values(), self.policies, self.product_stories)
        lines = {line for part in (*flat, *deep) for group in part.values() for line in group}
        return lines | set(self.general_qa)


def load_language(catalogue: Catalogue, folder: str | Path | None = None) -> Language:
    """Read all files of `folder` (default `language/corpus`) and check every slot they use.

    Raises CorpusError with file and line for an unknown slot, a broken brace or an empty file.
    """
    root = CORPUS_FOLDER if folder is None else Path(folder)
    known = PERSON_SLOTS | PRODUCT_SLOTS | MENTION_SLOTS | INSERT_SLOTS
    known |= set(agreement(False)) | set(catalogue.policies)
    for path in sorted(root.rglob("*.txt")):
        _check_file(path, known)
    language = Language(
        facts=_flat(root / "facts"),
        questions=_flat(root / "questions"),
        answers=_flat(root / "answers"),
        pages=_flat(root / "pages"),
        lists=_flat(root / "lists"),
        essays=_flat(root / "essays"),
        kinds=_deep(root / "kinds"),
        stories=_deep(root / "stories"),
        policies=_sections(root / "policies.txt"),
        product_stories=_sections(root / "product_stories.txt"),
        general_qa=_lines(root / "general_qa.txt"),
    )
    _check_complete(language, catalogue, root)
    return language


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text) of each line that is neither empty nor a comment."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def _check_file(path: Path, known: set[str]) -> None:
    lines = list(numbered_lines(path))
    if not lines:
        raise CorpusError(f"{path}: no line of text: add one or delete the file")
    for number, text in lines:
        _check_line(text, known, f"{path}, line {number}")


def _check_line(text: str, known: set[str], place: str) -> None:
    try:
        unknown = sorted(slot_names(text) - known)
    except GrammarError as error:
        raise CorpusError(f"{place}: {error}") from error
    if unknown:
        raise CorpusError(f"{place}: unknown slot {unknown}: correct its name")
    if text.count("[") != text.count("]"):
        raise CorpusError(f"{place}: unbalanced bracket of a choice [one|other]: close it")


def _lines(path: Path) -> list[str]:
    return [text for _, text in numbered_lines(path)]


def _sections(path: Path) -> Sections:
    sections: Sections = {}
    name = ""
    for _, text in numbered_lines(path):
        if text.startswith("== "):
            name = text[3:]
        else:
            sections.setdefault(name, []).append(text)
    return sections


def _flat(folder: Path) -> Sections:
    return {path.stem: _lines(path) for path in sorted(folder.glob("*.txt"))}


def _deep(folder: Path) -> dict[str, Sections]:
    return {path.stem: _sections(path) for path in sorted(folder.glob("*.txt"))}


def _check_complete(language: Language, catalogue: Catalogue, root: Path) -> None:
    for part in ("facts", "questions", "answers"):
        missing = sorted(set(FACT_SLOTS) - set(getattr(language, part)))
        if missing:
            raise CorpusError(f"{root / part}: no file for the fact slots {missing}: write one")
    kinds = {product.kind.replace(" ", "_") for product in catalogue.products}
    if missing := sorted(kinds - set(language.kinds)):
        raise CorpusError(f"{root / 'kinds'}: no file for the kinds {missing}: write one")
