"""The loop closed: what people corrected goes back into training, and nothing else may suffer.

`learn_corrections` trains the assistant a little further on corrections among replayed dialogues;
`simulated_corrections` stands in for people: it corrects wrong facts by what the dialogue says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from course_lib.chat_format import known_tokens
from course_lib.dialogue import Dialogue
from course_lib.feedback import FeedbackLog
from course_lib.generation import generate
from course_lib.journey import tune
from course_lib.metrics import FactQuestion
from course_lib.metrics.facts import fact_questions, states_fact
from course_lib.training import History, Record, TrainConfig

# Gentle: at twice the rate the corrected cases are learned as well, and others suffer.
TOUCH_UP = TrainConfig(max_steps=80, learning_rate=2e-4, warmup_steps=5)


def with_replay(
    corrections: Sequence[Dialogue],
    others: Sequence[Dialogue],
    times: int = 10,
    replay: int = 400,
    seed: int = 0,
) -> list[Dialogue]:
    """Each correction `times` times among `replay` other dialogues, shuffled by the seed.

    The others are rehearsed so that they are not forgotten (experience replay; Robins, 1995).
    Raises ValueError without corrections, or when there are fewer others than are to be replayed.
    """
    if not corrections:
        raise ValueError("no corrections: there is nothing to learn")
    if replay > len(others):
        raise ValueError(f"{replay} dialogues to replay, but there are {len(others)}")
    rng = random.Random(seed)
    mixed = [
        replace(dialogue, id=f"{dialogue.id}-{copy}")
        for dialogue in corrections
        for copy in range(times)
    ]
    mixed += rng.sample(list(others), replay)
    rng.shuffle(mixed)
    return mixed


def learn_corrections(
    model: Any,
    tokenizer: Any,
    corrections: Sequence[Dialogue],
    others: Sequence[Dialogue],
    config: TrainConfig = TOUCH_UP,
    times: int = 10,
    replay: int = 400,
    on_record: Callable[[Record], None] | None = None,
) -> History:
    """Trains the model a little further on corrections mixed with replayed dialogues, in place."""
    mixed = with_replay(corrections, others, times, replay, config.seed)
    frozen = config.frozen_tokens or known_tokens(tokenizer)
    return tune(model, tokenizer, mixed, replace(config, frozen_tokens=frozen), on_record)


# ---- people, simulated, and the measure


def simulated_corrections(
    model: Any,
    tokenizer: Any,
    dialogues: Iterable[Dialogue],
    log: FeedbackLog,
    most: int = 40,
    batch: int = 128,
    values: dict[str, set[str]] | None = None,
) -> list[FactQuestion]:
    """Asks the dialogues' fact questions until `most` answers were wrong; corrects these in `log`.

    The correction is what the dialogue itself says there: this reviewer is simulated, knows every
    answer and never slips. Of several dialogues that begin alike the first is corrected. Returns
    the questions that were answered wrongly, in the log's order.
    """
    dialogues = list(dialogues)
    by_id = {dialogue.id: dialogue for dialogue in dialogues}
    questions, wrong = fact_questions(dialogues, values), list[FactQuestion]()
    known = set[str]()  # of one history only one correction counts
    for start in range(0, len(questions), batch):
        asked = questions[start : start + batch]
        replies = generate(model, tokenizer, [question.history for question in asked])
        for question, reply in zip(asked, replies, strict=True):
            new = str(question.history) not in known
            if len(wrong) < most and new and not states_fact(reply, question):
                known.add(str(question.history))
                talk = [*question.history, {"role": "assistant", "content": reply}]
                gold = by_id[question.dialogue_id].messages[len(question.history)].content
                log.correct([{"role": m["role"], "content": m["content"]} for m in talk], gold)
                wrong.append(question)
        if len(wrong) >= most:
            break
    return wrong


@dataclass(frozen=True, slots=True)
class Answers:
    """Which of the questions were answered rightly, and each question's dialogue."""

    right: list[bool]
    dialogues: list[str]

    @property
    def share(self) -> float:
        return sum(self.right) / len(self.right)


def answers(model: Any, tokenizer: Any, questions: Sequence[FactQuestion]) -> Answers:
    """Asks the questions and says which replies state the fact."""
    replies = generate(model, tokenizer, [question.history for question in questions])
    right = [states_fact(r, q) for r, q in zip(replies, questions, strict=True)]
    return Answers(right, [question.dialogue_id for question in questions])
