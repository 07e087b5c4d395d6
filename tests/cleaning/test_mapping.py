"""The dialogue steps through `datasets.map`: the same dialogues as by `clean`."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from course_lib.cleaning import (
    DIALOGUE_STEPS,
    CleaningConfig,
    RecordCleaner,
    clean,
    clean_dataset,
)
from course_lib.cleaning.mapping import is_kept
from course_lib.dialogue import Dialogue, DialogueError
from tests.cleaning.talks import mixed, shop_dialogues, talk

datasets = pytest.importorskip("datasets")
CONFIG = CleaningConfig(steps=DIALOGUE_STEPS, allow=("0800 555 0134",))


def sayable(dialogues: list[Dialogue]) -> list[Dialogue]:
    """Those that are valid records: only the reader's side has empty ones."""
    return [d for d in dialogues if any(m.content.strip() for m in d.messages)]


def rows_of(dialogues: list[Dialogue]) -> list[dict[str, Any]]:
    return [dialogue.to_dict() for dialogue in dialogues]


@pytest.mark.parametrize("processes", [None, 2])
def test_a_mapped_data_set_holds_what_clean_keeps(processes: int | None) -> None:
    dialogues = [*sayable(mixed()), *shop_dialogues("raw", 80)]
    dataset = datasets.Dataset.from_list(rows_of(dialogues))
    options = {} if processes is None else {"num_proc": processes}
    cleaned = clean_dataset(dataset, CONFIG, **options)
    kept = clean(dialogues, CONFIG).kept
    assert 0 < len(kept) < len(dialogues)
    assert [Dialogue.from_dict(row) for row in cleaned] == kept
    assert cleaned.features == dataset.features


def test_a_loaded_jsonl_file_and_a_streamed_one_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    dialogues = sayable(mixed())
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(dialogues)))
    kept = clean(dialogues, CONFIG).kept
    load = {"data_files": str(path), "split": "train", "cache_dir": str(tmp_path / "cache")}
    for streaming in (False, True):
        dataset = datasets.load_dataset("json", streaming=streaming, **load)
        cleaned = clean_dataset(dataset, CONFIG)
        assert [Dialogue.from_dict(row) for row in cleaned] == kept


def test_the_row_says_what_was_changed_and_why_it_should_go() -> None:
    cleaner = RecordCleaner(CONFIG)
    looping = cleaner(talk("hi", "yes " * 8).to_dict())
    assert "drop_loops" in looping["set_aside"] and not is_kept(looping)
    assert looping["messages"][1]["content"] == "yes " * 8
    mended = cleaner(talk("tea &amp; milk?", "Yes.").to_dict())
    assert mended["messages"][0]["content"] == "tea & milk?" and is_kept(mended)
    assert mended["changes"] == ["repair_text: HTML"]


def test_a_row_keeps_its_shape_and_its_own_fields() -> None:
    turns = [{"role": "user", "content": "a <b>lamp</b>"}, {"role": "assistant", "content": "Yes."}]
    row = {"id": "x", "messages": turns, "rating": 4}
    cleaned = RecordCleaner(CONFIG)(row)
    assert cleaned.pop("changes") and cleaned.pop("set_aside") == ""
    assert cleaned == row | {"messages": [turns[0] | {"content": "a lamp"}, turns[1]]}
    assert row["messages"][0]["content"] == "a <b>lamp</b>"


def test_slots_that_only_other_rows_have_are_no_slots() -> None:
    goals = [{"intent": "x", "slots": {"email": "jo@post.example"}},
             {"intent": "x", "slots": {"order": "3348917502"}}]  # fmt: skip
    talks = [talk("hi", "Hello.", name=f"{n}") for n in range(2)]
    for dialogue, goal in zip(talks, goals, strict=True):
        dialogue.goal = goal
    dataset = datasets.Dataset.from_list(rows_of(talks))
    slots = [row["goal"]["slots"] for row in clean_dataset(dataset, CONFIG)]
    assert slots == [
        {"email": "[EMAIL]", "order": None},
        {"email": None, "order": "3348917502"},
    ]


def test_it_can_be_pickled_and_refuses_what_is_no_record() -> None:
    again = pickle.loads(pickle.dumps(RecordCleaner(CONFIG)))
    assert again == RecordCleaner(CONFIG)
    with pytest.raises(DialogueError, match="messages"):
        again({"id": "x", "messages": None})
