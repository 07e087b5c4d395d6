"""Annotation: label sets, spans, agreement, classifiers for intents and entities, and history.

What needs no heavy library stands here; agreement, scores, baselines, classifier, out_of_scope and
compare are imported by name, as they load numpy, scikit-learn or torch.
"""

from course_lib.annotation.history import carried_slots, fit_budget, last_turns, remember
from course_lib.annotation.labels import Example, LabelSets, examples, label_sets
from course_lib.annotation.log import LabelLog, apply_labels, read_labels
from course_lib.annotation.spans import align, from_bio, round_trip, to_bio

__all__ = [
    "Example",
    "LabelLog",
    "LabelSets",
    "align",
    "apply_labels",
    "carried_slots",
    "examples",
    "fit_budget",
    "from_bio",
    "label_sets",
    "last_turns",
    "read_labels",
    "remember",
    "round_trip",
    "to_bio",
]
