"""The shop's catalogue: products with their facts, company policies, cures of red lights.

One TOML file a kind in `catalogue/`, plus `policies.toml` and `cures.toml`. Loading checks all of
it, so that a generator never meets a product with a missing or unknown fact.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.world.grammar import agreement, article

CATALOGUE_FOLDER = Path(__file__).with_name("catalogue")
FACTS_PER_PRODUCT = 12
FACT_SLOTS = (
    "price", "warranty", "weight", "material", "colour", "capacity", "battery_life",
    "charging_time", "power", "noise", "cable_length", "cleaning", "descaling", "filter_change",
    "reset", "pairing", "red_light", "blue_light", "storage", "spare_part",
)  # fmt: skip
_COUNT = r"(?:[\d.,]+|[a-z]+(?:-[a-z]+)?)"
_SHAPES = {
    "price": r"\d+ euros",
    "warranty": rf"{_COUNT} (?:years?|months)",
    "weight": r"[\d.,]+ (?:kilograms|grams)",
    "capacity": rf"{_COUNT} (?:litres?|millilitres)",
    "battery_life": rf"{_COUNT} (?:minutes|hours|days|weeks)",
    "charging_time": rf"{_COUNT} (?:minutes|hours?)",
    "power": rf"{_COUNT} watts",
    "noise": r"\d+ decibels",
    "cable_length": rf"{_COUNT} (?:metres?|centimetres)",
    "descaling": rf"every (?:{_COUNT} )?(?:weeks|months?|year)",
    "filter_change": rf"every (?:{_COUNT} )?(?:weeks|months?|year)",
    "spare_part": r"part number [A-Z]{2}-\d{3}",
}
_OTHER_FILES = ("policies.toml", "cures.toml")


class CatalogueError(ValueError):
    """A catalogue file that cannot be used; names the file and the product."""

    def __init__(self, reason: str, path: Path, product: str | None = None) -> None:
        self.reason, self.path, self.product = reason, path, product
        place = f"{path}" if product is None else f"{path}, product {product!r}"
        super().__init__(f"{place}: {reason}")


@dataclass(frozen=True)
class Product:
    """One product; `facts` maps each of the 12 slots of its kind to a short value phrase."""

    name: str
    kind: str
    plural: str
    held_out: bool
    facts: dict[str, str]

    @property
    def full_name(self) -> str:
        """As people write it: "Brisa kettle"."""
        return f"{self.name} {self.kind}"

    @property
    def is_plural(self) -> bool:
        """True where the kind itself is a plural ("headphones are ...")."""
        return self.kind == self.plural

    @property
    def a_kind(self) -> str:
        """The kind with its article: "a kettle", "a pair of headphones"."""
        if self.is_plural:
            return f"a pair of {self.kind}"
        return f"{article(self.kind)} {self.kind}"

    def slots(self) -> dict[str, str]:
        """Slots for `grammar.fill`: product, name, kind, kinds, a_kind and the agreeing words."""
        return {
            "product": self.full_name,
            "name": self.name,
            "kind": self.kind,
            "kinds": self.plural,
            "a_kind": self.a_kind,
            **agreement(self.is_plural),
        }


@dataclass(frozen=True)
class Catalogue:
    """All products in file order, company policies (slot -> phrase), cures (cause -> sentence)."""

    products: tuple[Product, ...]
    policies: dict[str, str]
    cures: dict[str, str]

    def by_name(self, full_name: str) -> Product:
        """The product called `full_name`; raises KeyError for a name that is not stocked."""
        for product in self.products:
            if product.full_name == full_name:
                return product
        raise KeyError(f"no product {full_name!r} in the catalogue: use Product.full_name")

    def values(self, slot: str) -> list[str]:
        """Sorted distinct values of a fact slot over all products."""
        return sorted({p.facts[slot] for p in self.products if slot in p.facts})


def load_catalogue(folder: str | Path | None = None) -> Catalogue:
    """Read and check every TOML file of `folder` (default: the one beside this module).

    Raises CatalogueError, which names the file and, where there is one, the product.
    """
    root = CATALOGUE_FOLDER if folder is None else Path(folder)
    paths = [p for p in sorted(root.glob("*.toml")) if p.name not in _OTHER_FILES]
    if not paths:
        raise CatalogueError("no kind file (*.toml) in this folder", root)
    products = tuple(product for path in paths for product in _read_kind(path))
    _check_names(products, root)
    policies = _string_table(root / "policies.toml", "policies")
    cures = _string_table(root / "cures.toml", "cures")
    _check_cures(products, cures, root / "cures.toml")
    return Catalogue(products, policies, cures)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CatalogueError("file is missing: put it back", path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(f"not valid TOML: {error}", path, _last_product(path)) from error


def _last_product(path: Path) -> str | None:
    """The last name that stands in a file that does not parse, to say where about it breaks."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    last = None
    for end in range(text.count("\n") + 1, 0, -1):
        head = "\n".join(text.split("\n")[:end])
        try:
            tomllib.loads(head)
        except tomllib.TOMLDecodeError:
            continue
        names = re.findall(r'^name = "(\w+)"', head, flags=re.MULTILINE)
        last = names[-1] if names else None
        break
    return last


