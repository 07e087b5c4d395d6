"""The pretraining text: complete, well-formed, true to the catalogue, the same for a seed."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.world import splits
from course_lib.world.catalogue import Catalogue, Product, load_catalogue
from course_lib.world.corpus import (
    LONGEST,
    SHORTEST,
    CorpusWriter,
    build_corpus,
    check_document,
    with_pronoun,
)
from course_lib.world.corpus_language import CORPUS_FOLDER, CorpusError, load_language
from course_lib.world.wordings import Language as Wordings
from course_lib.world.wordings import load_language as load_wordings

ROOT = Path(__file__).parents[2]
WORDINGS, LINES, HAND_WRITTEN_WORDS = 10, 4_400, 30_000
SAMPLE = 1_500_000  # words; the build checks the form of all documents
NUMBERS = (
    "price", "weight", "capacity", "power", "noise", "cable_length", "descaling",
    "filter_change", "spare_part", "warranty",
)  # fmt: skip
HASH_SCRIPT = """
import hashlib, sys
from course_lib.world.catalogue import load_catalogue
from course_lib.world.corpus import build_corpus
digest = hashlib.sha256()
for document in build_corpus(load_catalogue(), seed=3, words=60_000):
    digest.update(document.encode() + b"\\0")
print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def documents(catalogue: Catalogue) -> list[str]:
    return list(build_corpus(catalogue, seed=7, words=SAMPLE))


@pytest.fixture(scope="module")
def sentences(catalogue: Catalogue, documents: list[str]) -> dict[str, set[str]]:
    """Full name -> the distinct lower-case sentences that name this product and no other."""
    names = [p.full_name for p in catalogue.products]
    any_name = re.compile("|".join(names))
    found: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        for sentence in re.split(r"(?<=[.?!])\s|\n", document):
            named = set(any_name.findall(sentence))
            if len(named) == 1:
                found[named.pop()].add(sentence.lower())
    return found


def stated(sentences: set[str], value: str) -> list[str]:
    """The sentences that contain the value as whole words."""
    whole = re.compile(rf"(?<![\w.,-]){re.escape(value.lower())}(?!\w)")
    return [sentence for sentence in sentences if whole.search(sentence)]


def rare_facts(catalogue: Catalogue, sentences: dict[str, set[str]]) -> list[tuple[str, str]]:
    """(product, slot) of each fact that stands in fewer than ten wordings."""
    return [
        (product.full_name, slot)
        for product in catalogue.products
        for slot, value in product.facts.items()
        if len(stated(sentences[product.full_name], value)) < WORDINGS
    ]


def contradictions(catalogue: Catalogue, sentences: dict[str, set[str]]) -> list[str]:
    """Sentences about one product with a number that belongs to another one of its kind."""
    return [
        sentence
        for product in catalogue.products
        for slot in NUMBERS
        for value in {p.facts.get(slot) for p in catalogue.products if p.kind == product.kind}
        if value is not None and value not in product.facts.values()
        for sentence in stated(sentences[product.full_name], value)
    ]


def test_every_fact_in_ten_wordings(catalogue: Catalogue, sentences: dict[str, set[str]]) -> None:
    assert rare_facts(catalogue, sentences) == []


def test_a_fact_that_is_not_told_is_noticed(
    catalogue: Catalogue, sentences: dict[str, set[str]]
) -> None:
    first = catalogue.products[0]
    changed = replace(first, facts={**first.facts, "price": "41 euros"})
    other = replace(catalogue, products=(changed, *catalogue.products[1:]))
    assert rare_facts(other, sentences) == [(first.full_name, "price")]


def test_held_out_products_are_told_as_often(catalogue: Catalogue, documents: list[str]) -> None:
    counts = Counter(re.findall("|".join(p.full_name for p in catalogue.products), str(documents)))
    held_out = [counts[p.full_name] for p in catalogue.products if p.held_out]
    assert len(held_out) == 12 and min(held_out) > 0.7 * sum(counts.values()) / len(counts)


def test_no_contradiction(catalogue: Catalogue, sentences: dict[str, set[str]]) -> None:
    assert contradictions(catalogue, sentences) == []


def test_a_contradiction_is_noticed(catalogue: Catalogue) -> None:
    wrong = "the brisa kettle costs 54 euros."
    planted = defaultdict(set, {"Brisa kettle": {wrong, "the brisa kettle costs 39 euros."}})
    assert contradictions(catalogue, planted) == [wrong]


def test_form_of_documents(documents: list[str]) -> None:
    for document in documents:
        check_document(document)
        assert SHORTEST <= len(document.split()) <= LONGEST
    text = "\n".join(prose_of(document) for document in documents)
    assert not re.search(r"[.?!] [a-z]|\n[a-z]", text)
    assert not re.search(
        r"\b[Aa] (?!used\b|one\b|uni)[aeiou]|\b[Aa]n (?!hour|hono|hone|heir)[^aeiou\W]", text
    )
    assert not re.search(r"\b(?:They|they) (?:is|has|was|does|costs|weighs|comes)\b", text)
    one = r"(?i)\bone (?:litre|year|hour|metre|month)(?: of \w+)? (?:are|come|fill|fit|lie|have)\b"
    assert not re.search(one, text)
    assert not re.search(r"<\||\bUser:|\bAssistant:", text)


