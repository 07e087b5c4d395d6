"""Any data set of the Hugging Face Hub by its name: licence and size first, then row by row.

Nothing is downloaded as a whole: `datasets` streams the rows, and one of `ROWS` makes a dialogue
of each. A local folder of JSONL, CSV or Parquet files works the same way, without a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Reject
from course_lib.sources.alpaca import alpaca_dialogue
from course_lib.sources.banking77 import utterance_dialogue
from course_lib.sources.bitext import bitext_dialogue
from course_lib.sources.messages import messages_dialogue
from course_lib.sources.records import (
    SPLIT_OF,
    Broken,
    Found,
    Record,
    RowBuild,
    convert,
    own_name,
    printable,
)
from course_lib.sources.sharegpt import sharegpt_dialogue

ROWS: dict[str, RowBuild] = {
    "alpaca": alpaca_dialogue,
    "banking77": utterance_dialogue,
    "bitext": bitext_dialogue,
    "clinc150": utterance_dialogue,
    "messages": messages_dialogue,
    "sharegpt": sharegpt_dialogue,
    "shop": lambda row, name: Dialogue.from_dict(row),
}
NO_LICENCE = "not stated: ask the owner before you use it"
LONGEST_CAUSE = 200


@dataclass(frozen=True, slots=True)
class HubCard:
    """What to know of a data set before reading it; `size` is that of all its files in bytes."""

    name: str
    licence: str
    size: int
    gated: bool = False
    language: str | None = None
    rows: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.name}", f"  licence: {self.licence}"]
        lines += [f"  files:   {self.size / 1e6:,.1f} MB in all"]
        lines += [f"  {split}: {rows:,} rows" for split, rows in self.rows.items()]
        lines += ["  gated: its owner must let you in first"] if self.gated else []
        return "\n".join(lines)


def read_hub(
    path: str | Path,
    rejects: list[Reject] | None = None,
    *,
    rows: str | None = None,
    split: str = "train",
    config: str | None = None,
    revision: str | None = None,
    columns: Mapping[str, str] | None = None,
    show: Callable[[Any], object] = print,
) -> Iterator[Dialogue]:
    """Streams the dialogues of a Hub data set, such as "owner/name", or of a local folder.

    `rows` names the shape of its rows, one of `ROWS`; `columns` renames columns on the way, such
    as {"prompt": "instruction"}; numbered class labels become their names. `show` gets the
    HubCard before the first row is read. Raises DialogueError at once where the Hub or the data
    set cannot be reached, and later where the connection breaks, also with `rejects`.
    """
    name = path.as_posix() if isinstance(path, Path) else path
    if rows not in ROWS:
        known = ", ".join(sorted(ROWS))
        raise DialogueError(f"say in rows= which shape its rows have: one of {known}", name)
    card = describe(name, config, revision)
    show(card)
    stream = _asked(name, lambda: _stream(name, config, split, revision))
    found = _renamed(_numbered(stream, name), _label_names(stream), columns or {})
    build = _finished(ROWS[rows], card, split)
    return convert(found, f"hub:{name}/{split}", build, rejects, lambda r: own_name(r.value))


def describe(name: str, config: str | None = None, revision: str | None = None) -> HubCard:
    """Licence, size and rows of a data set, read from its card; no row is read.

    Raises DialogueError where the Hub or the data set cannot be reached.
    """
    card = _asked(
        name, lambda: _of_folder(name) if Path(name).is_dir() else _of_hub(name, revision)
    )
    splits = _asked(name, lambda: _builder(name, config, revision).info.splits) or {}
    return replace(card, rows={split: info.num_examples for split, info in splits.items()})


def _of_hub(name: str, revision: str | None) -> HubCard:
    from huggingface_hub import HfApi

    info = HfApi().dataset_info(name, revision=revision, files_metadata=True)
    size = sum(file.size or 0 for file in info.siblings or [])
    return _card(name, info.card_data, size, bool(info.gated))


def _of_folder(name: str) -> HubCard:
    from huggingface_hub import DatasetCard

    card = Path(name) / "README.md"
    size = sum(file.stat().st_size for file in Path(name).rglob("*") if file.is_file())
    return _card(name, DatasetCard.load(card).data if card.is_file() else None, size)


def _card(name: str, data: Any, size: int, gated: bool = False) -> HubCard:
    """From a card's metadata, whose licence and language are a text, a list or absent."""
    licence = getattr(data, "license", None) or getattr(data, "license_name", None) or NO_LICENCE
    languages = getattr(data, "language", None) or []
    languages = [languages] if isinstance(languages, str) else languages
    text = licence if isinstance(licence, str) else ", ".join(map(str, licence))
    return HubCard(name, text, size, gated, languages[0] if len(languages) == 1 else None)


def _builder(name: str, config: str | None, revision: str | None) -> Any:
    from datasets import load_dataset_builder

    return load_dataset_builder(name, config, revision=revision)


def _stream(name: str, config: str | None, split: str, revision: str | None) -> Any:
    from datasets import load_dataset

    return load_dataset(name, config, split=split, revision=revision, streaming=True)


def _asked(name: str, ask: Callable[[], Any]) -> Any:
    """What `ask` gives; whatever the libraries raise becomes a DialogueError that says the cure."""
    try:
        return ask()
    except Exception as error:  # the libraries let through errors of several HTTP clients
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> DialogueError:
    cause = printable(str(error).strip() or type(error).__name__, LONGEST_CAUSE)
    if isinstance(error, ValueError):
        return DialogueError(f"cannot be read: {cause}", name)
    cure = "check its name, the network, HF_HUB_OFFLINE and, where it is gated, your login"
    return DialogueError(f"the Hub does not give this data set ({cause}); {cure}", name)


def _numbered(stream: Any, name: str) -> Iterator[Found]:
    """Rows with their number from 1; data that break end the stream as one Broken."""
    number = 0
    try:
        for number, row in enumerate(stream, start=1):
            yield Record(number, row)
    except ValueError as error:  # pyarrow's too
        cause = printable(str(error), LONGEST_CAUSE)
        yield Broken(number + 1, f"nothing behind row {number} can be read: {cause}")
    except Exception as error:
        raise _unreachable(name, error) from error


def _label_names(stream: Any) -> dict[str, list[str]]:
    """The names of each column of numbered classes."""
    from datasets import ClassLabel

    features = (stream.features or {}).items()
    return {
        column: list(map(str, feature.names))
        for column, feature in features
        if isinstance(feature, ClassLabel)
    }


def _renamed(
    rows: Iterator[Found], labels: dict[str, list[str]], columns: Mapping[str, str]
) -> Iterator[Found]:
    for row in rows:
        if isinstance(row, Record):
            named = {**row.value, **{c: _named(row.value[c], labels[c]) for c in labels}}
            row = replace(row, value={columns.get(c, c): cell for c, cell in named.items()})
        yield row


def _named(label: Any, names: list[str]) -> str | None:
    return names[label] if isinstance(label, int) and 0 <= label < len(names) else None


def _finished(build: RowBuild, card: HubCard, split: str) -> Callable[[Record], Dialogue]:
    def finished(record: Record) -> Dialogue:
        name = f"{card.name.strip('/').replace('/', '-')}-{split}-{record.place}"
        dialogue = build(record.value, name)
        return replace(
            dialogue,
            source=dialogue.source or card.name,
            split=SPLIT_OF.get(split, split),
            family_id=dialogue.family_id or dialogue.id,
            lang=card.language or dialogue.lang,
        )

    return finished
