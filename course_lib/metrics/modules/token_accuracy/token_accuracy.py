"""Share of trained tokens that were guessed right; labels of -100 do not count."""

from typing import Any

from course_lib.metrics import as_module, loss


class TokenAccuracy(as_module.Measure):
    text = __doc__
    inputs = as_module.TOKENS

    def score(self, predictions: Any, references: Any) -> Any:
        return loss.token_accuracy(predictions, references)