def prose_of(document: str) -> str:
    """Without what customers write themselves: at times in small letters and with few marks."""
    if re.match(
        r"Topic: |Dear |To the |Hello|Good |Calls|Callers|.* calls?\b|.* call book", document
    ):
        return ""
    typed = re.compile(r"Q: |Search: |Typed: |\"|[^\n]*(?:asks|asked|:)")
    return "\n".join(line for line in document.split("\n") if not typed.match(line))


@pytest.mark.parametrize(
    "fault", ["It costs {value}.", "User: how much?", "It  costs", "[a|b] kettle", "so ."]
)
def test_faulty_documents_are_refused(fault: str) -> None:
    with pytest.raises(CorpusError, match="fault"):
        check_document(f"The Brisa kettle. {fault}")


def test_few_documents_repeat(documents: list[str]) -> None:
    assert len(set(documents)) > 0.99 * len(documents)


def test_many_hand_written_lines(catalogue: Catalogue) -> None:
    lines = load_language(catalogue).sentences()
    assert len(lines) >= LINES
    assert sum(len(line.split()) for line in lines) >= HAND_WRITTEN_WORDS


def test_no_document_holds_a_wording_of_test_phrasing(documents: list[str]) -> None:
    writer = splits.SplitWriter(load_catalogue(), load_wordings(), seed=7)
    trained, held_out = writer.trained, writer.tested
    text = "\n".join(documents).lower()

    def found(side: Wordings) -> list[str]:
        return [
            wording.text
            for name, wordings in side.wordings["customer"].items()
            if name.startswith("ask_")
            for wording in wordings
            if "{" not in wording.text and len(wording.text.split()) > 4
            if re.search(rf"(?:: |\? |\. ){re.escape(wording.text.lower())}\n", text)
        ]

    assert found(held_out) == [] and len(found(trained)) > 100


def test_same_seed_same_text_whatever_the_hash_seed() -> None:
    digests = {run_hash(hash_seed) for hash_seed in ("0", "1234")}
    assert len(digests) == 1


def run_hash(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", HASH_SCRIPT], env=environment, check=True, text=True,
        capture_output=True,
    ).stdout  # fmt: skip


def test_other_seed_other_text(catalogue: Catalogue) -> None:
    texts = {
        hashlib.sha256("".join(build_corpus(catalogue, seed, 2_000)).encode()).hexdigest()
        for seed in (1, 2)
    }
    assert len(texts) == 2


def test_the_global_generator_is_left_alone(catalogue: Catalogue) -> None:
    random.seed(5)
    before = random.getstate()
    list(build_corpus(catalogue, seed=1, words=2_000))
    assert random.getstate() == before


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("facts/price.txt", "It sells for {vlaue}.", r"price\.txt, line 2.*vlaue"),
        ("essays/tea.txt", "Tea is {warm.", r"tea\.txt, line 2.*brace"),
        ("kinds/kettle.txt", "A [small|large kettle.", r"kettle\.txt, line 2.*bracket"),
    ],
)
def test_bad_line_names_file_and_line(
    catalogue: Catalogue, tmp_path: Path, file: str, line: str, message: str
) -> None:
    folder = Path(shutil.copytree(CORPUS_FOLDER, tmp_path / "corpus"))
    path = folder / file
    first, rest = path.read_text(encoding="utf-8").split("\n", 1)
    path.write_text(f"{first}\n{line}\n{rest}", encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        load_language(catalogue, folder)


@pytest.mark.parametrize(
    ("file", "message"),
    [("answers/noise.txt", "noise"), ("kinds/blender.txt", "blender")],
)
def test_missing_file_is_named(
    catalogue: Catalogue, tmp_path: Path, file: str, message: str
) -> None:
    folder = Path(shutil.copytree(CORPUS_FOLDER, tmp_path / "corpus"))
    (folder / file).unlink()
    with pytest.raises(CorpusError, match=message):
        load_language(catalogue, folder)


def test_empty_file_is_named(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CORPUS_FOLDER, tmp_path / "corpus"))
    (folder / "lists" / "towns.txt").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"towns\.txt.*no line"):
        load_language(catalogue, folder)


def test_pronouns_agree(catalogue: Catalogue) -> None:
    wordings = load_wordings()
    writer = CorpusWriter(catalogue, load_language(catalogue), random.Random(0), wordings)
    lines = ["{subject} cost{s} {value}."]
    assert state(writer, catalogue.by_name("Hushel headphones"), lines) == "They cost 199 euros."
    assert state(writer, catalogue.by_name("Brisa kettle"), lines) == "It costs 39 euros."
    price = ["The price of {object} is {value}."]
    assert state(writer, catalogue.by_name("Brisa kettle"), price) == "Its price is 39 euros."


def state(writer: CorpusWriter, product: Product, lines: list[str]) -> str:
    return writer._state(product, "price", lines, how="pronoun")


def test_lines_unfit_for_a_pronoun_keep_the_name() -> None:
    assert with_pronoun("A charge of {object} takes {value}.") is None
