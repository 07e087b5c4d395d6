"""How much of what was said is right."""

from typing import Any

from course_lib.metrics import as_module, classes


class Precision(as_module.Measure):
    text = __doc__
    inputs = as_module.LABELS

    def score(self, said: Any, true: Any, **settings: Any) -> Any:
        return classes.precision(true, said, **settings)
