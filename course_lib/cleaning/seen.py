"""What a stream has already kept, on disk: for copies and near copies in constant memory."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

from course_lib.cleaning.changes import DataSetResult
from course_lib.cleaning.duplicates import (
    Known,
    checked_threshold,
    dialogue_text,
    drop_exact,
    drop_near,
    jaccard,
    known_of,
    shingles,
)
from course_lib.cleaning.lsh import signatures
from course_lib.dialogue import Dialogue

BANDS, ROWS = 20, 4  # fewer than in memory: each band of each dialogue is a row on disk
FULL = 200  # a band shared by so many dialogues tells nothing: no more are listed under it
COMPARED = 20  # candidates whose texts are compared, those that share most bands
CACHE = 128_000  # KiB of the tables that stay in memory
TABLES = """
create table exact (key blob primary key, id text, intents text) without rowid;
create table near (number integer primary key, id text, intents text, facts text, text text);
create table bands (band integer, number integer, primary key (band, number)) without rowid;
"""

Bands = list[int]


class SeenDialogues:
    """Finds copies of what any earlier call kept; the tables lie in a temporary file.

    Exact copies by a 16-byte hash, all of them; near copies by LSH on `BANDS` x `ROWS` hashes,
    verified by exact Jaccard. The file is the database's own and goes with `close`.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = checked_threshold(threshold)
        self._full: set[int] = set()
        self._tables = sqlite3.connect("")  # "" is a temporary file
        self._tables.executescript(
            f"pragma journal_mode=off; pragma synchronous=off; pragma cache_size=-{CACHE};{TABLES}"
        )

    def close(self) -> None:
        """Forgets everything."""
        self._tables.close()

    def deduplicate(self, dialogues: Sequence[Dialogue]) -> DataSetResult:
        """As `deduplicate`, held against all earlier calls as well."""
        unique, copies = drop_exact(dialogues, self._remember)
        texts = [dialogue_text(dialogue) for dialogue in unique]
        bands = [_bands(signature) for signature in signatures(texts, BANDS * ROWS)]
        kept, near_copies, flags = drop_near(
            unique,
            lambda number: self._nearest(texts[number], bands[number]),
            lambda number: self._add(unique[number], texts[number], bands[number]),
        )
        self._tables.commit()
        return kept, copies + near_copies, flags

    def _remember(self, key: bytes, known: Known) -> Known:
        row = self._tables.execute("select id, intents from exact where key = ?", (key,)).fetchone()
        if row:
            return Known(row[0], tuple(json.loads(row[1])))
        row = (key, known.id, json.dumps(known.intents))
        self._tables.execute("insert into exact values (?, ?, ?)", row)
        return known

    def _nearest(self, text: str, bands: Bands) -> tuple[Known, float] | None:
        best: tuple[Any, float] | None = None
        mine = shingles(text)
        for row in self._candidates(bands):
            similarity = jaccard(mine, shingles(row[-1]))
            if similarity >= self.threshold and (best is None or similarity > best[1]):
                best = (row, similarity)
        return best and (_known(best[0]), best[1])

    def _candidates(self, bands: Bands) -> Iterator[Any]:
        """(id, intents, facts, text) of the dialogues that share most bands, the first first."""
        shared = Counter(number for band in bands for number in self._holders(band))
        likely = sorted(shared, key=lambda number: (-shared[number], number))[:COMPARED]
        for number in sorted(likely):
            query = "select id, intents, facts, text from near where number = ?"
            yield self._tables.execute(query, (number,)).fetchone()

    def _holders(self, band: int) -> list[int]:
        query = f"select number from bands where band = ? limit {FULL}"
        found = [number for (number,) in self._tables.execute(query, (band,))]
        if len(found) == FULL:
            self._full.add(band)
        return found

    def _add(self, dialogue: Dialogue, text: str, bands: Bands) -> None:
        known = known_of(dialogue)
        row = (known.id, json.dumps(known.intents), json.dumps(sorted(known.facts)), text)
        insert = "insert into near (id, intents, facts, text) values (?, ?, ?, ?)"
        number = self._tables.execute(insert, row).lastrowid
        rows = ((band, number) for band in bands if band not in self._full)
        self._tables.executemany("insert or ignore into bands values (?, ?)", rows)


def _bands(signature: Any) -> Bands:
    """A 64-bit number, with sign, for each band of a signature."""
    values = signature.hashvalues.astype("<u4").tobytes()
    width = 4 * ROWS
    pieces = (values[start : start + width] for start in range(0, len(values), width))
    return [_hash(number.to_bytes(2, "little") + piece) for number, piece in enumerate(pieces)]


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little", signed=True)


def _known(row: Any) -> Known:
    facts = frozenset((kind, slot, value) for kind, slot, value in json.loads(row[2]))
    return Known(row[0], tuple(json.loads(row[1])), facts)
