"""The measures: held-out loss by trained token, and exact facts."""

from course_lib.metrics.facts import FactQuestion, exact_facts, fact_questions, states_fact
from course_lib.metrics.loss import held_out_loss

__all__ = ["FactQuestion", "exact_facts", "fact_questions", "held_out_loss", "states_fact"]
