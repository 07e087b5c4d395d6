"""The steps on single dialogues through `datasets.map`, on rows shaped like the JSONL record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from course_lib.cleaning.config import CleaningConfig
from course_lib.cleaning.pipeline import run_steps
from course_lib.dialogue import Dialogue

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecordCleaner:
    """A function for `datasets.map`: a row goes through the dialogue steps; it can be pickled.

    The row comes back in its own shape, with two more fields: `changes`, a line for each change,
    and `set_aside`, the reason why the dialogue should go (it is then as it was), or "".
    """

    config: CleaningConfig = field(default_factory=CleaningConfig)

    def __call__(self, given: Mapping[str, Any]) -> Row:
        """Raises DialogueError for a row that is no dialogue record."""
        row = dict(given)  # `datasets` gives its own kind of mapping
        dialogue = Dialogue.from_dict(_without_gaps(row))
        cleaned, changes = run_steps(dialogue, self.config.dialogue_steps())
        told = [f"{change.step}: {change.reason}" for change in changes]
        reason = told[-1] if cleaned is None else ""
        return _in_shape((cleaned or dialogue).to_dict(), row) | {
            "changes": told,
            "set_aside": reason,
        }


def is_kept(row: Row) -> bool:
    """A function for `datasets.filter`: whether no step has set this row aside."""
    return not row["set_aside"]


def clean_dataset(dataset: Any, config: CleaningConfig | None = None, **options: Any) -> Any:
    """A data set of `datasets` (or a streamed one) after the steps on single dialogues.

    Same dialogues as `clean` with `steps=DIALOGUE_STEPS` keeps. `options` go to its `map`, such as
    `num_proc`; the rows keep their features.
    """
    from datasets import Features, List, Value

    if dataset.features is not None:
        added = {"changes": List(Value("string")), "set_aside": Value("string")}
        options = {"features": Features({**dataset.features, **added})} | options
    marked = dataset.map(RecordCleaner(config or CleaningConfig()), **options)
    return marked.filter(is_kept).remove_columns(["changes", "set_aside"])


def _without_gaps(row: Row) -> Row:
    """The row without the empty fields that Arrow adds to a goal's slots: all rows share them."""
    goal = row.get("goal")
    if not goal or not isinstance(goal.get("slots"), dict):
        return row
    slots = {name: value for name, value in goal["slots"].items() if value is not None}
    return row | {"goal": goal | {"slots": slots}}


def _in_shape(record: Row, row: Row) -> Row:
    """Of the record those fields that the row has; it may have fewer, or more of its own."""
    names = [name for name in record["messages"][0] if name in row["messages"][0]]
    messages = [{name: message[name] for name in names} for message in record["messages"]]
    return row | {name: record[name] for name in row if name in record} | {"messages": messages}
