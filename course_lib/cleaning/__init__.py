"""Repair, filter, redact and deduplicate dialogues; each step says what it changed and why.

A step takes one dialogue and returns the cleaned one (or None, to set it aside) with a list of
`Change`. Steps never alter what they are given. `clean` runs them over a whole data set and its
`CleaningReport` accounts for every dialogue that was read; `clean_stream` does the same for more
than memory holds, `clean_dataset` runs the steps on single dialogues through `datasets.map`.
"""

from __future__ import annotations

from course_lib.cleaning.changes import (
    Change,
    Rejected,
    Step,
    StepResult,
    apply_edits,
    edits_between,
    move_entities,
    move_span,
    normalised,
)
from course_lib.cleaning.config import (
    DATA_SET_STEPS,
    DIALOGUE_STEPS,
    STEPS,
    CleaningConfig,
    config_for,
)
from course_lib.cleaning.duplicates import (
    NearIndex,
    deduplicate,
    jaccard,
    near_index,
    remove_leaks,
    shingles,
)
from course_lib.cleaning.files import write_stream
from course_lib.cleaning.habits import find_cut_replies, find_swapped_roles, role_odds
from course_lib.cleaning.mapping import RecordCleaner, clean_dataset
from course_lib.cleaning.personal import (
    PersonalItem,
    contact_key,
    find_personal_data,
    redact_personal_data,
)
from course_lib.cleaning.pipeline import clean, clean_stream, stream_notes
from course_lib.cleaning.report import CleaningReport, Totals
from course_lib.cleaning.text import repair_text, repaired
from course_lib.cleaning.turns import check_roles, drop_empty_turns, drop_loops

__all__ = [
    "DATA_SET_STEPS",
    "DIALOGUE_STEPS",
    "STEPS",
    "Change",
    "CleaningConfig",
    "CleaningReport",
    "NearIndex",
    "PersonalItem",
    "RecordCleaner",
    "Rejected",
    "Step",
    "StepResult",
    "Totals",
    "apply_edits",
    "check_roles",
    "clean",
    "clean_dataset",
    "clean_stream",
    "config_for",
    "contact_key",
    "deduplicate",
    "drop_empty_turns",
    "drop_loops",
    "edits_between",
    "find_cut_replies",
    "find_personal_data",
    "find_swapped_roles",
    "jaccard",
    "move_entities",
    "move_span",
    "near_index",
    "normalised",
    "redact_personal_data",
    "remove_leaks",
    "repair_text",
    "repaired",
    "role_odds",
    "shingles",
    "stream_notes",
    "write_stream",
]
