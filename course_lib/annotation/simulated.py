"""Simulated annotators, where no people are at hand: right but for habits and slips.

They show what the measures of agreement do. What they cannot show is how people differ; for that,
let two people label the same messages with `widgets.Label`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from course_lib.annotation.labels import Example

Place = tuple[str, int]
Habits = Mapping[str, str]

# Three readings of one unclear guideline: true intent -> what they tend to say instead.
HABITS: dict[str, Habits] = {
    "Ana": {},
    "Ben": {
        "missing_parcel": "order_status",
        "warranty_claim": "complaint",
        "cancel_order": "return_item",
    },
    "Cleo": {"give_product": "other_product", "correct_product": "other_product"},
}


def simulated_labels(
    found: Sequence[Example],
    habits: Habits,
    habit: float = 0.8,
    slips: float = 0.03,
    seed: int = 0,
) -> dict[Place, str]:
    """(dialogue id, message number) -> label, as a made-up annotator gives them.

    Where the true intent is a key of `habits`, they say its value instead, in a share `habit` of
    the cases: what an unclear guideline does. In a share `slips` of all messages they hit a random
    button. Equal seeds draw alike whatever the habits, so that two guidelines can be compared.
    """
    labels = sorted({str(example.intent) for example in found})
    unknown = sorted({*habits, *habits.values()} - set(labels))
    if unknown:
        raise ValueError(f"no message has the intent {', '.join(unknown)}; check the habits")
    rng, said = random.Random(seed), {}
    for example in found:
        true = str(example.intent)
        by_habit, by_slip, any_label = (
            rng.random() < habit,
            rng.random() < slips,
            rng.choice(labels),
        )
        meant = habits.get(true, true) if by_habit else true
        said[example.dialogue_id, example.turn] = any_label if by_slip else meant
    return said


def three_annotators(
    found: Sequence[Example], habits: Mapping[str, Habits] = HABITS, slips: float = 0.04
) -> dict[str, dict[Place, str]]:
    """The labels of each annotator of `habits`, for `agreement.agreement`; each has a seed."""
    return {
        name: simulated_labels(found, own, slips=slips, seed=seed)
        for seed, (name, own) in enumerate(habits.items())
    }
