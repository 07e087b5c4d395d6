"""Near copies by LSH: what is found is true, and most of what is there is found."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.cleaning import CleaningConfig, NearIndex, clean, deduplicate, jaccard, shingles
from course_lib.cleaning.duplicates import EXACT_UP_TO, Index, dialogue_text, near_index
from course_lib.cleaning.lsh import LshIndex, chance
from tests.cleaning.talks import LONG, mixed, near_copy, shop_dialogues, talk

ROOT = Path(__file__).resolve().parents[2]
THRESHOLD = 0.6


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Shop dialogues, a third of them once more as near copies."""
    dialogues = shop_dialogues("train", 240)
    rng = random.Random(4)
    copies = [near_copy(dialogue, rng) for dialogue in dialogues[::3]]
    return [dialogue_text(dialogue) for dialogue in [*dialogues, *copies]]


def hits(index: Index, number: int) -> dict[int, tuple[int, float]]:
    """By text the nearest earlier one; every text is added."""
    found = {}
    for which in range(number):
        near = index.near(which)
        if near:
            found[which] = near[0]
        index.add(which)
    return found


def recall(texts: list[str], bands: int, rows: int) -> float:
    truth = hits(NearIndex(texts, THRESHOLD), len(texts))
    found = hits(LshIndex(texts, THRESHOLD, bands=bands, rows=rows), len(texts))
    assert set(found) <= set(truth) and len(truth) > 60
    return len(found) / len(truth)


def test_on_shop_text_it_finds_nearly_all_that_the_exact_index_finds(texts: list[str]) -> None:
    assert recall(texts, 32, 4) >= 0.97


def test_too_few_and_too_long_bands_find_less(texts: list[str]) -> None:
    assert recall(texts, 2, 12) < 0.8


def test_what_is_found_is_as_similar_as_it_says(texts: list[str]) -> None:
    for which, (other, similarity) in hits(LshIndex(texts, THRESHOLD), len(texts)).items():
        assert other < which
        assert similarity == jaccard(shingles(texts[which]), shingles(texts[other])) >= THRESHOLD


def test_the_chance_of_being_compared_rises_with_the_similarity() -> None:
    assert chance(0.6) > 0.98 and chance(0.8) > 0.9999
    assert chance(0.2) < 0.06
    assert chance(0.6, bands=1, rows=1) == pytest.approx(0.6)


def test_equal_and_empty_texts() -> None:
    index = LshIndex(["", "ab", "", "ab"], 1.0)
    index.add(0)
    index.add(1)
    assert index.nearest(2) == (0, 1.0) and index.nearest(3) == (1, 1.0)


@pytest.mark.parametrize("threshold", [0, 1.1])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        LshIndex(["a"], threshold)


def test_copies_near_copies_and_minimal_pairs_fare_as_with_the_exact_index() -> None:
    said = [f"{LONG[0]} Order 3348917502.", *LONG[1:]]
    typo = [said[0].replace("switch", "swich"), *said[1:]]
    other = [said[0].replace("502", "503"), *said[1:]]
    talks = [talk(*said, name="a"), talk(*said, name="b"), talk(*typo, name="c")]
    talks += [talk("Hi", "Hello", name="d"), talk(*other, name="e")]
    found = deduplicate(talks, near="lsh")
    assert found == deduplicate(talks)
    assert [r.dialogue_id for r in found[1]] == ["b", "c"]
    assert [flag.dialogue_id for flag in found[2]] == ["e"]


def test_the_settings_choose_it_and_refuse_another() -> None:
    assert clean(mixed(), CleaningConfig(near="lsh")) == clean(mixed())
    with pytest.raises(ValueError, match="exact or lsh, not"):
        CleaningConfig(near="fuzzy")


def test_the_import_of_cleaning_stays_light() -> None:
    heavy = "{'datasketch', 'numpy', 'scipy', 'datasets', 'sklearn'}"
    probe = f"import sys, course_lib.cleaning; print(*({heavy} & set(sys.modules)))"
    command = [sys.executable, "-c", probe]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_auto_is_exact_for_few_texts_and_lsh_for_many() -> None:
    few, many = ["one", "two"], ["one"] * (EXACT_UP_TO + 1)
    assert isinstance(near_index(few, 0.6), NearIndex)
    assert isinstance(near_index(many, 0.6), LshIndex)
    assert isinstance(near_index(few, 0.6, "lsh"), LshIndex)
    assert isinstance(near_index(many, 0.6, "exact"), NearIndex)
