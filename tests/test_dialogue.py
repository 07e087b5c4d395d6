"""The dialogue record: every kind of bad input, on both paths, and that nothing is lost."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from course_lib.dialogue import (
    Dialogue,
    DialogueError,
    Entity,
    Message,
    Reject,
    check_record,
    parse_line,
    read_dialogues,
    validate,
    write_dialogues,
    write_jsonl,
)


def record(number: int = 0) -> dict[str, Any]:
    question = f"Does the Corvo lamp 🛋️ cost {number} euros? Né à Köln."
    price = question.index("cost") + 5
    return {
        "id": f"d{number}",
        "lang": "en",
        "source": "shop",
        "split": None,
        "family_id": f"f{number}",
        "goal": {"intent": "ask_price", "slots": {"product": "Corvo lamp"}},
        "policy": None,
        "messages": [
            {
                "role": "user",
                "content": question,
                "intent": "ask_price",
                "entities": [
                    {
                        "slot": "price",
                        "start": price,
                        "end": price + len(str(number)),
                        "text": str(number),
                        "value": f"{number} euros",
                    }
                ],
                "acts": [["request", "price"], ["greet", None]],
                "train": True,
            },
            {
                "role": "assistant",
                "content": "Yes, it does.",
                "intent": None,
                "entities": [],
                "acts": [],
                "train": True,
            },
        ],
    }


def line(number: int = 0) -> bytes:
    return (json.dumps(record(number), ensure_ascii=False) + "\n").encode()


def changed(change: Callable[[dict[str, Any]], object], number: int = 0) -> bytes:
    broken = record(number)
    change(broken)
    return (json.dumps(broken) + "\n").encode()


def _drop_role(broken: dict[str, Any]) -> None:
    del broken["messages"][1]["role"]


def _strange_role(broken: dict[str, Any]) -> None:
    broken["messages"][1]["role"] = "agent"


def _no_messages(broken: dict[str, Any]) -> None:
    broken["messages"] = []


def _null_messages(broken: dict[str, Any]) -> None:
    broken["messages"] = None


def _all_blank(broken: dict[str, Any]) -> None:
    broken["messages"] = [{"role": "user", "content": " \n"}, {"role": "assistant", "content": ""}]


def _half_pair_in_goal(broken: dict[str, Any]) -> None:
    broken["goal"]["slots"]["product"] = "\ud83d"


def _endless_number(broken: dict[str, Any]) -> None:
    broken["goal"]["slots"]["product"] = float("nan")


def _null_turn(broken: dict[str, Any]) -> None:
    broken["messages"][1]["content"] = None


def _entity(broken: dict[str, Any]) -> dict[str, Any]:
    return broken["messages"][0]["entities"][0]


def _shifted_span(broken: dict[str, Any]) -> None:
    _entity(broken)["start"] += 1
    _entity(broken)["end"] += 1


def _span_outside(broken: dict[str, Any]) -> None:
    _entity(broken)["end"] = 900


def _negative_span(broken: dict[str, Any]) -> None:
    entity = _entity(broken)
    length = len(broken["messages"][0]["content"])
    entity["start"], entity["end"] = entity["start"] - length, entity["end"] - length


def _bool_span(broken: dict[str, Any]) -> None:
    _entity(broken)["start"] = True


def _bad_act(broken: dict[str, Any]) -> None:
    broken["messages"][0]["acts"] = [["request"]]


def _bad_train(broken: dict[str, Any]) -> None:
    broken["messages"][0]["train"] = "no"


def _number_for_train(broken: dict[str, Any]) -> None:
    broken["messages"][0]["train"] = 0


def _no_id(broken: dict[str, Any]) -> None:
    del broken["id"]


def _bad_goal(broken: dict[str, Any]) -> None:
    broken["goal"] = "buy"


def _message_is_text(broken: dict[str, Any]) -> None:
    broken["messages"][0] = "hello"


# bytes of one bad line, what its error must say, and whether the id is known there
BAD_LINES = {
    "broken JSON": (line(17)[:-9] + b"\n", "broken JSON at character", False),
    "text behind the JSON": (line(17)[:-1] + b" x\n", "broken JSON", False),
    "no object": (b'["d17"]\n', "expected an object, found list", False),
    "too deep": (b"[" * 100_000 + b"\n", "nested too deeply|broken JSON", False),
    "missing role": (changed(_drop_role, 17), "message 1 has no 'role'", True),
    "unknown role": (changed(_strange_role, 17), "the role 'agent'", True),
    "empty dialogue": (changed(_no_messages, 17), "the dialogue is empty", True),
    "null messages": (changed(_null_messages, 17), "no list of 'messages'", True),
    "empty turns only": (changed(_all_blank, 17), "the dialogue is empty", True),
    "half a pair in the goal": (changed(_half_pair_in_goal, 17), "written as JSON in UTF-8", True),
    "not a number": (changed(_endless_number, 17), "written as JSON in UTF-8", True),
    "null turn": (changed(_null_turn, 17), "no text in 'content'", True),
    "shifted span": (changed(_shifted_span, 17), "count code points", True),
    "span outside": (changed(_span_outside, 17), "outside a message of", True),
    "negative span": (changed(_negative_span, 17), "outside a message of", True),
    "bool for a number": (changed(_bool_span, 17), "whole numbers", True),
    "act without slot": (changed(_bad_act, 17), r"must be \[act, slot\]", True),
    "text for train": (changed(_bad_train, 17), "'train' must be true or false", True),
    "number for train": (changed(_number_for_train, 17), "'train' must be true or false", True),
    "no id": (changed(_no_id, 17), "non-empty text in 'id'", False),
    "goal of text": (changed(_bad_goal, 17), "'goal' must be an object", True),
    "message of text": (changed(_message_is_text, 17), "message 0 is no object", True),
    "other encoding": (line(17).decode().encode("utf-16-le"), "not UTF-8|broken JSON", False),
    "Latin-1": ("café\n".encode("latin-1"), "not UTF-8: byte 0xe9 at position 3", False),
    "half a pair": (line(17).replace(b"Yes", b"\\ud83d"), "half a surrogate pair", True),
}


@pytest.fixture
def bad_file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(bad: bytes) -> Path:
        path = tmp_path / "logs.jsonl"
        # one line of bytes: a UTF-16 line may hold the byte of a line end
        bad = bad.rstrip(b"\n").replace(b"\n", b" ") + b"\n"
        lines = [line(n) for n in range(1, 17)] + [bad] + [line(n) for n in range(18, 31)]
        path.write_bytes(b"".join(lines))
        return path

    return write


@pytest.mark.parametrize("kind", BAD_LINES)
def test_a_bad_line_stops_the_reader_with_file_line_and_id(
    kind: str, bad_file: Callable[[bytes], Path]
) -> None:
    bad, said, id_known = BAD_LINES[kind]
    path = bad_file(bad)
    before = []
    with pytest.raises(DialogueError, match=said) as caught:
        before.extend(read_dialogues(path))
    assert (caught.value.path, caught.value.line) == (path, 17)
    assert caught.value.dialogue_id == ("d17" if id_known else None)
    assert str(path) in str(caught.value) and "line 17" in str(caught.value)


@pytest.mark.parametrize("kind", BAD_LINES)
def test_a_bad_line_is_set_aside_and_nothing_is_lost(
    kind: str, bad_file: Callable[[bytes], Path]
) -> None:
    bad, _, id_known = BAD_LINES[kind]
    path = bad_file(bad)
    rejects: list[Reject] = []
    kept = list(read_dialogues(path, rejects))
    assert len(kept) == 29 and len(rejects) == 1
    assert rejects[0].line == 17 and rejects[0].path == str(path)
    assert rejects[0].dialogue_id == ("d17" if id_known else None)
    assert rejects[0].reason and rejects[0].text


def test_the_good_lines_before_the_bad_one_are_given_out(
    bad_file: Callable[[bytes], Path],
) -> None:
    read = []
    with pytest.raises(DialogueError):
        for dialogue in read_dialogues(bad_file(BAD_LINES["missing role"][0])):
            read.append(dialogue.id)
    assert read == [f"d{n}" for n in range(1, 17)]


def test_no_file_and_a_folder_get_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match="no such file") as caught:
        list(read_dialogues(tmp_path / "gone.jsonl"))
    assert caught.value.path == tmp_path / "gone.jsonl"
    with pytest.raises(DialogueError, match="cannot be read"):
        list(read_dialogues(tmp_path))
    rejects: list[Reject] = []
    with pytest.raises(DialogueError, match="no such file"):  # no line to set aside
        list(read_dialogues(tmp_path / "gone.jsonl", rejects))


def test_blank_lines_and_a_byte_order_mark_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line(1) + b"\n  \r\n" + line(2).rstrip(b"\n"))
    assert [dialogue.id for dialogue in read_dialogues(path)] == ["d1", "d2"]


def test_windows_line_ends_and_unicode_line_separators(tmp_path: Path) -> None:
    inner = record(1)
    inner["messages"][1]["content"] = "one\u2028two\u0085three"
    path = tmp_path / "logs.jsonl"
    text = json.dumps(inner, ensure_ascii=False) + "\r\n" + json.dumps(record(2)) + "\r\n"
    path.write_bytes(text.encode())
    assert [dialogue.id for dialogue in read_dialogues(path)] == ["d1", "d2"]


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    path.write_bytes(line(1) + b"{\n")
    dialogues = read_dialogues(path)
    assert next(dialogues).id == "d1"
    with pytest.raises(DialogueError):
        next(dialogues)


def test_round_trip_keeps_every_field_and_every_byte(tmp_path: Path) -> None:
    dialogues = [Dialogue.from_dict(record(n)) for n in range(5)]
    assert write_dialogues(dialogues, tmp_path / "a.jsonl") == 5
    again = list(read_dialogues(tmp_path / "a.jsonl"))
    assert again == dialogues
    write_dialogues(again, tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert "Köln" in (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    assert [dialogue.to_dict() for dialogue in again] == [record(n) for n in range(5)]


def test_what_is_left_out_is_filled_in_on_writing(tmp_path: Path) -> None:
    bare = {"id": "x", "messages": [{"role": "user", "content": "hi", "train": False}]}
    write_dialogues([Dialogue.from_dict(bare)], tmp_path / "x.jsonl")
    written = json.loads((tmp_path / "x.jsonl").read_text(encoding="utf-8"))
    assert sorted(written) == sorted(record())
    assert sorted(written["messages"][0]) == sorted(record()["messages"][0])
    assert written["messages"][0]["train"] is False


def test_a_failure_midway_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    write_dialogues([Dialogue.from_dict(record(1))], path)
    old = path.read_bytes()

    def failing() -> Iterator[Dialogue]:
        yield Dialogue.from_dict(record(2))
        raise RuntimeError("the power is out")

    with pytest.raises(RuntimeError, match="power"):
        write_dialogues(failing(), path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["logs.jsonl"]


def test_an_invalid_dialogue_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    write_dialogues([Dialogue.from_dict(record(1))], path)
    old = path.read_bytes()
    bad = Dialogue("bad", [Message("user", "hello", entities=[Entity("x", 0, 3, "hal", "hal")])])
    with pytest.raises(DialogueError, match="'hal'.*'hel'"):
        write_dialogues([Dialogue.from_dict(record(2)), bad], path)
    assert path.read_bytes() == old


def test_a_file_can_be_rewritten_from_itself(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    write_dialogues([Dialogue.from_dict(record(n)) for n in range(3)], path)
    assert write_dialogues((d for d in read_dialogues(path) if d.id != "d1"), path) == 2
    assert [dialogue.id for dialogue in read_dialogues(path)] == ["d0", "d2"]


def test_an_unwritable_place_leaves_no_litter(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        write_jsonl([{"id": "x"}], tmp_path / "taken")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_spans_count_code_points_not_bytes_or_utf16_units() -> None:
    text = "é🛋️x"
    entity = {"slot": "s", "text": "x", "value": "x"}
    good = {"id": "d", "messages": [{"role": "user", "content": text}]}
    for start, fits in ((3, True), (4, False), (5, False), (9, False)):
        good["messages"][0]["entities"] = [entity | {"start": start, "end": start + 1}]  # type: ignore[index]
        if fits:
            check_record(good)
        else:
            with pytest.raises(DialogueError):
                check_record(good)


def test_validate_returns_what_it_was_given() -> None:
    dialogue = Dialogue.from_dict(record())
    assert validate(dialogue) is dialogue
    dialogue.messages[0].role = "robot"
    with pytest.raises(DialogueError, match="robot"):
        validate(dialogue)


def test_the_plain_view_holds_role_and_content_only() -> None:
    plain = Dialogue.from_dict(record()).to_messages()
    assert [sorted(message) for message in plain] == [["content", "role"]] * 2


def test_datasets_reads_a_written_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    write_dialogues([Dialogue.from_dict(record(n)) for n in range(8)], tmp_path / "a.jsonl")
    rows = datasets.load_dataset(
        "json", data_files=str(tmp_path / "a.jsonl"), split="train", cache_dir=str(tmp_path / "c")
    )
    assert len(rows) == 8
    assert [Dialogue.from_dict(row).to_dict() for row in rows] == [record(n) for n in range(8)]


# --- fuzz -----------------------------------------------------------------------------------

STRANGE = [None, True, 0, -1, 3.5, "", " ", "x", "\ud83d", [], [None], {}, {"id": 1}, [[]], 10**30]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*path, index))


def _mutant_record(rng: random.Random) -> bytes:
    mutant = copy.deepcopy(record(rng.randrange(100)))
    for _ in range(rng.randint(1, 3)):
        place = rng.choice(list(_places(mutant)))
        if not place:
            continue
        holder = mutant
        for key in place[:-1]:
            holder = holder[key]
        if rng.random() < 0.3:
            del holder[place[-1]]
        else:
            holder[place[-1]] = rng.choice(STRANGE)
    return json.dumps(mutant).encode()


def _mutant_bytes(rng: random.Random) -> bytes:
    data = bytearray(line(rng.randrange(100)).rstrip(b"\n"))
    for _ in range(rng.randint(1, 6)):
        where = rng.randrange(len(data))
        data[where : where + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
    return bytes(data)


def test_two_thousand_mutants_give_a_dialogue_or_a_dialogue_error(tmp_path: Path) -> None:
    rng = random.Random(17)
    mutants = [rng.choice((_mutant_record, _mutant_bytes))(rng) for _ in range(2_000)]
    # a byte of a line end would split a line, a blank line is skipped: neither is a mutant
    mutants = [mutant.replace(b"\n", b"") or b"{" for mutant in mutants]
    mutants = [mutant if mutant.strip() else b"{" for mutant in mutants]
    path = tmp_path / "mutants.jsonl"
    path.write_bytes(b"\n".join(mutants))
    rejects: list[Reject] = []
    kept = list(read_dialogues(path, rejects))
    assert len(kept) + len(rejects) == len(mutants)
    assert len(rejects) > 800 and len(kept) > 50  # both ways are walked
    for dialogue in kept:
        assert parse_line(json.dumps(validate(dialogue).to_dict())) == dialogue
    write_dialogues(kept, tmp_path / "kept.jsonl")
    assert list(read_dialogues(tmp_path / "kept.jsonl")) == kept
