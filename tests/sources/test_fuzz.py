"""Ten thousand spoilt records through every reader: each is read, or refused with its line."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from course_lib.dialogue import (
    Dialogue,
    DialogueError,
    Reject,
    read_dialogues,
    write_dialogues,
    write_jsonl,
)
from course_lib.sources import read_source

FUZZED = 10_000
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SOURCES = FIXTURES / "sources"
STRANGE = [None, True, 0, -1, 3.5, 10**30, float("nan"), "", " ", "x", "\ud83d", "\x00", "train"]
NESTED = ["[]", "[null]", "{}", '{"id": 1}', "[[]]", '{"id": []}', '[["a", "b"]]']
HUGE = "n" * 150_000


def load(*parts: str) -> Any:
    return json.loads(FIXTURES.joinpath(*parts).read_text(encoding="utf-8"))


def lines(*parts: str) -> list[Any]:
    text = FIXTURES.joinpath(*parts).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]


# --- how a record is spoilt -----------------------------------------------------------------


def strange(rng: random.Random) -> Any:
    if rng.random() < 0.002:
        return HUGE
    return rng.choice(STRANGE) if rng.random() < 0.6 else json.loads(rng.choice(NESTED))


def wrong_type(seed: str, rng: random.Random) -> str:
    """One to three fields of a JSON record lost, doubled or of another type."""
    value = json.loads(seed)
    for _ in range(rng.randint(1, 3)):
        holder, key = value, None
        while isinstance(holder, (dict, list)) and holder:
            inner = (
                rng.choice([*holder]) if isinstance(holder, dict) else rng.randrange(len(holder))
            )
            if not isinstance(holder[inner], (dict, list)) or rng.random() < 0.3:
                key = inner
                break
            holder = holder[inner]
        if key is not None and rng.random() < 0.25:
            del holder[key]
        elif key is not None:
            holder[key] = strange(rng)
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


def cut(seed: bytes, rng: random.Random) -> bytes:
    return seed[: rng.randrange(1, len(seed))]


def stray_bytes(seed: bytes, rng: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.randint(1, 5)):
        where = rng.randrange(len(data))
        data[where : where + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
    return bytes(data) or b"{"


def zeros(seed: bytes, rng: random.Random) -> bytes:
    where = rng.randrange(len(seed))
    return seed[:where] + b"\x00" * rng.randint(1, 4) + seed[where:]


def other_encoding(seed: bytes, rng: random.Random) -> bytes:
    text = seed.decode("utf-8", errors="replace")
    name = rng.choice(["utf-16", "utf-16-le", "utf-8-sig", "cp1252", "utf-32", "gb18030"])
    return text.replace("e", "\u00e9").encode(name, errors="replace")


def monster(seed: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.9:
        return seed * 2
    return rng.choice([b"[" * 50_000, b"9" * 5_000, seed[:-1] + HUGE.encode()])


def spoilt_bytes(seed: bytes, rng: random.Random) -> bytes:
    way = rng.choice([cut, stray_bytes, stray_bytes, zeros, other_encoding, monster])
    return way(seed, rng)


def on_one_line(data: bytes) -> bytes:
    """Without line ends, and not blank: one line that counts."""
    data = data.replace(b"\n", b"").replace(b"\r", b"")
    return data if data.decode("utf-8", errors="replace").strip("\ufeff").strip() else b"{"


def spoilt_json(seed: str, rng: random.Random) -> bytes:
    if rng.random() < 0.6:
        return on_one_line(wrong_type(seed, rng).encode("utf-8", errors="surrogatepass"))
    return on_one_line(spoilt_bytes(seed.encode("utf-8"), rng))


# --- what must hold of any reading ----------------------------------------------------------


def read_all(name: str, path: Path, **options: Any) -> tuple[list[Dialogue], list[Reject]]:
    """The dialogues and rejects of a file; both can be written, and each reject has its place."""
    rejects: list[Reject] = []
    kept = list(read_source(name, path, rejects, **options))
    last = path.read_bytes().count(b"\n") + 1
    for reject in rejects:
        assert reject.path == str(path) and 1 <= reject.line <= last and reject.reason
    some = kept[:1_000]
    write_dialogues(some, path.with_name("kept.out"))
    assert list(read_dialogues(path.with_name("kept.out"))) == some
    write_jsonl(map(asdict, rejects), path.with_name("rejects.out"))
    return kept, rejects


def check_alone(name: str, head: bytes, some: list[bytes], path: Path, **options: Any) -> None:
    """Without a list of rejects a lone spoilt line is read, or raises with file and line."""
    refused = 0
    for line in some:
        path.write_bytes(head + line + b"\n")
        try:
            list(read_source(name, path, **options))
        except DialogueError as error:
            refused += 1
            assert error.path == path and error.line in (1, 1 + head.count(b"\n"))
    assert refused > len(some) // 5


JSONL_SEEDS: dict[str, Callable[[], list[Any]]] = {
    "shop": lambda: [d.to_dict() for d in read_source("sgd", FIXTURES / "sgd")],
    "alpaca": lambda: load("sources", "alpaca.json"),
    "sharegpt": lambda: load("sources", "sharegpt.json"),
    "messages": lambda: lines("sources", "messages.jsonl"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", JSONL_SEEDS)
def test_spoilt_lines_of_jsonl(name: str, tmp_path: Path) -> None:
    rng = random.Random(name)
    seeds = [json.dumps(seed, ensure_ascii=False) for seed in JSONL_SEEDS[name]()]
    spoilt = [spoilt_json(rng.choice(seeds), rng) for _ in range(FUZZED)]
    path = tmp_path / "spoilt.jsonl"
    path.write_bytes(b"\n".join(spoilt))
    kept, rejects = read_all(name, path)
    assert len(kept) + len(rejects) == FUZZED
    assert len({reject.line for reject in rejects}) == len(rejects)
    assert len(kept) > FUZZED // 50 and len(rejects) > FUZZED // 4  # both ways are walked
    check_alone(name, b"", spoilt[:100], tmp_path / "alone.jsonl")


# --- CSV ------------------------------------------------------------------------------------


def csv_line(cells: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue().encode("utf-8")


def spoilt_row(seed: list[str], rng: random.Random) -> bytes:
    """A row with a cell lost, doubled, emptied or strange, or with its bytes spoilt."""
    if rng.random() < 0.5:
        line = spoilt_bytes(csv_line(seed), rng)
        # a stray quote swallows the lines behind it: often enough one is left
        return line if rng.random() < 0.1 else line.replace(b'"', b"'")
    cells, where = list(seed), rng.randrange(len(seed))
    odd = rng.choice(["", " ", "\x00", "a\nb", "\u2028", 'a "b"', "42", "{{}}", "{{A b}}"])
    cells[where] = HUGE if rng.random() < 0.002 else odd
    if rng.random() < 0.2:
        cells = cells[:where] + cells[where + rng.randint(1, 2) - 1 :] + cells[-1:]
    return csv_line(cells)


def csv_units(data: bytes, width: int) -> Iterator[list[str] | None]:
    """Each row below the header as the csv module sees it; None for one that is unreadable."""
    text = data.decode("utf-8", errors="surrogateescape")
    rows = csv.reader(_split(text), strict=True)
    next(rows)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        bad = any("\udc80" <= char <= "\udcff" for cell in cells for char in cell)
        if cells:
            yield None if bad or len(cells) != width else cells


def _split(text: str) -> Iterator[str]:
    """Lines by \\n alone, as a binary file has them."""
    yield from io.StringIO(text, newline="\n")


BITEXT = ["instruction", "intent", "response", "flags"]
BANKING = ["text", "category"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "header", "seeds"),
    [
        ("bitext", BITEXT, [["where is {{Order}}", "find", "Let me see, {{Name}}.", "B"]]),
        ("banking77", BANKING, [["Why, oh why?", "why"], ["Caf\u00e9 or not", "find"]]),
    ],
)
def test_spoilt_rows_of_csv(
    name: str, header: list[str], seeds: list[list[str]], tmp_path: Path
) -> None:
    rng = random.Random(name)
    spoilt = [spoilt_row(rng.choice(seeds), rng) for _ in range(FUZZED)]
    path, head = tmp_path / "spoilt.csv", csv_line(header) + b"\n"
    path.write_bytes(head + b"\n".join(spoilt) + b"\n")
    kept, rejects = read_all(name, path)
    units = list(csv_units(path.read_bytes(), len(header)))
    assert len(kept) + len(rejects) == len(units) > FUZZED // 2
    assert len(rejects) >= units.count(None) > 0
    assert len(kept) > FUZZED // 50 and len(rejects) > FUZZED // 10
    check_alone(name, head, [on_one_line(line) for line in spoilt[:100]], tmp_path / "alone.csv")


# --- chat logs ------------------------------------------------------------------------------


def runs_and_gaps(keys: list[str | None]) -> int:
    """Unreadable rows, and runs of readable ones with one id: what a chat log must account for."""
    runs = groupby(key for key in keys if key is not None)
    return sum(1 for _ in runs) + keys.count(None)


def key_of(found: Any) -> str | None:
    """The id in a chat row as text; None where there is none."""
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) and found.strip() else None


def chat_rows(rng: random.Random) -> Iterator[tuple[int, list[str], bool]]:
    """(conversation, row, whether to spoil it); half of the conversations stay clean."""
    number, spoilt = 0, 0
    while spoilt < FUZZED:
        number, spoil = number + 1, rng.random() < 0.5
        for turn in range(rng.randint(1, 3)):
            spoilt += spoil
            yield number, [f"c{number}", ("user", "agent")[turn % 2], f"Turn {turn}, yes."], spoil


CHAT = ["conversation_id", "role", "text"]


@pytest.mark.slow
def test_spoilt_rows_of_a_csv_chat_log(tmp_path: Path) -> None:
    rng = random.Random(5)
    path = tmp_path / "log.csv"
    rows = [spoilt_row(row, rng) if spoil else csv_line(row) for _, row, spoil in chat_rows(rng)]
    path.write_bytes(csv_line(CHAT) + b"\n" + b"\n".join(rows) + b"\n")
    kept, rejects = read_all("chat_log", path)
    keys = [cells and key_of(cells[0]) for cells in csv_units(path.read_bytes(), len(CHAT))]
    assert len(kept) + len(rejects) == runs_and_gaps([key or None for key in keys])
    assert len(kept) > FUZZED // 50 and len(rejects) > FUZZED // 10


@pytest.mark.slow
def test_spoilt_rows_of_a_jsonl_chat_log(tmp_path: Path) -> None:
    rng = random.Random(6)
    path, rows = tmp_path / "log.jsonl", []
    for _, row, spoil in chat_rows(rng):
        seed = json.dumps(dict(zip(CHAT, row, strict=True)))
        rows.append(spoilt_json(seed, rng) if spoil else seed.encode())
    path.write_bytes(b"\n".join(rows))
    kept, rejects = read_all("chat_log", path)
    assert len(kept) + len(rejects) == runs_and_gaps([_json_key(row) for row in rows])
    assert len(kept) > FUZZED // 50 and len(rejects) > FUZZED // 10


def _json_key(row: bytes) -> str | None:
    try:
        value = json.loads(row.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return key_of(value.get(CHAT[0])) if isinstance(value, dict) else None


# --- JSON files -----------------------------------------------------------------------------

JSON_SEEDS: dict[str, Callable[[], list[Any]]] = {
    "sgd": lambda: load("sgd", "train", "dialogues_001.json"),
    "abcd": lambda: load("abcd_small.json"),
    "multiwoz": lambda: load("sources", "multiwoz", "train", "dialogues_001.json"),
    "crosswoz": lambda: list(load("sources", "crosswoz", "val.json").values()),
    "clinc150": lambda: load("sources", "clinc150.json")["train"],
    "alpaca": lambda: load("sources", "alpaca.json"),
}


def as_file(name: str, records: list[str]) -> str:
    """Records one a line in the shape of the format's file; the first stands on line 2."""
    if name == "crosswoz":
        members = [f"{json.dumps(str(n))}: {record}" for n, record in enumerate(records)]
        return "{\n" + ",\n".join(members) + "\n}"
    array = "[\n" + ",\n".join(records) + "\n]"
    return '{"train": ' + array + "}" if name == "clinc150" else array


