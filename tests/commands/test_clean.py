"""`course_lib clean`: what it writes adds up to what it read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from course_lib.__main__ import main
from course_lib.cleaning import config_for
from course_lib.dialogue import read_dialogues

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def raw_line(name: str, asked: str, said: str) -> str:
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return json.dumps({"id": name, "messages": turns})


def raw_file(folder: Path) -> Path:
    talks = [
        ("a", "Is the caf\u00c3\u00a9 open?", "Yes. Our hotline is 0800 555 0134."),
        ("b", "IS THE CAF\u00c9 OPEN?", "yes; our hotline is 0800 555 0134"),
        ("c", "Call me on 07700 900123", "I will."),
    ]
    lines = [raw_line(*one) for one in talks]
    path = folder / "raw.jsonl"
    path.write_text("\n".join([*lines, '{"id": "d"']) + "\n", encoding="utf-8")
    return path


def places(folder: Path) -> list[str]:
    return ["--out", str(folder / "clean.jsonl"), "--rejects", str(folder / "rejects.jsonl")]


def test_clean_writes_what_is_kept_and_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", str(raw_file(tmp_path)), *places(tmp_path), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    kept = list(read_dialogues(tmp_path / "clean.jsonl"))
    lines = (tmp_path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    rejects = [json.loads(line) for line in lines]
    assert (counts["read"], counts["kept"], counts["rejected"]) == (4, len(kept), len(rejects))
    assert kept[0].messages[0].content == "Is the caf\u00e9 open?"
    assert "0800 555 0134" in kept[0].messages[1].content
    assert kept[1].messages[0].content == "Call me on [PHONE]"
    assert [(r["id"], r["step"], r["equals"], r["line"]) for r in rejects] == [
        ("b", "deduplicate", "a", None),
        (None, "read", None, 4),
    ]
    assert rejects[1]["text"] == '{"id": "d"'


@pytest.mark.parametrize(
    ("source", "path", "kept"),
    [("sgd", FIXTURES / "sgd", 2), ("abcd", FIXTURES / "abcd_small.json", 1)],
)
def test_clean_reads_other_sources(
    source: str, path: Path, kept: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", str(path), *places(tmp_path), "--source", source]) == 0
    assert "kept" in capsys.readouterr().out
    assert len(list(read_dialogues(tmp_path / "clean.jsonl"))) == kept


LOG = """talk;who;body
1;client;My lamp blinks.
1;clerk;Please charge it.
2;client;Thanks.
2;clerk;Gladly.
"""
NAMED = ["conversation=talk", "role=who", "text=body", "delimiter=;"]
ROLES = ["roles.client=user", "roles.clerk=assistant"]


def options(given: list[str]) -> list[str]:
    return [part for one in given for part in ("--option", one)]


def chat_log(folder: Path, given: list[str]) -> list[str]:
    path = folder / "log.csv"
    path.write_text(LOG, encoding="utf-8")
    return ["clean", str(path), *places(folder), "--source", "chat_log", *options(given)]


@pytest.mark.parametrize("way", [[], ["--stream"]])
def test_columns_and_roles_of_a_log_are_named_by_the_caller(tmp_path: Path, way: list[str]) -> None:
    assert main([*chat_log(tmp_path, NAMED + ROLES), *way]) == 0
    kept = list(read_dialogues(tmp_path / "clean.jsonl"))
    assert [d.messages[1].role for d in kept] == ["assistant", "assistant"]
    assert kept[0].messages[0].content == "My lamp blinks."


def test_a_role_that_nobody_named_is_set_aside(tmp_path: Path) -> None:
    assert main(chat_log(tmp_path, NAMED)) == 0
    assert list(read_dialogues(tmp_path / "clean.jsonl")) == []
    rejects = (tmp_path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rejects) == 2 and "clerk" in rejects[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["body"], "is not NAME=VALUE"),
        (["=body"], "is not NAME=VALUE"),
        (["roles=clerk"], "give roles.THEIRS=OURS"),
        (["words=body"], "no option words; it takes conversation"),
    ],
)
def test_an_option_that_is_none_is_named(
    tmp_path: Path, given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(chat_log(tmp_path, given)) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "clean.jsonl").exists()


def test_a_missing_file_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", str(tmp_path / "gone.jsonl"), *places(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "gone.jsonl" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_raw_file_is_never_overwritten(tmp_path: Path) -> None:
    raw = raw_file(tmp_path)
    before = raw.read_bytes()
    assert main(["clean", str(raw), "--out", str(raw), "--rejects", str(tmp_path / "r")]) == 1
    assert raw.read_bytes() == before


def test_only_our_own_shop_has_contacts_to_allow() -> None:
    assert "0800 555 0134" in config_for("shop").allow
    assert config_for("sgd").allow == ()


def test_a_report_file_is_scored_like_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    entries = [
        {"raw_line": 2, "id": "b", "kind": "copy", "action": "drop", "of": "a"},
        {"raw_line": 3, "id": "c", "kind": "phone", "action": "redact",
         "expect": ["Call me on [PHONE]", "I will."]},
        {"raw_line": 4, "id": None, "kind": "broken", "action": "drop"},
    ]  # fmt: skip
    ledger.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    report = tmp_path / "report.json"
    raw = str(raw_file(tmp_path))
    assert main(["clean", raw, *places(tmp_path), "--report", str(report), "--json"]) == 0
    capsys.readouterr()
    files = ["--out", str(tmp_path / "clean.jsonl"), "--report", str(report)]
    assert main(["score", str(ledger), *files, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.pop("harmed") == 1.0  # the one line left, a, had its encoding repaired
    assert set(figures) == {"copy", "phone", "broken"}
    assert all(row == {"recall": 1.0, "precision": row["precision"], "exact": 1.0}
               for row in figures.values())  # fmt: skip
    assert main(["score", str(ledger), *files]) == 0
    assert "harmed" in capsys.readouterr().out


def test_another_file_is_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ledger.jsonl").write_text("")
    (tmp_path / "clean.jsonl").write_text("")
    for text in ("[]", "{", '{"rejected": []}'):
        (tmp_path / "report.json").write_text(text)
        files = ["--out", str(tmp_path / "clean.jsonl"), "--report", str(tmp_path / "report.json")]
        assert main(["score", str(tmp_path / "ledger.jsonl"), *files]) == 1
        assert "no report" in capsys.readouterr().err


def test_two_processes_give_the_same_files(tmp_path: Path) -> None:
    results = []
    for processes in ("1", "2"):
        folder = tmp_path / processes
        folder.mkdir()
        raw = str(raw_file(folder))
        report = ["--report", str(folder / "report.json"), "--processes", processes]
        assert main(["clean", raw, *places(folder), *report]) == 0
        results.append([(folder / n).read_bytes() for n in
                        ("clean.jsonl", "rejects.jsonl", "report.json")])  # fmt: skip
    assert results[0] == results[1]


def test_a_stream_gives_the_same_files_and_says_what_it_learned_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = []
    for extra in ([], ["--stream"], ["--stream", "--processes", "2", "--near", "lsh"]):
        folder = tmp_path / f"run{len(results)}"
        folder.mkdir()
        raw, report = str(raw_file(folder)), str(folder / "report.json")
        held = folder / "held.jsonl"
        held.write_text(raw_line("h", "Call me on [PHONE]", "I will."), encoding="utf-8")
        options = [*places(folder), "--report", report, "--held-out", str(held), *extra]
        assert main(["clean", raw, *options]) == 0
        printed = capsys.readouterr().out
        assert ("learned from each part" in printed) == bool(extra)
        found = json.loads(Path(report).read_text(encoding="utf-8"))
        assert bool(found.pop("notes", [])) == bool(extra)
        files = [(folder / name).read_bytes() for name in ("clean.jsonl", "rejects.jsonl")]
        results.append([*files, found])
    assert results[0] == results[1] == results[2]
    assert results[0][2]["counts"]["rejected by remove_leaks"] == 1


def test_a_streams_report_is_scored_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger, report = tmp_path / "ledger.jsonl", tmp_path / "report.json"
    entry = {"raw_line": 2, "id": "b", "kind": "copy", "action": "drop", "of": "a"}
    ledger.write_text(json.dumps(entry) + "\n")
    options = [*places(tmp_path), "--report", str(report), "--stream"]
    assert main(["clean", str(raw_file(tmp_path)), *options]) == 0
    capsys.readouterr()
    files = ["--out", str(tmp_path / "clean.jsonl"), "--report", str(report)]
    assert main(["score", str(ledger), *files, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["copy"]["exact"] == 1.0


def test_near_copies_are_found_in_the_way_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = str(raw_file(tmp_path))
    assert main(["clean", raw, *places(tmp_path), "--near", "lsh", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rejected by deduplicate"] == 1
    assert main(["clean", raw, *places(tmp_path), "--near", "exact", "--stream"]) == 1
    assert "leave out --stream or --near exact" in capsys.readouterr().err


def test_held_out_given_twice_loses_neither_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last one used to win, and the leaks of the others stayed in silently."""
    held, other = tmp_path / "held.jsonl", tmp_path / "other.jsonl"
    held.write_text(raw_line("h", "Call me on [PHONE]", "I will."), encoding="utf-8")
    other.write_text(raw_line("o", "Where is my umbrella?", "In your hand."), encoding="utf-8")
    twice = ["--held-out", str(held), "--held-out", str(other), "--json"]
    assert main(["clean", str(raw_file(tmp_path)), *places(tmp_path), *twice]) == 0
    assert json.loads(capsys.readouterr().out)["rejected by remove_leaks"] == 1