def _string_table(path: Path, table: str) -> dict[str, str]:
    entries = _read_toml(path).get(table)
    if not isinstance(entries, dict) or not entries:
        raise CatalogueError(f"the table [{table}] is missing or empty", path)
    for key, value in entries.items():
        if not isinstance(value, str) or not value.strip():
            raise CatalogueError(f"{table} entry {key!r} must be a non-empty string", path)
    return entries


def _read_kind(path: Path) -> list[Product]:
    data = _read_toml(path)
    for key in ("kind", "plural"):
        if not isinstance(data.get(key), str):
            raise CatalogueError(f'the key {key!r} is missing: add {key} = "..."', path)
    slots = _checked_slots(data.get("slots"), path)
    rows = data.get("product", [])
    if not rows:
        raise CatalogueError("no [[product]] in this file", path)
    products = [_checked_product(row, data["kind"], data["plural"], slots, path) for row in rows]
    _check_spread(products, slots, path)
    return products


def _checked_slots(slots: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(slots, list) or len(set(slots)) != FACTS_PER_PRODUCT:
        raise CatalogueError(f"slots must list {FACTS_PER_PRODUCT} different fact slots", path)
    unknown = sorted(set(slots) - set(FACT_SLOTS))
    if unknown:
        raise CatalogueError(f"unknown fact slots {unknown}: use those of FACT_SLOTS", path)
    return tuple(slots)


def _checked_product(
    row: dict[str, Any], kind: str, plural: str, slots: tuple[str, ...], path: Path
) -> Product:
    name = row.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Z][a-z]+", name):
        raise CatalogueError("the name must be one capitalised word", path, str(name))
    if not isinstance(row.get("held_out"), bool):
        raise CatalogueError("held_out must be true or false", path, name)
    facts = row.get("facts", {})
    missing, extra = sorted(set(slots) - set(facts)), sorted(set(facts) - set(slots))
    if missing or extra:
        raise CatalogueError(f"facts missing: {missing}, facts not in slots: {extra}", path, name)
    for slot in slots:
        _check_value(slot, facts[slot], path, name)
    return Product(name, kind, plural, row["held_out"], {slot: facts[slot] for slot in slots})


def _check_value(slot: str, value: Any, path: Path, name: str) -> None:
    if not isinstance(value, str) or not value.strip() or len(value.split()) > 9:
        raise CatalogueError(f"{slot} must be a phrase of one to nine words", path, name)
    if not re.fullmatch(_SHAPES.get(slot, ".+"), value):
        raise CatalogueError(f"{slot} = {value!r} has not the shape {_SHAPES[slot]!r}", path, name)


def _check_spread(products: list[Product], slots: Iterable[str], path: Path) -> None:
    """A value shared by more than half of a kind could be guessed from the kind alone."""
    for slot in slots:
        value, count = Counter(p.facts[slot] for p in products).most_common(1)[0]
        if count > max(1, len(products) // 2):
            name = next(p.name for p in products if p.facts[slot] == value)
            raise CatalogueError(f"{slot} = {value!r} is shared by {count} products", path, name)


def _check_names(products: Iterable[Product], root: Path) -> None:
    name, count = Counter(p.name for p in products).most_common(1)[0]
    if count > 1:
        raise CatalogueError(f"the name stands {count} times: names must be unique", root, name)


def _check_cures(products: Iterable[Product], cures: dict[str, str], path: Path) -> None:
    for product in products:
        cause = product.facts.get("red_light")
        if cause is not None and cause not in cures:
            raise CatalogueError(f"no cure for {cause!r}: add one", path, product.full_name)
