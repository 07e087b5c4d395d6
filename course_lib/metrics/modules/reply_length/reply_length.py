"""Mean length of replies in words."""

from typing import Any

from course_lib.metrics import as_module, replies


class ReplyLength(as_module.Measure):
    text = __doc__
    inputs = as_module.ALONE

    def score(self, texts: Any, **settings: Any) -> Any:
        return replies.lengths(texts, **settings)
