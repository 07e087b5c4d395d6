"""Which cleaning steps run, in which order, with what settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from course_lib.cleaning.changes import DataSetResult, Step
from course_lib.cleaning.conduct import Facts, check_confirmation, check_facts, check_memory
from course_lib.cleaning.duplicates import NEAR, deduplicate
from course_lib.cleaning.habits import find_cut_replies, find_swapped_roles
from course_lib.cleaning.labels import find_wrong_labels
from course_lib.cleaning.language import check_language
from course_lib.cleaning.mails import strip_mail
from course_lib.cleaning.personal import redact_personal_data
from course_lib.cleaning.text import repair_text
from course_lib.cleaning.turns import (
    check_roles,
    cut_open_end,
    drop_empty_turns,
    drop_loops,
    merge_split_turns,
)
from course_lib.cleaning.unsafe import drop_unsafe
from course_lib.dialogue import Dialogue

DIALOGUE_STEPS = (
    "repair_text",
    "strip_mail",
    "drop_empty_turns",
    "merge_split_turns",
    "cut_open_end",
    "check_roles",
    "drop_loops",
    "check_language",
    "drop_unsafe",
    "check_facts",
    "check_confirmation",
    "check_memory",
    "redact_personal_data",
)
DATA_SET_STEPS = ("find_swapped_roles", "find_cut_replies", "find_wrong_labels", "deduplicate")
STEPS = DIALOGUE_STEPS + DATA_SET_STEPS

DataSetStep = Callable[[list[Dialogue]], DataSetResult]


@dataclass(frozen=True, slots=True)
class CleaningConfig:
    """Which steps run (in the order of `STEPS`) and with what settings.

    `allow`: contacts that are no personal data, such as the shop's own hotline.
    `facts`: product -> slot -> true value, for `check_facts`. `confirmed`: the actions that an
    agent must not take before the customer agreed. `duplicate_threshold`: Jaccard index of 5-grams
    from which two dialogues are near copies. `near`: how those are found, by the "exact" inverted
    index, by "lsh", or by "auto", which takes LSH for many dialogues (see `deduplicate`).
    """

    steps: tuple[str, ...] = STEPS
    loop_times: int = 4
    allow: tuple[str, ...] = ()
    facts: Facts = field(default_factory=dict)
    confirmed: tuple[str, ...] = ()
    duplicate_threshold: float = 0.6
    near: str = "auto"

    def __post_init__(self) -> None:
        unknown = sorted(set(self.steps) - set(STEPS))
        if unknown:
            raise ValueError(f"unknown cleaning steps {unknown}; known are {', '.join(STEPS)}")
        if self.near not in NEAR:
            raise ValueError(
                f"near copies are found by {', '.join(NEAR[:-1])} or {NEAR[-1]}, not {self.near!r}"
            )

    def dialogue_steps(self) -> list[Step]:
        """The steps that look at one dialogue at a time, ready to call."""
        ready: dict[str, Step] = {
            "repair_text": repair_text,
            "strip_mail": strip_mail,
            "drop_empty_turns": drop_empty_turns,
            "merge_split_turns": merge_split_turns,
            "cut_open_end": cut_open_end,
            "check_roles": check_roles,
            "drop_loops": lambda dialogue: drop_loops(dialogue, self.loop_times),
            "check_language": check_language,
            "drop_unsafe": drop_unsafe,
            "check_facts": lambda dialogue: check_facts(dialogue, self.facts),
            "check_confirmation": lambda dialogue: check_confirmation(dialogue, self.confirmed),
            "check_memory": check_memory,
            "redact_personal_data": lambda dialogue: redact_personal_data(dialogue, self.allow),
        }
        return [ready[name] for name in DIALOGUE_STEPS if name in self.steps]

    def data_set_steps(self) -> dict[str, DataSetStep]:
        """The steps that look at all dialogues together, ready to call, by name and in order."""
        ready: dict[str, DataSetStep] = {
            "find_swapped_roles": find_swapped_roles,
            "find_cut_replies": find_cut_replies,
            "find_wrong_labels": find_wrong_labels,
            "deduplicate": lambda some: deduplicate(some, self.duplicate_threshold, self.near),
        }
        return {name: ready[name] for name in DATA_SET_STEPS if name in self.steps}


def config_for(source: str) -> CleaningConfig:
    """The default settings; for our own shop with its public contacts allowed."""
    if source != "shop":
        return CleaningConfig()
    from course_lib.world.catalogue import load_catalogue
    from course_lib.world.dialogues import CONFIRMED

    catalogue = load_catalogue()
    return CleaningConfig(
        allow=(catalogue.policies["hotline"], catalogue.policies["email"]),
        facts={product.full_name: product.facts for product in catalogue.products},
        confirmed=CONFIRMED,
    )
