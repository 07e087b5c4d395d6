"""Different n-grams over all n-grams of all replies."""

from typing import Any

from course_lib.metrics import as_module, replies


class Distinct(as_module.Measure):
    text = __doc__
    inputs = as_module.ALONE

    def score(self, texts: Any, **settings: Any) -> Any:
        return replies.distinct_n(texts, **settings)
