"""How far replies share words or characters with references: BLEU, chrF, ROUGE-L.

The replies come first, then for each its reference or a list of its references. BLEU and chrF are
sacreBLEU's, from 0 to 100; ROUGE-L is counted here as the package rouge_score does, from 0 to 1.
All three say how much a reply looks like one right answer, never whether it is right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from course_lib.metrics.score import Score, references_of, score_of, texts_of

References = Sequence[str | Sequence[str]]
_WORDS = re.compile(r"[a-z0-9]+")


def bleu(
    replies: Sequence[str],
    references: References,
    tokenize: str | None = None,
    effective_order: bool = True,
) -> Score:
    """Corpus BLEU: matches of all replies are summed before the figure is formed.

    It is no mean of `per_reply`. The effective order leaves out n-grams that no reply is long
    enough to have; without it replies of under four words score 0. Where some reply has four words
    it changes nothing in the corpus figure. `tokenize`: sacreBLEU's, "13a" by default, "zh" for
    Chinese. Source: Papineni et al. (2002); Post (2018), A call for clarity in reporting BLEU.
    """
    from sacrebleu.metrics import BLEU

    return _of_sacrebleu(
        BLEU(tokenize=tokenize, effective_order=effective_order), "BLEU", replies, references
    )


def chrf(replies: Sequence[str], references: References, word_order: int = 0) -> Score:
    """Corpus chrF: F2 of character n-grams up to six; kinder than BLEU to endings and typos.

    `word_order=2` is chrF++. Source: Popović (2015), chrF: character n-gram F-score for automatic
    MT evaluation.
    """
    from sacrebleu.metrics import CHRF

    return _of_sacrebleu(CHRF(word_order=word_order), "chrF", replies, references)


def _of_sacrebleu(metric: Any, name: str, replies: Sequence[str], references: References) -> Score:
    texts = texts_of(replies)
    # sacreBLEU wants the n-th references of all replies together, None where a reply has fewer
    streams = _transposed(references_of(references, len(texts)))
    # the statistics that sacreBLEU's own bootstrap resamples; it offers no public way to them
    statistics = metric._extract_corpus_statistics(texts, streams)
    rows = np.asarray(statistics, dtype=float)

    def measure(totals: np.ndarray) -> np.ndarray:
        flat = totals.reshape(-1, totals.shape[-1]).tolist()
        found = [metric._compute_score_from_stats(row).score for row in flat]
        return np.asarray(found).reshape(totals.shape[:-1])

    return score_of(measure(rows).tolist(), f"{name}|{metric.get_signature()}", rows, measure)


def _transposed(rows: Sequence[tuple[str, ...]]) -> list[list[str | None]]:
    most = max(len(row) for row in rows)
    return [[row[i] if i < len(row) else None for row in rows] for i in range(most)]


def rouge_l(replies: Sequence[str], references: References) -> Score:
    """ROUGE-L: F1 of the longest common subsequence of words, averaged over replies.

    Words are runs of a–z and 0–9, lower case, without stemming; of several references the best
    one counts. Source: Lin (2004), ROUGE: a package for automatic evaluation of summaries.
    """
    texts = texts_of(replies)
    rows = references_of(references, len(texts))
    values = [
        max(_rouge_l(words_of(text), words_of(reference)) for reference in row)
        for text, row in zip(texts, rows, strict=True)
    ]
    return score_of(values, "ROUGE-L|f1|words:a-z0-9|case:lc|stem:no|mean of replies")


def words_of(text: str) -> list[str]:
    """The words that ROUGE-L compares."""
    return _WORDS.findall(text.lower())


def _rouge_l(said: list[str], wanted: list[str]) -> float:
    common = longest_common(said, wanted)
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def longest_common(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Length of the longest common subsequence."""
    best = [0] * (len(second) + 1)  # best[j]: of what was read of first with second[:j]
    for item in first:
        before = best
        best = [0]
        for j, other in enumerate(second):
            best.append(before[j] + 1 if item == other else max(before[j + 1], best[j]))
    return best[-1]
