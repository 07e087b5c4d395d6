"""Each format on a fixture of ours: the exact dialogues, then what is refused, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from course_lib.dialogue import Dialogue, DialogueError, Entity, Message, Reject
from course_lib.sources import read_source

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "sources"


def user(text: str, **more: Any) -> Message:
    return Message("user", text, **more)


def bot(text: str, **more: Any) -> Message:
    return Message("assistant", text, **more)


def tool(text: str) -> Message:
    return Message("tool", text, train=False)


def talk(name: str, *messages: Message, **more: Any) -> Dialogue:
    return Dialogue(name, list(messages), family_id=name, **more)


def question(name: str, text: str, intent: str, **more: Any) -> Dialogue:
    goal = {"intent": intent, "slots": {}}
    return talk(name, user(text, intent=intent), goal=goal, **more)


LOG = {"conversation": "ticket", "role": "who", "text": "said", "time": "at", "delimiter": ";"}
LOG_ROLES = {"customer": "user", "CLERK": "assistant"}

# --- exact dialogues ------------------------------------------------------------------------


def test_chat_log_csv_with_named_columns_roles_and_times() -> None:
    found = list(read_source("chat_log", FIXTURES / "chat_log.csv", roles=LOG_ROLES, **LOG))
    assert found == [
        talk(
            "chat_log-A-1",
            user("The kettle hums; is that right?"),
            bot("A low hum is fine.\nA whistle is not."),
            source="chat_log",
        ),
        talk(  # put in order of time: 09:02, 09:05 and 09:07 in UTC
            "chat_log-B-2",
            user("My lid has a crack."),
            bot("Shall I send a new lid?"),
            user("Yes, do."),
            source="chat_log",
        ),
        talk("chat_log-C-3", user("Où est ma théière ?"), source="chat_log"),
    ]


def test_chat_log_without_times_keeps_the_order_of_the_file() -> None:
    options = LOG | {"time": None}
    found = list(read_source("chat_log", FIXTURES / "chat_log.csv", roles=LOG_ROLES, **options))
    assert [m.content for m in found[1].messages][0] == "Shall I send a new lid?"


def test_chat_log_jsonl_with_the_usual_names_and_an_intent() -> None:
    path = FIXTURES / "chat_log.jsonl"
    assert list(read_source("chat_log", path, intent="topic", lang="nl")) == [
        talk(
            "chat_log-41",
            user("Do you mend toasters?", intent="repair"),
            bot("We do, on Tuesdays."),
            source="chat_log",
            lang="nl",
        ),
        talk(
            "chat_log-42",
            bot("Hello, you rang?"),
            tool("call log opened"),
            user(""),  # an empty turn is for the cleaning to judge
            source="chat_log",
            lang="nl",
        ),
    ]


def test_sharegpt() -> None:
    assert list(read_source("sharegpt", FIXTURES / "sharegpt.json")) == [
        talk(
            "sharegpt-q7",
            user("How long does a beeswax candle burn?"),
            bot("About seven hours for each hundred grams."),
            source="sharegpt",
        ),
        talk(
            "sharegpt-sharegpt-2",
            Message("system", "You sell candles."),
            user("Is the pine one in stock?"),
            bot("stock(pine)"),
            tool("4"),
            bot("Four are left."),
            source="sharegpt",
        ),
        talk("sharegpt-9", bot("Good day!"), user("Good day to you."), source="sharegpt"),
    ]


def test_alpaca() -> None:
    assert list(read_source("alpaca", FIXTURES / "alpaca.json")) == [
        talk(
            "alpaca-alpaca-1",
            user("Name a quick supper."),
            bot("Beans on toast."),
            source="alpaca",
        ),
        talk(
            "alpaca-alpaca-2",
            user("Make this kinder.\n\nNo refunds."),
            bot("I am sorry, we cannot refund this one."),
            source="alpaca",
        ),
        talk(
            "alpaca-soup",
            Message("system", "Answer in one word."),
            user("Is leek soup thick?"),
            bot("Usually."),
            source="alpaca",
        ),
    ]


def test_messages() -> None:
    assert list(read_source("messages", FIXTURES / "messages.jsonl")) == [
        talk(
            "messages-messages-1",
            Message("system", "Be brief."),
            user("Open on Sunday?"),
            bot("From ten to four."),
            source="messages",
        ),
        talk(
            "messages-tools-1",
            user("Where is parcel 88?"),
            bot('track({"parcel": 88})', acts=[["call", "track"]], train=False),
            tool("Leeds"),
            bot("It is in Leeds."),
            source="messages",
        ),
        talk(
            "messages-w0",
            user("Hm."),
            bot("Pardon?", train=False),
            user("A mop, please."),
            bot("Aisle two."),
            source="messages",
        ),
    ]


@pytest.mark.parametrize("name", ["messages", "alpaca", "sharegpt"])
def test_an_array_lines_and_loose_objects_hold_the_same_dialogues(
    name: str, tmp_path: Path
) -> None:
    """The three ways in which such a set is stored; ids of their own, as places differ."""
    source = next(FIXTURES.glob(f"{name}.json*"))
    text = source.read_text(encoding="utf-8")
    rows = (
        json.loads(text)
        if source.suffix == ".json"
        else list(map(json.loads, text.split("\n")[:2]))
    )
    rows = [{**row, "id": f"n{number}"} for number, row in enumerate(rows)]
    ways = {
        "array.json": json.dumps(rows, indent=1),
        "lines.jsonl": "\n".join(map(json.dumps, rows)),
        "loose.json": "\n".join(json.dumps(row, indent=2) for row in rows),
    }
    found = []
    for file, written in ways.items():
        (tmp_path / file).write_text(written, encoding="utf-8")
        found.append(list(read_source(name, tmp_path / file)))
    assert len(found[0]) == len(rows) and found[0] == found[1] == found[2]


def test_bitext() -> None:
    parcel = Entity("parcel_number", 17, 34, "{{Parcel Number}}", "Parcel Number")
    answer = "Let me look for {{Parcel Number}}, {{Customer's Name}}.\n\nIt should be near."
    assert list(read_source("bitext", FIXTURES / "bitext.csv")) == [
        talk(
            "bitext-bitext-2",
            user(
                "where has parcel {{Parcel Number}} got to", intent="find_parcel", entities=[parcel]
            ),
            bot(
                answer,
                entities=[
                    Entity("parcel_number", 16, 33, "{{Parcel Number}}", "Parcel Number"),
                    Entity("customer_s_name", 35, 54, "{{Customer's Name}}", "Customer's Name"),
                ],
            ),
            source="bitext",
            goal={
                "intent": "find_parcel",
                "slots": {"parcel_number": "Parcel Number"},
                "category": "PARCEL",
                "flags": "BL",
            },
        ),
        talk(
            "bitext-bitext-5",  # the answer above goes over three lines of the file
            user("can I swap the blue rug?", intent="swap_item"),
            bot(
                "Yes, bring it to {{Shop Town}}.",
                entities=[Entity("shop_town", 17, 30, "{{Shop Town}}", "Shop Town")],
            ),
            source="bitext",
            goal={"intent": "swap_item", "slots": {}, "category": "SWAP", "flags": "BQ"},
        ),
        talk(
            "bitext-bitext-6",
            user("how do I reach a person", intent="reach_person"),
            bot('Ring us; we answer "hello" ourselves.'),
            source="bitext",
            goal={"intent": "reach_person", "slots": {}, "category": "CONTACT", "flags": "B"},
        ),
    ]


def multiwoz_dialogues() -> list[Dialogue]:
    asked = "A quiet inn by Moss Lane, and a coach there."
    return [
        talk(
            "multiwoz-train-PAIR0007.json",
            user(
                asked,
                intent="find_inn",
                entities=[Entity("inn-street", 15, 24, "Moss Lane", "Moss Lane")],
                acts=[["inn-inform", "street"], ["inn-inform", "noise"]],
            ),
            bot(
                "The Grey Hen is quiet. When do you leave?",
                entities=[Entity("inn-name", 0, 12, "The Grey Hen", "The Grey Hen")],
                acts=[["inn-recommend", "name"], ["coach-request", "leaveat"]],
            ),
            user("At noon."),
            source="multiwoz",
            split="train",
            goal={
                "intent": "find_inn",
                "slots": {
                    "inn-street": "moss lane",
                    "inn-noise": "low",
                    "coach-destination": "moss lane",  # copied, so it has no span
                },
                "services": ["inn", "coach"],
            },
        ),
        talk(
            "multiwoz-train-SOLO0008.json",
            user("Thanks, no coach then."),
            bot("Very well.", acts=[["general-bye", None]]),
            source="multiwoz",
            split="train",
            goal={"intent": "", "slots": {}, "services": ["coach"]},
        ),
    ]


def test_multiwoz_with_its_acts_by_folder_and_by_file() -> None:
    folder = FIXTURES / "multiwoz"
    assert list(read_source("multiwoz", folder)) == multiwoz_dialogues()
    file = folder / "train" / "dialogues_001.json"
    assert list(read_source("multiwoz", file)) == multiwoz_dialogues()


def test_multiwoz_without_the_file_of_acts(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    file = FIXTURES / "multiwoz" / "train" / "dialogues_001.json"
    (tmp_path / "train" / file.name).write_bytes(file.read_bytes())
    expected = multiwoz_dialogues()
    for dialogue in expected:
        for message in dialogue.messages:
            message.acts = []
    assert list(read_source("multiwoz", tmp_path)) == expected


def test_multiwoz_sets_a_bad_entry_of_acts_aside_once(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        (tmp_path / split).mkdir()
        file = FIXTURES / "multiwoz" / "train" / "dialogues_001.json"
        (tmp_path / split / file.name).write_bytes(file.read_bytes())
    acts = tmp_path / "dialog_acts.json"
    acts.write_text('{"A.json": {"0": {"span_info": []}},\n "SOLO0008.json": 3}')
    with pytest.raises(DialogueError, match="the field 'dialog_act' is missing") as caught:
        list(read_source("multiwoz", tmp_path))
    assert (caught.value.path, caught.value.line, caught.value.dialogue_id) == (acts, 1, "A.json")
    rejects: list[Reject] = []
    assert len(list(read_source("multiwoz", tmp_path, rejects))) == 4
    assert [(r.line, r.dialogue_id) for r in rejects] == [(1, "A.json"), (2, "SOLO0008.json")]


def test_crosswoz() -> None:
    shop, tea, noodles = "书店", "茶馆", "面馆"
    assert list(read_source("crosswoz", FIXTURES / "crosswoz")) == [
        talk(
            "crosswoz-301",
            user(
                "你好，想找一家评分4.5分以上的书店。",
                entities=[Entity(f"{shop}-评分", 9, 15, "4.5分以上", "4.5分以上")],
                acts=[["greet", None], ["inform", f"{shop}-评分"], ["request", f"{shop}-名称"]],
            ),
            bot(  # neither the 2 inside 12 nor the 是 of a facility is an entity
                "青石书屋不错，票价12元，也有停车位。",
                entities=[Entity(f"{shop}-名称", 0, 4, "青石书屋", "青石书屋")],
                acts=[
                    ["recommend", f"{shop}-名称"],
                    ["inform", f"{shop}-楼层"],
                    ["inform", f"{shop}-设施-停车位"],
                ],
            ),
            user("谢谢！", acts=[["thank", None]]),
            lang="zh",
            source="crosswoz",
            split="dev",
            goal={
                "intent": "",
                "slots": {f"{shop}-评分": "4.5分以上", f"{shop}-名称": "青石书屋"},
                "services": [shop],
                "type": "单领域",
            },
        ),
        talk(
            "crosswoz-302",
            user("附近有茶馆和面馆吗？", acts=[["select", f"{tea}-源领域"]]),
            bot("没有符合的。", acts=[["nooffer", tea]]),
            lang="zh",
            source="crosswoz",
            split="dev",
            goal={
                "intent": "",
                "slots": {f"1.{tea}-周边": f"{noodles}, {shop}", f"{noodles}-价格": "便宜"},
                "services": [tea, noodles],
                "type": "多领域",
            },
        ),
    ]


def test_banking77() -> None:
    more = {"source": "banking77", "split": "train"}
    assert list(read_source("banking77", FIXTURES / "banking77")) == [
        question("banking77-train-2", "Why is my card still in the post?", "card_delivery", **more),
        question("banking77-train-3", "I paid twice, didn't I?", "paid_twice", **more),
        question("banking77-train-4", "Can my niece hold an account?", "age_of_holder", **more),
    ]


def test_banking77_with_numbered_labels(tmp_path: Path) -> None:
    path = tmp_path / "bank_test.csv"
    path.write_text("text,label\nIs it open?,1\nWhere to?,hours\nHm?,2\n")
    rejects: list[Reject] = []
    found = list(read_source("banking77", path, rejects, names=["place", "hours"]))
    assert [(d.goal or {})["intent"] for d in found] == ["hours", "hours"]
    assert [d.split for d in found] == ["test", "test"]
    assert rejects[0].line == 4 and "'2' is none of the 2 in names=" in rejects[0].reason
    plain = [(d.goal or {})["intent"] for d in read_source("banking77", path)]
    assert plain == ["1", "hours", "2"]


def test_clinc150_with_what_is_out_of_scope() -> None:
    path = FIXTURES / "clinc150.json"
    rows = [
        ("oos_val-1", "how tall do sunflowers get", "oos", "dev"),
        ("train-1", "wake me at six", "set_alarm", "train"),
        ("train-2", "what is left on my loan", "loan_balance", "train"),
        ("val-1", "ring the dentist", "make_a_call", "dev"),
        ("test-1", "move my alarm to seven", "set_alarm", "test"),
        ("oos_test-1", "who painted this ceiling", "oos", "test"),
    ]
    assert list(read_source("clinc150", path)) == [
        question(f"clinc150-clinc150-{name}", text, intent, source="clinc150", split=split)
        for name, text, intent, split in rows
    ]


def test_clinc150_refuses_a_folder_of_variants(tmp_path: Path) -> None:
    for name in ("data_full.json", "data_small.json"):
        (tmp_path / name).write_bytes((FIXTURES / "clinc150.json").read_bytes())
    with pytest.raises(DialogueError, match="2 variants of one set"):
        list(read_source("clinc150", tmp_path))


# --- what is refused ------------------------------------------------------------------------

ALPACA = '{"instruction": "Ask.", "output": "Tell."}'
SHARE = '{"conversations": [{"from": "human", "value": "Hi."}]}'
CHAT = '{"messages": [{"role": "user", "content": "Hi."}]}'
BITEXT = "instruction,intent,response\nwhere,find,here\n"
BANK = "text,category\nwhere,find\n"

REFUSED: list[tuple[str, str, str | bytes, int, str | None, str]] = [
    # source, rest of the name, the file, line of the bad record, its id, what is said
    (
        "alpaca",
        ".jsonl",
        f'{ALPACA}\n{{"instruction": "Ask."}}',
        2,
        "alpaca-x-2",
        "'output' is mis",
    ),
    (
        "alpaca",
        ".jsonl",
        f'{ALPACA}\n{{"id": "k", "instruction": 3}}',
        2,
        "k",
        "is no text, but int",
    ),
    (
        "alpaca",
        ".jsonl",
        ALPACA + '\n{"id": 5, "instruction": " "}',
        2,
        "5",
        "'instruction' is empty",
    ),
    ("alpaca", ".jsonl", f"{ALPACA}\n\n[1]", 3, "alpaca-x-3", "not in the expected shape"),
    ("alpaca", ".jsonl", f"{ALPACA}\n{{", 2, None, "broken JSON at character 1"),
    ("alpaca", ".jsonl", f"{ALPACA}\n{'1' * 5000}", 2, None, "broken JSON: Exceeds the limit"),
    ("alpaca", ".jsonl", f"{ALPACA}\n{'[' * 99_999}", 2, None, "nested too deeply"),
    ("alpaca", ".jsonl", ALPACA.encode() + b'\n{"a\xe9"}', 2, None, "byte 0xe9 at position 3"),
    ("alpaca", ".json", f"[{ALPACA},\n{ALPACA[:-9]}]", 2, None, "broken JSON: .*is not read"),
    ("alpaca", ".json", f"[{ALPACA},\n3]", 2, "alpaca-x-2", "record 2: not in the expected shape"),
    ("alpaca", ".json", f"[{ALPACA}\n,]", 2, None, "broken JSON: Expecting value"),
    ("alpaca", ".json", f"[{ALPACA}\n", 2, None, "broken JSON: ',' was expected"),
    ("alpaca", ".json", f"[{ALPACA}]\n[]", 2, None, "more behind the end"),
    ("alpaca", ".json", f"[{ALPACA},\n".encode() + b'"\xff', 2, None, "byte 0xff at position"),
    (
        "sharegpt",
        ".jsonl",
        f'{SHARE}\n{{"conversations": "a"}}',
        2,
        "sharegpt-x-2",
        "no list, but str",
    ),
    ("sharegpt", ".jsonl", SHARE + "\n" + SHARE.replace("human", "owl"), 2, None, "is from 'owl'"),
    ("sharegpt", ".jsonl", SHARE + "\n" + SHARE.replace('"human"', "[]"), 2, None, "unhashable"),
    (
        "sharegpt",
        ".jsonl",
        SHARE + "\n" + SHARE.replace("Hi.", " "),
        2,
        None,
        "the dialogue is empty",
    ),
    ("messages", ".jsonl", f'{CHAT}\n{{"messages": {{}}}}', 2, "messages-x-2", "no list, but dict"),
    ("messages", ".jsonl", CHAT + "\n" + CHAT.replace('"user"', '"owl"'), 2, None, "role 'owl'"),
    (
        "messages",
        ".jsonl",
        CHAT + "\n" + CHAT.replace('"Hi."', "null"),
        2,
        None,
        "no text in 'content'",
    ),
    (
        "messages",
        ".jsonl",
        CHAT + "\n" + CHAT.replace('"Hi."', '[{"type": "image_url"}]'),
        2,
        "messages-x-2",
        "message 0 has no text in 'content', but .{2}'type'",
    ),
    ("messages", ".jsonl", CHAT + "\n" + CHAT.replace("Hi.", "\\ud83d"), 2, None, "surrogate pair"),
    ("bitext", ".csv", f"{BITEXT}where,,here\n", 3, "bitext-x-3", "'intent' is empty"),
    ("bitext", ".csv", f"{BITEXT}\nwhere,find\n", 4, None, "the row has 2 cells, the first row 3"),
    ("bitext", ".csv", f'{BITEXT}"where" is,find,here\n', 3, None, "broken CSV: ',' expected"),
    (
        "bitext",
        ".csv",
        f'{BITEXT}where,find,"here\n\n',
        3,
        None,
        "broken CSV: unexpected end of data",
    ),
    ("bitext", ".csv", f"{BITEXT}a,b,{'c' * 140_000}\n", 3, None, "field larger than field limit"),
    ("bitext", ".csv", BITEXT.encode() + b'caf\xe9,"b\n",c', 3, None, "byte 0xe9 at position 3"),
    (
        "banking77",
        ".csv",
        f"{BANK}where, \n",
        3,
        "banking77-x-3",
        "neither name nor number, but ' '",
    ),
    ("banking77", ".csv", f"{BANK} ,find\n", 3, "banking77-x-3", "'text' is empty"),
    (
        "clinc150",
        ".json",
        '{"train": [["a", "b"],\n["c"]]}',
        2,
        "clinc150-x-train-2",
        "expected .text",
    ),
    (
        "clinc150",
        ".json",
        '{"train": [["a", "b"]],\n"trial": [["c", "d"]]}',
        2,
        None,
        "no known split",
    ),
    ("clinc150", ".json", '{"train": [["a", "b"]],\n"test": 3}', 2, None, "found 3"),
    ("clinc150", ".json", '{"train": [["a", "b"]],\n3: []}', 2, None, "a key in double quotes"),
]


@pytest.mark.parametrize(("name", "suffix", "data", "line", "own", "said"), REFUSED)
def test_a_bad_record_is_named_or_set_aside(
    name: str,
    suffix: str,
    data: str | bytes,
    line: int,
    own: str | None,
    said: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(DialogueError, match=said) as caught:
        list(read_source(name, path))
    assert (caught.value.path, caught.value.line) == (path, line)
    rejects: list[Reject] = []
    kept = list(read_source(name, path, rejects))
    assert (len(kept), len(rejects)) == (1, 1)  # each file holds one good record and one bad
    assert (rejects[0].path, rejects[0].line) == (str(path), line)
    assert rejects[0].reason == caught.value.reason
    assert rejects[0].dialogue_id == caught.value.dialogue_id
    assert own is None or caught.value.dialogue_id == own


WHOLE = [
    (
        "banking77",
        ".csv",
        "text;category\nwhere;find\n",
        "no column 'text'; the first row has 'text;cat",
    ),
    ("banking77", ".csv", "text,text\nwhere,find\n", "two columns have one name"),
    ("banking77", ".csv", "", "the file is empty"),
    ("banking77", ".csv", "text,category\n".encode("utf-16"), "not UTF-8: byte 0xff at position 0"),
    ("bitext", ".csv", "instruction,category\n", "no column 'intent', 'response'"),
    ("chat_log", ".csv", "conversation_id,role\n", "no column 'text'"),
    ("clinc150", ".json", "[]", "lists by split"),
    ("crosswoz", ".json", "[]", "dialogues by id"),
    ("alpaca", ".json", " \n", "the file is empty"),
]


@pytest.mark.parametrize(("name", "suffix", "data", "said"), WHOLE)
def test_a_file_of_another_shape_is_refused_whole(
    name: str, suffix: str, data: str | bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(DialogueError, match=said) as caught:
        list(read_source(name, path))
    assert caught.value.path == path and caught.value.line
    rejects: list[Reject] = []
    assert list(read_source(name, path, rejects)) == []
    assert [reject.reason for reject in rejects] == [caught.value.reason]


def _crosswoz_with(change: Any) -> str:
    records = json.loads((FIXTURES / "crosswoz" / "val.json").read_text(encoding="utf-8"))
    change(records["301"])
    return json.dumps(records)


CROSSWOZ_DEFECTS = [
    (lambda r: r.pop("messages"), "'messages' is missing"),
    (lambda r: r["messages"][1].update(role="agent"), "message 1 has the role 'agent'"),
    (lambda r: r["messages"][0]["dialog_act"][0].pop(), "not in the expected shape"),
    (lambda r: r["messages"][0]["dialog_act"][1].__setitem__(3, 7), "not in the expected shape"),
    (lambda r: r.update(final_goal=[["a"]]), "not in the expected shape"),
]


@pytest.mark.parametrize(("change", "said"), CROSSWOZ_DEFECTS)
def test_a_broken_crosswoz_dialogue_is_named_or_set_aside(
    change: Any, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "test.json"
    path.write_text(_crosswoz_with(change), encoding="utf-8")
    with pytest.raises(DialogueError, match=f"record 1: .*{said}") as caught:
        list(read_source("crosswoz", path))
    assert (caught.value.path, caught.value.dialogue_id) == (path, "301")
    rejects: list[Reject] = []
    found = list(read_source("crosswoz", path, rejects))
    assert [(d.id, d.split) for d in found] == [("crosswoz-302", "test")]
    assert [reject.dialogue_id for reject in rejects] == ["301"]


def test_a_long_wrong_value_is_cut_in_reason_and_text(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(SHARE.replace("human", "o" * 100_000))
    rejects: list[Reject] = []
    assert list(read_source("sharegpt", path, rejects)) == []
    assert len(rejects[0].reason) <= 400 and len(rejects[0].text) == 2_000


# --- chat logs: which rows make a conversation ----------------------------------------------


def log(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["conversation_id,role,text", *rows]), encoding="utf-8")
    return path


def read_log(path: Path, **options: Any) -> tuple[list[str], list[tuple[int, str | None]]]:
    rejects: list[Reject] = []
    kept = [
        d.id.removeprefix("chat_log-") for d in read_source("chat_log", path, rejects, **options)
    ]
    return kept, [(reject.line, reject.dialogue_id) for reject in rejects]


def test_a_scattered_conversation_is_refused_in_every_part(tmp_path: Path) -> None:
    path = log(tmp_path, "a,user,1", "b,user,2", "a,agent,3", "c,user,4", "a,user,5")
    assert read_log(path) == (["b", "c"], [(2, "a"), (4, "a"), (6, "a")])
    with pytest.raises(DialogueError, match="line 2, dialogue 'a': its rows stand in several"):
        list(read_source("chat_log", path))


def test_a_bad_role_sets_its_whole_conversation_aside(tmp_path: Path) -> None:
    path = log(tmp_path, "a,user,1", "a,owl,2", "a,agent,3", "b,user,4")
    assert read_log(path) == (["b"], [(3, "a")])
    with pytest.raises(DialogueError, match="line 3, dialogue 'a': the role 'owl' is none of"):
        list(read_source("chat_log", path))
    assert read_log(path, roles={"owl": "tool", "user": "user", "agent": "assistant"})[1] == []


def test_an_unreadable_row_takes_the_conversations_beside_it_with_it(tmp_path: Path) -> None:
    inside = log(tmp_path, "z,user,0", "a,user,1", "a,user", "a,agent,3", "b,user,4")
    assert read_log(inside) == (["z", "b"], [(4, None), (3, "a")])
    between = log(tmp_path, "z,user,0", "a,user,1", "a,user", ",user,9", "b,agent,3", "c,user,4")
    assert read_log(between) == (["z", "c"], [(4, None), (5, None), (3, "a"), (6, "b")])
    at_the_end = log(tmp_path, "z,user,0", "a,user,1", "a,user")
    assert read_log(at_the_end) == (["z"], [(4, None), (3, "a")])


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    path = log(tmp_path, "a,user,2024-01-02", "b,user,soon", "c,user,nan", "d,user,7")
    assert read_log(path, time="text") == (["a", "d"], [(3, "b"), (4, "c")])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"roles": {"owl": "bird"}}, "roles= maps to bird"),
        ({"delimiter": ";;"}, "delimiter= must be one character"),
        ({"delimiter": '"'}, "delimiter= must be one character"),
    ],
)
def test_options_that_cannot_work_are_refused(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(DialogueError, match=said):
        list(read_source("chat_log", log(tmp_path, "a,user,1"), **options))


def test_a_tsv_file_needs_no_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv"
    path.write_bytes('\ufeffconversation_id\trole\ttext\r\na\tAgent\tHi, "you"\r\n'.encode())
    (found,) = read_source("chat_log", path)
    assert found.messages == [bot('Hi, "you"')]
