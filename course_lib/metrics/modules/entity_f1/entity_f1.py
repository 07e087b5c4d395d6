"""Strict entity F1 of BIO tags."""

from typing import Any

from course_lib.metrics import as_module, entities


class EntityF1(as_module.Measure):
    text = __doc__
    inputs = as_module.TAGS

    def score(self, said: Any, true: Any, **settings: Any) -> Any:
        return entities.tag_f1(true, said, **settings)
