"""Near copies by MinHash and locality-sensitive hashing, where the exact index takes too long.

A dialogue's signature is one smallest hash of its character n-grams for each of bands x rows hash
functions (Broder 1997); two signatures agree in a place with a probability of their Jaccard index
s. Only dialogues that agree in all rows of some band are compared, 1 - (1 - s^rows)^bands of the
pairs (Leskovec, Rajaraman and Ullman 2014, chapter 3). What is found is verified exactly, so that
nothing is called a near copy that is none; a few near copies go unfound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from zlib import crc32

from course_lib.cleaning.duplicates import checked_threshold, jaccard, shingles

BANDS, ROWS = 32, 4
# Standard errors of a signature's estimate below the threshold from which no text is compared.
DOUBT = 4.0


def chance(similarity: float, bands: int = BANDS, rows: int = ROWS) -> float:
    """The probability that a pair of this Jaccard index is compared at all, 0 to 1."""
    return 1 - (1 - similarity**rows) ** bands


def signatures(texts: Iterable[str], number: int, size: int = 5) -> Iterator[Any]:
    """The datasketch MinHash of each text's character n-grams, of so many hash functions."""
    from datasketch import MinHash

    grams = ([g.encode("utf-8", "surrogatepass") for g in shingles(text, size)] for text in texts)
    return MinHash.generator(grams, num_perm=number, hashfunc=crc32)


class LshIndex:
    """As `NearIndex`, by datasketch: candidates from MinHash LSH, verified by exact Jaccard."""

    def __init__(
        self,
        texts: Sequence[str],
        threshold: float,
        size: int = 5,
        bands: int = BANDS,
        rows: int = ROWS,
    ) -> None:
        from datasketch import MinHashLSH

        self.threshold, self._texts, self._size = checked_threshold(threshold), texts, size
        self._signatures = list(signatures(texts, bands * rows, size))
        self._buckets = MinHashLSH(num_perm=bands * rows, params=(bands, rows))
        self._hopeless = threshold - DOUBT * (threshold * (1 - threshold) / bands / rows) ** 0.5

    def add(self, which: int) -> None:
        """Makes text `which` one that later texts are compared with."""
        self._buckets.insert(which, self._signatures[which], check_duplication=False)

    def nearest(self, which: int) -> tuple[int, float] | None:
        """(number, similarity) of the most similar text that was found, at least the threshold."""
        best: tuple[int, float] | None = None
        mine = shingles(self._texts[which], self._size)
        for other in self._candidates(which):
            similarity = jaccard(mine, shingles(self._texts[other], self._size))
            if similarity >= self.threshold and (best is None or similarity > best[1]):
                best = (other, similarity)
        return best

    def _candidates(self, which: int) -> list[int]:
        """The added texts that share a band and whose signature gives hope."""
        signature = self._signatures[which]
        return sorted(
            other
            for other in self._buckets.query(signature)
            if signature.jaccard(self._signatures[other]) >= self._hopeless
        )
