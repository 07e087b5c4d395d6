"""Share of replies that cannot be parsed; `parse` is a function, json.loads by default."""

import json
from typing import Any

from course_lib.metrics import as_module, replies


class ParseFailures(as_module.Measure):
    text = __doc__
    inputs = as_module.ALONE

    def score(self, texts: Any, parse: Any = json.loads) -> Any:
        return replies.parse_failures(texts, parse)
