"""Data sets of the Hub: a local folder through the real library, and the network as a fake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from course_lib.dialogue import Dialogue, DialogueError, Message, Reject
from course_lib.sources import read_source
from course_lib.sources.hub import ROWS, HubCard, describe

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "sources" / "hub"


def question(name: str, text: str, intent: str, split: str) -> Dialogue:
    return Dialogue(
        name,
        [Message("user", text, intent=intent)],
        source=str(FOLDER),
        split=split,
        family_id=name,
        goal={"intent": intent, "slots": {}},
    )


# --- a local folder -------------------------------------------------------------------------


def test_a_folder_shows_its_card_and_streams_with_the_names_of_its_labels() -> None:
    shown: list[Any] = []
    found = list(read_source("hub", FOLDER, rows="banking77", show=shown.append))
    stem = str(FOLDER).strip("/").replace("/", "-")
    assert found == [
        question(f"{stem}-train-1", "My tap drips at night.", "plumbing", "train"),
        question(f"{stem}-train-2", "Send me the bill again.", "billing", "train"),
        question(f"{stem}-train-3", "The boiler sings.", "plumbing", "train"),
    ]
    (card,) = shown
    size = sum(file.stat().st_size for file in FOLDER.iterdir())
    assert card == HubCard(str(FOLDER), "cc-by-4.0", size, False, "en", {"train": 3, "test": 1})


def test_another_split_and_renamed_columns() -> None:
    options: dict[str, Any] = {"rows": "alpaca", "split": "test", "show": lambda card: None}
    options["columns"] = {"text": "instruction", "label": "output"}
    (found,) = read_source("hub", FOLDER, **options)
    assert [m.content for m in found.messages] == ["Is the bill late?", "billing"]
    assert found.split == "test"


def test_a_folder_of_chats_without_a_card(tmp_path: Path) -> None:
    lines = [
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Mm"}]}',
        '{"messages": [{"role": "owl", "content": "Hoo."}, {"role": "user", "content": "Oh."}]}',
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n")
    cards: list[Any] = []
    rejects: list[Reject] = []
    kept = list(read_source("hub", tmp_path, rejects, rows="messages", show=cards.append))
    assert [[m.content for m in d.messages] for d in kept] == [["Hi", "Mm"]]
    assert [(r.line, r.path) for r in rejects] == [(2, f"hub:{tmp_path.as_posix()}/train")]
    assert "role 'owl'" in rejects[0].reason
    assert "not stated" in str(cards[0])


def test_rows_must_be_said_and_known() -> None:
    for options in ({}, {"rows": "parrot"}):
        with pytest.raises(DialogueError, match="say in rows= .* alpaca, banking77, bitext"):
            read_source("hub", FOLDER, **options)


def test_a_split_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(DialogueError, match="cannot be read: .*nope"):
        read_source("hub", FOLDER, rows="banking77", split="nope", show=lambda card: None)


def test_data_that_break_are_one_reject_behind_the_rows_before(tmp_path: Path) -> None:
    (tmp_path / "a_train.csv").write_text("text,label\nOne.,x\nTwo.,y\n")
    (tmp_path / "b_train.csv").write_text('text,label\n"Three,x\n')
    options: dict[str, Any] = {"rows": "banking77", "show": lambda card: None}
    rejects: list[Reject] = []
    kept = list(read_source("hub", tmp_path, rejects, **options))
    assert [d.messages[0].content for d in kept] == ["One.", "Two."]
    assert len(rejects) == 1 and "nothing behind row 2 can be read" in rejects[0].reason
    with pytest.raises(DialogueError, match="nothing behind row 2"):
        list(read_source("hub", tmp_path, **options))


def test_every_shape_of_rows_has_its_adapter() -> None:
    assert set(ROWS) >= {"messages", "sharegpt", "alpaca", "bitext", "banking77", "shop"}


# --- the network ----------------------------------------------------------------------------


def test_offline_the_error_says_what_to_check() -> None:
    for ask in (describe, lambda name: read_source("hub", name, rows="alpaca")):
        with pytest.raises(DialogueError, match="owner/nothing: the Hub does not give.*network"):
            ask("owner/nothing")


class Stream:
    """What `load_dataset(..., streaming=True)` gives, as far as we use it."""

    features = None

    def __init__(self, rows: list[dict[str, Any]], fault: Exception | None = None) -> None:
        self._rows, self._fault = rows, fault

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._rows
        if self._fault:
            raise self._fault


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A Hub with one gated data set; `asked` holds what the libraries were asked for."""
    import datasets
    import huggingface_hub

    asked: dict[str, Any] = {"stream": Stream([{"instruction": "Zeg eens.", "output": "Goed."}])}

    def dataset_info(self: Any, name: str, **options: Any) -> Any:
        asked["info"] = (name, options)
        files = [SimpleNamespace(size=2_500_000), SimpleNamespace(size=None)]
        data = SimpleNamespace(license=["mit", "cc0-1.0"], language=["nl"])
        return SimpleNamespace(card_data=data, siblings=files, gated="manual")

    def builder(*names: Any, **options: Any) -> Any:
        asked["builder"] = (names, options)
        splits = {"validation": SimpleNamespace(num_examples=12_000)}
        return SimpleNamespace(info=SimpleNamespace(splits=splits))

    def load(*names: Any, **options: Any) -> Stream:
        asked["load"] = (names, options)
        return asked["stream"]

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


OPTIONS: dict[str, Any] = {
    "rows": "alpaca",
    "config": "small",
    "split": "validation",
    "revision": "abc",
}


def test_licence_and_size_are_shown_before_the_first_row(
    network: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    dialogues = read_source("hub", "owner/talks", **OPTIONS)
    said = capsys.readouterr().out
    for part in ("owner/talks", "mit, cc0-1.0", "2.5 MB", "validation: 12,000 rows", "gated"):
        assert part in said
    (found,) = dialogues
    assert (found.id, found.source) == ("owner-talks-validation-1", "owner/talks")
    assert (found.split, found.lang) == ("dev", "nl")
    assert network["info"] == ("owner/talks", {"revision": "abc", "files_metadata": True})
    assert network["builder"] == (("owner/talks", "small"), {"revision": "abc"})
    streamed = {"split": "validation", "revision": "abc", "streaming": True}
    assert network["load"] == (("owner/talks", "small"), streamed)


def test_a_connection_that_breaks_stops_the_reading_also_with_rejects(
    network: dict[str, Any],
) -> None:
    rows = [{"instruction": "Een.", "output": "Twee."}]
    network["stream"] = Stream(rows, ConnectionError("the line went dead"))
    rejects: list[Reject] = []
    dialogues = read_source("hub", "owner/talks", rejects, show=lambda card: None, **OPTIONS)
    assert next(dialogues).messages[0].content == "Een."
    with pytest.raises(DialogueError, match="the line went dead"):
        next(dialogues)
    assert rejects == []
