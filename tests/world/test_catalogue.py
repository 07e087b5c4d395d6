"""The catalogue is complete, plausible to load, and refuses what is broken."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from course_lib.world.catalogue import (
    CATALOGUE_FOLDER,
    FACT_SLOTS,
    Catalogue,
    CatalogueError,
    load_catalogue,
)
from course_lib.world.grammar import GrammarError, agreement, article, fill, sentence_case


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CATALOGUE_FOLDER, tmp_path / "catalogue"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def distance(one: str, other: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def test_sixty_products_of_ten_kinds_with_twelve_facts(catalogue: Catalogue) -> None:
    assert len(catalogue.products) == 60
    assert set(Counter(p.kind for p in catalogue.products).values()) == {6}
    assert all(len(p.facts) == 12 and set(p.facts) <= set(FACT_SLOTS) for p in catalogue.products)


def test_every_slot_is_used(catalogue: Catalogue) -> None:
    assert {slot for p in catalogue.products for slot in p.facts} == set(FACT_SLOTS)


def test_held_out_products_cover_every_kind(catalogue: Catalogue) -> None:
    held_out = Counter(p.kind for p in catalogue.products if p.held_out)
    assert sum(held_out.values()) == 12 and len(held_out) == 10 and max(held_out.values()) == 2


def test_names_are_not_alike(catalogue: Catalogue) -> None:
    names = [p.name.lower() for p in catalogue.products]
    close = [(a, b) for i, a in enumerate(names) for b in names[:i] if distance(a, b) < 3]
    assert close == []


def test_enough_policies(catalogue: Catalogue) -> None:
    assert len(catalogue.policies) >= 10
    assert catalogue.policies["return_window"] == "thirty days"


def test_lookup(catalogue: Catalogue) -> None:
    assert catalogue.by_name("Brisa kettle").facts["price"] == "39 euros"
    assert catalogue.values("price") == sorted(set(catalogue.values("price")))
    with pytest.raises(KeyError, match="Nonesuch kettle"):
        catalogue.by_name("Nonesuch kettle")


def test_missing_fact_names_file_and_product(folder: Path) -> None:
    edit(folder / "kettle.toml", 'weight = "980 grams"\n', "")
    with pytest.raises(CatalogueError, match=r"kettle\.toml.*Tolvek.*weight"):
        load_catalogue(folder)


def test_broken_toml_names_file_and_product(folder: Path) -> None:
    edit(folder / "blender.toml", 'price = "49 euros"', 'price = "49 euros')
    with pytest.raises(CatalogueError, match=r"blender\.toml.*Jompa.*not valid TOML"):
        load_catalogue(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('price = "39 euros"', 'price = "39"', "Brisa.*price.*shape"),
        ('name = "Brisa"', 'name = "Cavello"', "Cavello.*unique"),
        ('name = "Brisa"', 'name = "brisa one"', "capitalised"),
        ("held_out = false", 'held_out = "no"', "Brisa.*held_out"),
        ('weight = "1.1 kilograms"', 'colour_of_box = "red"', "Brisa.*colour_of_box"),
        ('"price"', '"prize"', "prize"),
        ('plural = "kettles"', "", "plural"),
        ('red_light = "too much limescale"', 'red_light = "a ghost"', "a ghost"),
    ],
)
def test_bad_entries_are_refused(folder: Path, old: str, new: str, message: str) -> None:
    edit(folder / "kettle.toml", old, new)
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(folder)


def test_a_value_most_of_a_kind_shares_is_refused(folder: Path) -> None:
    path = folder / "kettle.toml"
    for old in ("three years", "one year"):
        edit(path, f'warranty = "{old}"', 'warranty = "two years"')
    with pytest.raises(CatalogueError, match="warranty.*shared by 4"):
        load_catalogue(folder)


@pytest.mark.parametrize("name", ["policies.toml", "cures.toml"])
def test_missing_table_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CatalogueError, match=f"{name}.*missing"):
        load_catalogue(folder)


def test_articles() -> None:
    nouns = ["kettle", "air purifier", "electric toothbrush", "hour", "unit", "user", "one", "8"]
    assert [article(n) for n in nouns] == ["a", "an", "an", "an", "a", "a", "a", "an"]


def test_fill_refuses_what_it_cannot_fill() -> None:
    assert fill("The {product} {is} here.", product="Melodon headphones", **agreement(True)) == (
        "The Melodon headphones are here."
    )
    with pytest.raises(GrammarError, match="value"):
        fill("It costs {value}.", product="Brisa kettle")
    with pytest.raises(GrammarError, match="brace"):
        fill("It costs {value.", value="1 euro")


def test_sentence_case() -> None:
    assert sentence_case("it holds 1.7 litres. does it? yes") == "It holds 1.7 litres. Does it? Yes"
    assert sentence_case('"is it?" she asked. he nodded') == '"Is it?" she asked. He nodded'
