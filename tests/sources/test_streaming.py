"""Reading in pieces: the JSON stream is equal to `json`, and memory does not grow with the file."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from course_lib.dialogue import DialogueError
from course_lib.sources import json_stream, read_source
from course_lib.sources.json_stream import JsonStream, json_records
from course_lib.sources.records import Broken, Record

# --- the same values as the json module's ---------------------------------------------------


def some_value(rng: random.Random, depth: int = 0) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: rng.choice([None, True, False]),
        lambda: rng.randint(-(10**12), 10**12),
        lambda: rng.uniform(-1e9, 1e-9),
        lambda: "".join(rng.choices('ab "\\\n\t\u00e9\u4e2d\U0001f600{[]},:', k=rng.randrange(40))),
        lambda: [some_value(rng, depth + 1) for _ in range(rng.randrange(4))],
        lambda: {str(n): some_value(rng, depth + 1) for n in range(rng.randrange(4))},
    ]
    return rng.choice(kinds if depth < 4 else kinds[:4])()


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 65_536])
def test_an_array_gives_the_values_of_the_json_module_whatever_the_chunk(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    rng = random.Random(chunk)
    path = tmp_path / "values.json"
    for indent in (None, 1):
        values = [some_value(rng) for _ in range(60)]
        text = json.dumps(values, ensure_ascii=rng.random() < 0.5, indent=indent)
        path.write_text(text, encoding="utf-8-sig" if indent else "utf-8")
        found = list(json_records(path))
        assert [record.value for record in found if isinstance(record, Record)] == values
        assert [record.number for record in found if isinstance(record, Record)] == [*range(1, 61)]


def test_each_record_knows_the_line_where_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 3)
    path = tmp_path / "lines.json"
    path.write_text('[\n\n {"a":\n  1}, 2\n ,\n "x"\n]\n')
    found = [record for record in json_records(path) if isinstance(record, Record)]
    assert [(record.line, record.value) for record in found] == [(3, {"a": 1}), (4, 2), (6, "x")]


def test_members_may_hold_arrays_that_are_walked_or_taken_whole(tmp_path: Path) -> None:
    path = tmp_path / "members.json"
    path.write_text('{"a": [1, 2], "b": [], "c": {"d": 3}, "e": 4}')
    found: dict[str, Any] = {}
    with JsonStream(path) as stream:
        for _, key in stream.members():
            walk = stream.peek() == "["
            found[key] = [v for _, v in stream.elements()] if walk else stream.value()
        stream.finish()
    assert found == {"a": [1, 2], "b": [], "c": {"d": 3}, "e": 4}


@pytest.mark.parametrize("chunk", [1, 5, 65_536])
@pytest.mark.parametrize(
    ("text", "line", "kept"),
    [
        (b"[1,\n2,\n", 3, 2),
        (b"[1,\n2 3]", 2, 2),
        (b"[1,\n2,]", 2, 2),
        (b"[1,\n2]]", 2, 2),
        (b'[1,\n"a', 2, 1),
        (b'[1,\n"\\q"]', 2, 1),
        (b"[1,\ntru]", 2, 1),
        (b"[1,\nt", 2, 1),
        (b'[1,\n"\x00"]', 2, 1),
        (b'[1,\n"a\n"]', 2, 1),
        (b'[1,\n"\xc3', 2, 1),
        (b'[1,\n\xe9, "long enough to lie well behind the fault"]', 2, 1),
        (b"[1,\n" + b"9" * 5_000 + b"]", 2, 1),
        (b"[1,\n" + b"[" * 50_000, 2, 1),
    ],
)
def test_a_break_ends_the_file_with_its_line(
    text: bytes, line: int, kept: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    path = tmp_path / "broken.json"
    path.write_bytes(text)
    *whole, last = json_records(path)
    assert [record.value for record in whole if isinstance(record, Record)] == [1, 2][:kept]
    assert isinstance(last, Broken) and last.line == line
    assert last.reason.endswith("the rest of the file is not read")


def test_a_fault_is_known_without_reading_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "early.json"
    path.write_text('[{"a" 1},' + "2," * 2_000_000 + "3]")
    tracemalloc.start()
    try:
        (only,) = json_records(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(only, Broken) and "Expecting ':'" in only.reason
    assert peak < 1_000_000  # bytes, of a file of 4 MB


def test_a_file_that_cannot_be_opened_is_a_dialogue_error(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match="cannot be read"):
        JsonStream(tmp_path)


# --- memory and laziness --------------------------------------------------------------------

TEXT = "The lamp by the door stays dark. " * 30  # about 1 kB


def alpaca_json(rows: int) -> str:
    row = {"instruction": TEXT, "output": TEXT}
    return json.dumps([row] * rows, indent=1)


def alpaca_jsonl(rows: int) -> str:
    return (json.dumps({"instruction": TEXT, "output": TEXT}) + "\n") * rows


def abcd_json(rows: int) -> str:
    turns = [["agent", TEXT], ["customer", TEXT]]
    split = [{"convo_id": number, "original": turns} for number in range(rows)]
    return json.dumps({"train": split})


def crosswoz_json(rows: int) -> str:
    messages = [{"role": "usr", "content": TEXT}, {"role": "sys", "content": TEXT}]
    return json.dumps({str(number): {"messages": messages} for number in range(rows)})


def bitext_csv(rows: int) -> str:
    return "instruction,intent,response\n" + f'"{TEXT}",light,"{TEXT}"\n' * rows


def chat_csv(rows: int) -> str:
    both = f'{{0}},user,"{TEXT}"\n{{0}},agent,"{TEXT}"\n'
    return "conversation_id,role,text\n" + "".join(both.format(number) for number in range(rows))


WRITERS = [
    ("alpaca", "x.json", alpaca_json),
    ("alpaca", "x.jsonl", alpaca_jsonl),
    ("abcd", "abcd.json", abcd_json),
    ("crosswoz", "train.json", crosswoz_json),
    ("bitext", "x.csv", bitext_csv),
    ("chat_log", "x.csv", chat_csv),
]


def peak_of(name: str, path: Path) -> tuple[int, int]:
    """(dialogues, bytes at the peak) of one reading."""
    tracemalloc.start()
    try:
        number = sum(1 for _ in read_source(name, path))
        return number, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "file", "write"), WRITERS)
def test_memory_does_not_grow_with_the_file(
    name: str, file: str, write: Callable[[int], str], tmp_path: Path
) -> None:
    path, peaks = tmp_path / file, []
    for rows in (200, 2_000):
        path.write_text(write(rows), encoding="utf-8")
        number, peak = peak_of(name, path)
        assert number == rows
        peaks.append(peak)
    size = path.stat().st_size
    assert size > 3_900_000  # bytes
    assert peaks[1] < 1_000_000 and peaks[1] < 1.5 * peaks[0] + 200_000


def test_the_measure_sees_a_file_that_is_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(alpaca_json(2_000), encoding="utf-8")
    tracemalloc.start()
    try:
        json.loads(path.read_text(encoding="utf-8"))
        assert tracemalloc.get_traced_memory()[1] > 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "file", "write"), WRITERS)
def test_the_first_dialogue_comes_before_a_later_fault(
    name: str, file: str, write: Callable[[int], str], tmp_path: Path
) -> None:
    path = tmp_path / file
    path.write_text(write(100).rstrip("\n ]}") + "\x00\n", encoding="utf-8")
    dialogues = read_source(name, path)
    assert TEXT in next(dialogues).messages[0].content
    if path.suffix != ".csv":  # a NUL is a character like any other in CSV
        with pytest.raises(DialogueError, match="broken JSON"):
            list(dialogues)
