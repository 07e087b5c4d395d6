"""Share of replies that ended by their end token; predictions are 1 (ended) or 0."""

from typing import Any

from course_lib.metrics import as_module, score


class StopRate(as_module.Measure):
    text = __doc__
    inputs = {"predictions": as_module.WHOLE}

    def score(self, ended: Any, **settings: Any) -> Any:
        return score.score_of([float(value) for value in ended], "stop rate", **settings)