@pytest.mark.slow
@pytest.mark.parametrize("name", JSON_SEEDS)
def test_spoilt_records_of_a_json_file(name: str, tmp_path: Path) -> None:
    rng = random.Random(name)
    seeds = [json.dumps(seed) for seed in JSON_SEEDS[name]()]
    spoilt = [wrong_type(rng.choice(seeds), rng) for _ in range(FUZZED)]
    path = tmp_path / "spoilt.json"
    path.write_text(as_file(name, spoilt), encoding="utf-8", errors="backslashreplace")
    kept, rejects = read_all(name, path)
    assert len(kept) + len(rejects) == FUZZED
    assert len({reject.line for reject in rejects}) == len(rejects)
    assert len(kept) > FUZZED // 50 and len(rejects) > FUZZED // 10


@pytest.mark.slow
@pytest.mark.parametrize("name", JSON_SEEDS)
def test_json_files_with_spoilt_bytes(name: str, tmp_path: Path) -> None:
    """A file is read up to its first broken place, which is one more reject; never a crash."""
    rng = random.Random(name)
    seeds = [json.dumps(seed, ensure_ascii=False) for seed in JSON_SEEDS[name]()]
    path, broken = tmp_path / "spoilt.json", 0
    whole = as_file(name, [rng.choice(seeds) for _ in range(5)]).encode()
    for _ in range(max(20, FUZZED // 50)):
        path.write_bytes(spoilt_bytes(whole, rng))
        kept, rejects = read_all(name, path)
        assert kept or rejects
        ends = [reject for reject in rejects if "the rest of the file is not read" in reject.reason]
        assert ends == rejects[len(rejects) - len(ends) :] and len(ends) <= 1
        broken += len(ends)
    assert broken > FUZZED // 200
