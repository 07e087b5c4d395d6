"""How much of what is true was said."""

from typing import Any

from course_lib.metrics import as_module, classes


class Recall(as_module.Measure):
    text = __doc__
    inputs = as_module.LABELS

    def score(self, said: Any, true: Any, **settings: Any) -> Any:
        return classes.recall(true, said, **settings)
