"""The cleaning benchmark: its truth, its figures and what it prints."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from course_lib.cleaning import jaccard, shingles
from course_lib.cleaning.duplicates import dialogue_text
from course_lib.dialogue import write_dialogues
from tests.cleaning.talks import LONG, mixed, shop_talks, talk

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks" / "cleaning.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_prints_a_table_or_one_object(
    benchmark: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(benchmark, "GROWN", 60)
    path = tmp_path / "raw.jsonl"
    write_dialogues([*mixed()[:5], *shop_talks(20)], path)
    options = ["--data", str(path), "--repeats", "1"]
    benchmark.main([*options, "--stream", "120", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["dialogues"] == 25
    rows = {row["method"]: row for row in found["methods"]}
    assert set(rows) == set(benchmark.METHODS)
    assert rows["all pairs"]["recall"] == rows["exact index"]["recall"] == 1.0
    assert rows["exact index"]["precision"] == rows["LSH, verified"]["precision"] == 1.0
    assert found["ratios"]["all pairs / all pairs"] == 1.0
    assert [row["ten_times"] for row in found["growth"]] == [25, 60, 25, 25]
    assert found["stream"]["dialogues"] == 120 and found["stream"]["peak_mib"] > 10
    assert found["stream"]["copies_recall"] == 1.0 and found["stream"]["fresh_lost"] == 0
    text = benchmark.table(found)
    for piece in ("exact index", "ten times the data", "stream of 120", "recall"):
        assert piece in text


def test_a_method_that_misses_or_invents_shows(benchmark: ModuleType) -> None:
    class Blind(benchmark.AllPairs):  # type: ignore[name-defined, misc]
        def near(self, which: int) -> list[tuple[int, float]]:
            return []

    class Wild(benchmark.AllPairs):  # type: ignore[name-defined, misc]
        def near(self, which: int) -> list[tuple[int, float]]:
            return [(0, 1.0)] if which else []

    methods = {"all pairs": benchmark.AllPairs, "blind": Blind, "wild": Wild}
    talks = [talk(*LONG, name="a"), talk(*LONG, name="b"), talk("Hi", "Hello", name="c")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "METHODS", methods)
        rows = benchmark.compare_methods(talks)
    figures = [(row["recall"], row["precision"]) for row in rows]
    assert figures == [(1, 1), (0, 1), (1, 0.5)]


def test_planted_near_copies_are_near_and_the_others_are_not(benchmark: ModuleType) -> None:
    dialogues = list(benchmark.generated(400))
    sets = [shingles(dialogue_text(dialogue)) for dialogue in dialogues]
    for number, dialogue in enumerate(dialogues):
        alike = max((jaccard(sets[number], sets[n]) for n in range(number)), default=0.0)
        kind = dialogue.id.partition("-")[0]
        assert {"copy": alike == 1, "near": 0.6 <= alike < 1, "fresh": alike < 0.6}[kind]
    assert sum(dialogue.id.startswith("near") for dialogue in dialogues) == 8
