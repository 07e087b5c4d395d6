"""Perplexity per trained token, or per byte where `byte_counts` gives the bytes of each dialogue.

Predictions are log-probabilities of the labels, references the labels or -100.
"""

from typing import Any

from course_lib.metrics import as_module, loss


class Perplexity(as_module.Measure):
    text = __doc__
    inputs = as_module.TOKEN_SCORES

    def score(self, predictions: Any, references: Any, byte_counts: Any = None) -> Any:
        found = loss.of_log_probabilities(predictions, references, byte_counts)
        return found.perplexity if byte_counts is None else found.perplexity_per_byte
