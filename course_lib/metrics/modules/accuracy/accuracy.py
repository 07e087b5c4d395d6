"""Share of items whose label, or set of labels, is right."""

from typing import Any

from course_lib.metrics import as_module, classes


class Accuracy(as_module.Measure):
    text = __doc__
    inputs = as_module.LABELS

    def score(self, said: Any, true: Any, **settings: Any) -> Any:
        return classes.accuracy(true, said, **settings)
