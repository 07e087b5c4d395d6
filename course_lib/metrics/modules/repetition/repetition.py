"""Share of a reply's n-grams that stood in it before."""

from typing import Any

from course_lib.metrics import as_module, replies


class Repetition(as_module.Measure):
    text = __doc__
    inputs = as_module.ALONE

    def score(self, texts: Any, **settings: Any) -> Any:
        return replies.repetition(texts, **settings)
