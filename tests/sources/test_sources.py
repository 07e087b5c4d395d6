"""The adapters: the formats' shapes on fixtures of ours, then the real sample files."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from course_lib.dialogue import (
    Dialogue,
    DialogueError,
    Reject,
    read_dialogues,
    validate,
    write_dialogues,
)
from course_lib.sources import SOURCES, read_source

REPO = Path(__file__).resolve().parents[2]
FIXTURES = REPO / "tests" / "fixtures"
SGD = FIXTURES / "sgd" / "train" / "dialogues_001.json"
ABCD = FIXTURES / "abcd_small.json"
SGD_RECORDS = json.loads(SGD.read_text(encoding="utf-8"))
SAMPLES = Path(os.environ.get("COURSE_SAMPLES", REPO.parent / "shared" / "samples"))


def sample(name: str) -> Path:
    if not (SAMPLES / name).is_dir():
        pytest.skip(f"no real {name} files in {SAMPLES}; set COURSE_SAMPLES to their folder")
    return SAMPLES / name


def read(name: str, path: Path) -> list[Dialogue]:
    return list(read_source(name, path))


def spoilt(source: Path, target: Path, change: Callable[[list[Any]], None]) -> Path:
    records = json.loads(source.read_text(encoding="utf-8"))
    change(records)
    target.write_text(json.dumps(records), encoding="utf-8")
    return target


# --- the registry ---------------------------------------------------------------------------


def test_an_unknown_source_is_refused_at_once_with_the_known_ones() -> None:
    with pytest.raises(DialogueError, match=r"unknown source 'sdg'.*abcd, .*sgd, .*shop"):
        read_source("sdg", SGD)


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"hub"}))
def test_a_missing_path_is_refused_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match="no such file or folder") as caught:
        read_source(name, tmp_path / "gone.json")
    assert caught.value.path == tmp_path / "gone.json"


@pytest.mark.parametrize("name", ["sgd", "abcd"])
def test_a_folder_without_data_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match=r"no \w+\*?_?\*?\.json"):
        read(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "takes"),
    [("sgd", "takes none"), ("sharegpt", "takes roles"), ("chat_log", "takes conversation, role")],
)
def test_an_unknown_option_is_refused_at_once_with_the_known_ones(name: str, takes: str) -> None:
    with pytest.raises(DialogueError, match=f"source '{name}' has no option role_map; it {takes}"):
        read_source(name, SGD, role_map={})


def test_shop_refuses_what_the_json_module_will_not_convert(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text('{"id": ' + "1" * 5_000 + '}\n{"id": "\\ud83d", "messages": 3}\n')
    with pytest.raises(DialogueError, match="line 1: broken JSON: Exceeds the limit"):
        read("shop", path)
    rejects: list[Reject] = []
    assert list(read_source("shop", path, rejects)) == []
    assert [(reject.line, reject.dialogue_id) for reject in rejects] == [(1, None), (2, "\\ud83d")]


def test_shop_reads_our_own_record(tmp_path: Path) -> None:
    dialogues = read("sgd", SGD)
    write_dialogues(dialogues, tmp_path / "ours.jsonl")
    assert read("shop", tmp_path / "ours.jsonl") == dialogues


# --- Schema-Guided Dialogue -----------------------------------------------------------------


def test_sgd_turns_roles_intents_and_acts() -> None:
    first = read("sgd", SGD)[0]
    assert (first.id, first.source, first.split) == ("sgd-train-1_00000", "sgd", "train")
    assert first.family_id == first.id
    assert [message.role for message in first.messages] == ["user", "assistant"] * 2
    assert [message.intent for message in first.messages] == ["BookFerry", None, None, None]
    assert first.messages[1].acts == [["confirm", "car"], ["req_more", None]]
    assert first.messages[0].acts[0] == ["inform_intent", "intent"]


def test_sgd_spans_are_sorted_and_carry_the_canonical_value() -> None:
    entities = read("sgd", SGD)[0].messages[0].entities
    found = [(entity.slot, entity.text, entity.value) for entity in entities]
    assert found == [("harbour", "Quell Bay", "Quell Bay"), ("time", "half eight", "20:30")]


def test_sgd_values_without_a_span_are_no_entities_but_stay_in_the_goal() -> None:
    first = read("sgd", SGD)[0]
    assert all(entity.slot != "car" for message in first.messages for entity in message.entities)
    assert first.goal == {
        "intent": "BookFerry",
        "slots": {"time": "half eight", "harbour": "Quell Bay", "car": "False"},
        "services": ["Ferries_1"],
    }


def test_sgd_two_services_share_a_span_once_and_keep_both_slots() -> None:
    second = read("sgd", SGD)[1]
    assert [entity.slot for entity in second.messages[0].entities] == ["pet", "date"]
    assert second.goal is not None
    assert second.goal["intent"] == "BookFerry, BoardPet"
    assert second.goal["slots"]["Ferries_1.date"] == "Monday"
    assert second.goal["slots"]["Kennels_2.date"] == "Monday"
    assert second.messages[1].entities == []


def test_sgd_folder_is_read_file_by_file_and_the_split_comes_from_the_folder(
    tmp_path: Path,
) -> None:
    for split in ("train", "dev"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "dialogues_001.json").write_bytes(SGD.read_bytes())
    (tmp_path / "dev" / "schema.json").write_text("[]")
    dialogues = read("sgd", tmp_path)
    assert [dialogue.split for dialogue in dialogues] == ["dev", "dev", "train", "train"]
    assert len({dialogue.id for dialogue in dialogues}) == 4


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = spoilt(SGD, tmp_path / "dialogues_009.json", lambda records: records[1].pop("turns"))
    dialogues = read_source("sgd", path)
    assert next(iter(dialogues)).id == "sgd-1_00000"
    with pytest.raises(DialogueError):
        next(iter(dialogues))


def _span_out_of_text(records: list[Any]) -> None:
    records[0]["turns"][0]["frames"][0]["slots"][0]["exclusive_end"] = 400


def _no_speaker(records: list[Any]) -> None:
    del records[0]["turns"][2]["speaker"]


def _strange_speaker(records: list[Any]) -> None:
    records[0]["turns"][2]["speaker"] = "ROBOT"


def _no_turns(records: list[Any]) -> None:
    records[0]["turns"] = []


def _null_turn(records: list[Any]) -> None:
    records[0]["turns"][1]["utterance"] = None


def _span_is_text(records: list[Any]) -> None:
    records[0]["turns"][0]["frames"][0]["slots"][0]["start"] = "24"


def _no_frames_list(records: list[Any]) -> None:
    records[0]["turns"][0]["frames"] = "none"


SGD_DEFECTS = [
    (_span_out_of_text, "spans 24:400"),
    (_no_speaker, "'speaker' is missing"),
    (_strange_speaker, "turn 2 has the speaker 'ROBOT'"),
    (_no_turns, "no message has any text"),
    (_null_turn, "message 1 has no text"),
    (_span_is_text, "not in the expected shape"),
    (_no_frames_list, "not in the expected shape"),
]


@pytest.mark.parametrize(("defect", "said"), SGD_DEFECTS)
def test_a_broken_sgd_record_is_named_or_set_aside(
    defect: Callable[[list[Any]], None], said: str, tmp_path: Path
) -> None:
    path = spoilt(SGD, tmp_path / "dialogues_002.json", defect)
    with pytest.raises(DialogueError, match=said) as caught:
        read("sgd", path)
    assert caught.value.path == path
    assert caught.value.dialogue_id == "1_00000"
    rejects: list[Reject] = []
    kept = list(read_source("sgd", path, rejects))
    assert [dialogue.id for dialogue in kept] == ["sgd-1_00001"]
    assert [(reject.line, reject.dialogue_id) for reject in rejects] == [(1, "1_00000")]
    assert said in rejects[0].reason and "1_00000" in rejects[0].text


# --- Action-Based Conversations -------------------------------------------------------------


def test_abcd_keeps_order_and_repeated_speakers() -> None:
    (only,) = read("abcd", ABCD)
    roles = [message.role for message in only.messages]
    assert roles == ["assistant", "assistant", "user", "user", "tool", "assistant", "user"]
    assert [message.train for message in only.messages] == [role != "tool" for role in roles]
    assert only.messages[0].content == "Welcome in!"  # the original, not the delexed words


def test_abcd_acts_intents_goal_and_entities() -> None:
    (only,) = read("abcd", ABCD)
    assert only.goal is not None
    assert (only.goal["intent"], only.goal["flow"]) == ("late_parcel", "order_issue")
    assert only.goal["slots"]["order_id"] == "4410982237"
    assert only.goal["slots"]["account_id"] == "QX7TR20PLM"
    assert only.goal["slots"]["product"] == "corvo boots"
    assert only.messages[4].acts == [["shipping-status", None]]
    assert only.messages[2].intent == "late_parcel" and only.messages[2].acts == []
    entity = only.messages[3].entities[0]
    assert (entity.slot, entity.start, entity.text) == ("order_id", 13, "4410982237")


def test_abcd_full_file_gives_the_splits(tmp_path: Path) -> None:
    listed = json.loads(ABCD.read_text(encoding="utf-8"))
    other = copy.deepcopy(listed)
    other[0]["convo_id"] = 12
    path = tmp_path / "abcd_v1.json"
    path.write_text(json.dumps({"train": listed, "dev": other}), encoding="utf-8")
    dialogues = read("abcd", tmp_path)
    assert [(d.id, d.split) for d in dialogues] == [("abcd-11", "train"), ("abcd-12", "dev")]


@pytest.mark.parametrize("missing", ["original", "delexed"])
def test_abcd_reads_with_one_of_the_two_texts(missing: str, tmp_path: Path) -> None:
    path = spoilt(ABCD, tmp_path / "abcd.json", lambda records: records[0].pop(missing))
    (only,) = read("abcd", path)
    assert len(only.messages) == 7
    assert only.messages[0].content == ("welcome in!" if missing == "original" else "Welcome in!")


def _lose_a_delexed_turn(records: list[Any]) -> None:
    del records[0]["delexed"][3]


def _abcd_stranger(records: list[Any]) -> None:
    records[0]["original"][1][0] = "bot"


def _short_turn(records: list[Any]) -> None:
    records[0]["original"][1] = ["agent"]


def _no_texts(records: list[Any]) -> None:
    del records[0]["original"], records[0]["delexed"]


@pytest.mark.parametrize(
    ("defect", "said"),
    [
        (_lose_a_delexed_turn, "7 original turns, but 6 delexed"),
        (_abcd_stranger, "turn 1 has the speaker 'bot'"),
        (_short_turn, "not in the expected shape"),
        (_no_texts, "neither 'original' nor 'delexed'"),
    ],
)
def test_a_broken_abcd_record_is_named_or_set_aside(
    defect: Callable[[list[Any]], None], said: str, tmp_path: Path
) -> None:
    path = spoilt(ABCD, tmp_path / "abcd.json", defect)
    with pytest.raises(DialogueError, match=said) as caught:
        read("abcd", path)
    assert (caught.value.path, caught.value.dialogue_id) == (path, "11")
    rejects: list[Reject] = []
    assert list(read_source("abcd", path, rejects)) == []
    assert len(rejects) == 1 and said in rejects[0].reason


# --- files that are broken as a whole -------------------------------------------------------

BROKEN_FILES = [
    (b'[{"dialogue_id": "1_1",\n "turns": [}]', "broken JSON"),
    ('[{"utterance": "caf\u00e9"}]'.encode("latin-1"), "not UTF-8: byte 0xe9"),
    (b"", "broken JSON"),
    (b"[" * 200_000, "nested too deeply|broken JSON"),
    (b'"a text"', "not in the expected shape"),
    (b"[3]", "not in the expected shape"),
    (b"[null]", "not in the expected shape"),
]


@pytest.mark.parametrize("name", ["sgd", "abcd"])
@pytest.mark.parametrize(("data", "said"), BROKEN_FILES)
def test_a_broken_file_is_named_or_set_aside(
    name: str, data: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / ("dialogues_003.json" if name == "sgd" else "abcd_x.json")
    path.write_bytes(data)
    with pytest.raises(DialogueError, match=said) as caught:
        read(name, path)
    assert caught.value.path == path
    rejects: list[Reject] = []
    assert list(read_source(name, path, rejects)) == []
    assert [reject.path for reject in rejects] == [str(path)]


def test_records_before_a_break_are_kept_and_the_break_names_its_line(tmp_path: Path) -> None:
    good, other = SGD_RECORDS
    path = tmp_path / "dialogues_004.json"
    path.write_text(f'[\n {json.dumps(good)},\n {{"dialogue_id" "2"}},\n {json.dumps(other)}\n]')
    with pytest.raises(DialogueError, match="line 3: broken JSON.*the rest of the file is not"):
        read("sgd", path)
    rejects: list[Reject] = []
    assert [d.id for d in read_source("sgd", path, rejects)] == ["sgd-1_00000"]
    assert [(reject.path, reject.line) for reject in rejects] == [(str(path), 3)]


# --- the real files -------------------------------------------------------------------------


def test_every_turn_of_the_real_sgd_shard_is_kept_with_valid_spans() -> None:
    folder = sample("sgd")
    records = [
        record
        for file in sorted(folder.rglob("dialogues_*.json"))
        for record in json.loads(file.read_text(encoding="utf-8"))
    ]
    dialogues = read("sgd", folder)
    assert len(dialogues) == len(records) > 0
    for record, dialogue in zip(records, dialogues, strict=True):
        said = [turn["utterance"] for turn in record["turns"]]
        assert [message.content for message in validate(dialogue).messages] == said
        spans = [len(f["slots"]) for turn in record["turns"] for f in turn["frames"]]
        assert sum(len(message.entities) for message in dialogue.messages) == sum(spans)


def test_the_real_sgd_values_are_the_canonical_ones() -> None:
    dialogues = read("sgd", sample("sgd"))
    entities = [e for d in dialogues for m in d.messages for e in m.entities]
    assert sum(entity.value != entity.text for entity in entities) > 100
    times = {entity.value for entity in entities if entity.slot == "time"}
    assert times and all(len(time) == 5 and time[2] == ":" for time in times)


def test_the_real_abcd_sample_keeps_speakers_and_text() -> None:
    path = sample("abcd") / "abcd_sample.json"
    records = json.loads(path.read_text(encoding="utf-8"))
    dialogues = read("abcd", path)
    assert len(dialogues) == len(records) > 0
    for record, dialogue in zip(records, dialogues, strict=True):
        assert [m.content for m in dialogue.messages] == [text for _, text in record["original"]]
        tools = [m for m in dialogue.messages if m.role == "tool"]
        assert all(not m.train and m.acts for m in tools)
    marked = {e.slot for d in dialogues for m in d.messages for e in m.entities}
    assert {"order_id", "phone", "email", "username"} <= marked


@pytest.mark.parametrize("name", ["sgd", "abcd"])
def test_the_real_samples_survive_our_own_file(name: str, tmp_path: Path) -> None:
    dialogues = read(name, sample(name))
    write_dialogues(dialogues, tmp_path / "all.jsonl")
    assert list(read_dialogues(tmp_path / "all.jsonl")) == dialogues
