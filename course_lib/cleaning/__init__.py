"""Repair, filter, redact and deduplicate dialogues; each step says what it changed and why.

A step takes one dialogue and returns the cleaned one (or None, to set it aside) with a list of
`Change`. Steps never alter what they are given. `clean` runs them over a whole data set and its
`CleaningReport` accounts for every dialogue that was read.
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
from course_lib.cleaning.duplicates import (
    NearIndex,
    deduplicate,
    jaccard,
    remove_leaks,
    shingles,
)
from course_lib.cleaning.habits import find_cut_replies, find_swapped_roles, role_odds
from course_lib.cleaning.personal import (
    PersonalItem,
    contact_key,
    find_personal_data,
    redact_personal_data,
)
from course_lib.cleaning.pipeline import (
    STEPS,
    CleaningConfig,
    CleaningReport,
    clean,
    config_for,
)
from course_lib.cleaning.text import repair_text, repaired
from course_lib.cleaning.turns import check_roles, drop_empty_turns, drop_loops

__all__ = [
    "STEPS",
    "Change",
    "CleaningConfig",
    "CleaningReport",
    "NearIndex",
    "PersonalItem",
    "Rejected",
    "Step",
    "StepResult",
    "apply_edits",
    "check_roles",
    "clean",
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
    "normalised",
    "redact_personal_data",
    "remove_leaks",
    "repair_text",
    "repaired",
    "role_odds",
    "shingles",
]
