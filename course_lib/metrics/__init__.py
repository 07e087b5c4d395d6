"""The measures of a model and its replies, each with an interval over dialogues.

`loss` (loss, perplexity, token accuracy), `facts`, `overlap` (BLEU, chrF, ROUGE-L), `replies` (stop
rate, repetition, distinct-n, length, parse failures), `classes`, `entities`, `acts`; `intervals`
holds the bootstrap and the paired test, `table` the whole table of a model.
"""

from course_lib.metrics.facts import FactQuestion, exact_facts, fact_questions, states_fact
from course_lib.metrics.loss import held_out_loss

__all__ = ["FactQuestion", "exact_facts", "fact_questions", "held_out_loss", "states_fact"]
