"""Nats per trained token; predictions are log-probabilities, references labels or -100."""

from typing import Any

from course_lib.metrics import as_module, loss


class MaskedLoss(as_module.Measure):
    text = __doc__
    inputs = as_module.TOKEN_SCORES

    def score(self, predictions: Any, references: Any) -> Any:
        return loss.of_log_probabilities(predictions, references).loss
