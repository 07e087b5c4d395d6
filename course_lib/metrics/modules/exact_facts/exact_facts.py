"""Share of replies that state every required value and none of the wrong ones.

A reference is {"required": [values], "rivals": [values]}.
"""

from typing import Any

import datasets

from course_lib.metrics import as_module, facts, score

VALUES = datasets.Sequence(as_module.TEXT)


class ExactFacts(as_module.Measure):
    text = __doc__
    inputs = {
        "predictions": as_module.TEXT,
        "references": {"required": VALUES, "rivals": VALUES},
    }

    def score(self, replies: Any, references: Any) -> Any:
        right = [
            float(facts.states_values(reply, row["required"], row["rivals"]))
            for reply, row in zip(replies, references, strict=True)
        ]
        return score.score_of(right, "exact facts")
