"""Streams: part by part the same as all at once, counts that add up, memory that does not grow."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from course_lib.cleaning import (
    DIALOGUE_STEPS,
    CleaningConfig,
    CleaningReport,
    Totals,
    clean,
    clean_stream,
    stream_notes,
    write_stream,
)
from course_lib.cleaning.pipeline import _parts
from course_lib.cleaning.seen import FULL, SeenDialogues
from course_lib.dialogue import Dialogue, Reject, read_dialogues
from tests.cleaning.talks import LONG, mixed, near_copy, shop_dialogues, shop_talks, talk


def joined(parts: Iterator[CleaningReport]) -> CleaningReport:
    """The parts as one report."""
    whole = CleaningReport()
    for part in parts:
        whole.kept += part.kept
        whole.rejected += part.rejected
        whole.changes += part.changes
        whole.read += part.read
    return whole


def test_a_stream_of_one_part_is_cleaned_as_all_at_once() -> None:
    talks = [*shop_talks(), *mixed()]
    talks[7].messages[1].content = "I am sorry about th"
    (part,) = clean_stream(talks)
    assert part == clean(talks) and part.rejected


@pytest.mark.parametrize("size", [1, 3, 100])
def test_single_dialogues_are_cleaned_the_same_in_parts_of_any_size(size: int) -> None:
    config = CleaningConfig(steps=DIALOGUE_STEPS)
    assert joined(clean_stream(mixed(), config, part=size)) == clean(mixed(), config)


def test_shop_logs_in_two_processes_and_parts_are_cleaned_the_same() -> None:
    raw, config = shop_dialogues("raw", 120), CleaningConfig(steps=DIALOGUE_STEPS)
    assert joined(clean_stream(raw, config, processes=2, part=50)) == clean(raw, config)


def test_copies_are_found_across_parts_and_name_the_first() -> None:
    typo = [LONG[0].replace("switch", "swich"), *LONG[1:]]
    talks = [talk(*LONG, name="a"), *shop_talks(2), talk(*LONG, name="b"), talk(*typo, name="c")]
    away = joined(clean_stream(talks, part=1)).rejected
    assert {(r.dialogue_id, r.equals) for r in away} >= {("b", "a"), ("c", "a")}
    assert "the same words" in away[-2].reason and "nearly" in away[-1].reason


def test_the_same_words_with_other_intents_are_flagged_across_parts() -> None:
    pair = [talk(*LONG, name="a"), talk(*LONG, name="b")]
    pair[0].messages[0].intent, pair[1].messages[0].intent = "fault", "return_item"
    report = joined(clean_stream(pair, part=1))
    assert len(report.kept) == 2 and [change.dialogue_id for change in report.changes] == ["b"]
    assert "'a' (1.00), but values or intents differ" in report.changes[0].reason


def test_most_near_copies_of_shop_dialogues_are_found_across_parts() -> None:
    dialogues, rng = shop_dialogues("train", 150), random.Random(2)
    copies = [near_copy(dialogue, rng) for dialogue in dialogues]
    config = CleaningConfig(steps=("deduplicate",))
    exact = {r.dialogue_id for r in clean([*dialogues, *copies], config).rejected}
    found = {
        r.dialogue_id for r in joined(clean_stream([*dialogues, *copies], config, part=60)).rejected
    }
    assert len(exact) > 120 and len(found & exact) >= 0.97 * len(exact)


def test_words_that_all_share_are_listed_for_some_only() -> None:
    number = FULL + 30
    talks = [talk(f"{LONG[0]} Number {n}.", *LONG[1:], name=f"{n}") for n in range(number)]
    seen = SeenDialogues(0.6)
    kept, rejected, flags = seen.deduplicate(talks)
    assert len(kept) == number and rejected == [] and len(flags) == number - 1
    listed = "select count(*) from bands group by band order by 1 desc limit 1"
    assert seen._tables.execute(listed).fetchone() == (FULL,)
    seen.close()


def test_the_last_part_is_never_a_small_one() -> None:
    items = [(talk("hi", "Hello."), (None, []))] * 23
    assert [len(part) for part in _parts(items, 5)] == [5, 5, 5, 8]
    assert [len(part) for part in _parts(items[:20], 5)] == [5, 5, 5, 5]
    assert [len(part) for part in _parts(items[:3], 5)] == [3]
    assert list(_parts([], 5)) == []
    with pytest.raises(ValueError, match="1 dialogue or more"):
        list(_parts(items, 0))


def test_counts_of_all_parts_add_up_with_unreadable_lines(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    lines = [json.dumps(dialogue.to_dict()) for dialogue in mixed()[:5]]
    path.write_text("\n".join(["{", *lines[:3], "[]", *lines[3:], "{"]), encoding="utf-8")
    unreadable: list[Reject] = []
    parts = list(clean_stream(read_dialogues(path, unreadable), None, unreadable, part=2))
    totals = Totals.of(parts)
    assert len(parts) > 1 and unreadable == []
    assert totals.counts["read"] == 8
    assert totals.counts["read"] == totals.counts["kept"] + totals.counts["rejected"]
    assert totals.counts["rejected by read"] == totals.by_step()["read"]["set aside"] == 3
    assert "line 1" in totals.table() and "line 8" not in totals.table()  # one example a reason


def test_a_file_without_one_readable_line_is_accounted_for() -> None:
    unreadable = [Reject("raw.jsonl", 1, None, "broken JSON", "{")]
    assert Totals.of(clean_stream([], None, unreadable)).counts["rejected by read"] == 1
    assert list(clean_stream([])) == []


def test_totals_of_one_report_are_its_own() -> None:
    report = clean(mixed())
    totals = Totals.of([report])
    assert (totals.counts, totals.by_step()) == (report.counts, report.by_step())
    assert totals.table() == report.table()


def generated(number: int) -> Iterator[Dialogue]:
    rng = random.Random(1)
    for name in range(number):
        said = [" ".join("".join(rng.choices("abcdefgh", k=5)) for _ in range(8)) for _ in "ab"]
        yield talk(said[0], f"{said[1]}.", name=f"d{name}")


def peak(number: int) -> int:
    tracemalloc.start()
    read = sum(part.read for part in clean_stream(generated(number), part=50))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == number
    return most


def test_memory_does_not_grow_with_the_stream() -> None:
    peak(100)  # what is loaded once
    assert peak(900) < 1.3 * peak(200)


def test_files_of_a_stream_are_those_of_the_whole(tmp_path: Path) -> None:
    places = tmp_path / "kept.jsonl", tmp_path / "away.jsonl", tmp_path / "report.json"
    write_stream(clean_stream(mixed()), *places, notes=stream_notes())
    whole = clean(mixed())
    assert list(read_dialogues(places[0])) == whole.kept
    rejects = [json.loads(line) for line in places[1].read_text(encoding="utf-8").splitlines()]
    assert rejects == [one.to_dict() for one in whole.rejected]
    report = json.loads(places[2].read_text(encoding="utf-8"))
    assert any("find_swapped_roles" in note for note in report.pop("notes"))
    assert report == whole.to_dict()
    assert CleaningReport.from_dict(report, whole.kept).counts == whole.counts


def test_an_empty_stream_writes_empty_files(tmp_path: Path) -> None:
    places = tmp_path / "kept.jsonl", tmp_path / "away.jsonl", tmp_path / "report.json"
    write_stream([], *places)
    assert [place.read_text() for place in places[:2]] == ["", ""]
    report = json.loads(places[2].read_text())
    assert report["changes"] == report["rejected"] == [] and report["counts"]["read"] == 0
    write_stream([], *places[:2])  # a report is no must


def test_a_stream_that_breaks_leaves_the_old_files(tmp_path: Path) -> None:
    def broken() -> Iterator[CleaningReport]:
        yield clean(mixed())
        raise OSError("the disk is gone")

    kept, away = tmp_path / "kept.jsonl", tmp_path / "away.jsonl"
    kept.write_text("old")
    with pytest.raises(OSError, match="gone"):
        write_stream(broken(), kept, away)
    assert kept.read_text() == "old" and list(tmp_path.iterdir()) == [kept]
