"""Wrong intents: labels that a model trained on all the other dialogues finds impossible.

The idea of confident learning (Northcutt, Jiang and Chuang 2021): predict each label from
folds that do not hold it, and look where label and confident prediction disagree. A flag asks a
person to look; nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.cleaning.changes import Change, DataSetResult
from course_lib.dialogue import Dialogue

FOLDS = 4
FEWEST_EXAMPLES = 20  # of an intent, for its label to be judged


@dataclass(frozen=True, slots=True)
class _Labelled:
    """One labelled message: in which dialogue, where, its text with the turn before, its label."""

    dialogue: int
    message: int
    text: str
    intent: str


def find_wrong_labels(
    dialogues: Iterable[Dialogue], doubt: float = 0.03, trust: float = 0.4, seed: int = 0
) -> DataSetResult:
    """Flags messages whose intent has a probability below `doubt`, another one's above `trust`.

    Out-of-fold predictions of a linear model on words, dialogues kept whole in their fold. With
    fewer than two intents of 20 examples there is nothing to learn from, and nothing is flagged.
    """
    dialogues = list(dialogues)
    examples = _judged(dialogues)
    if len({example.intent for example in examples}) < 2:
        return dialogues, [], []
    flags = []
    for example, (own, best, other) in zip(examples, _odds(examples, seed), strict=True):
        if own < doubt and best > trust:
            name = dialogues[example.dialogue].id
            text = dialogues[example.dialogue].messages[example.message].content
            reason = f"labelled {example.intent!r}, but reads like {other!r} ({best:.2f})"
            flags.append(Change("find_wrong_labels", name, example.message, reason, text, text))
    return dialogues, [], flags


def _judged(dialogues: Sequence[Dialogue]) -> list[_Labelled]:
    """The labelled messages of all intents that are frequent enough."""
    examples = []
    for number, dialogue in enumerate(dialogues):
        before = ""
        for place, message in enumerate(dialogue.messages):
            if message.role == "user" and message.intent:
                text = f"{message.content} [after] {before}"
                examples.append(_Labelled(number, place, text, message.intent))
            before = message.content
    counts = Counter(example.intent for example in examples)
    return [example for example in examples if counts[example.intent] >= FEWEST_EXAMPLES]


def _odds(examples: Sequence[_Labelled], seed: int) -> list[tuple[float, float, str]]:
    """For each example the probabilities of its own and of the best label, and the best one."""
    from sklearn.model_selection import GroupKFold

    texts = [example.text for example in examples]
    labels = [example.intent for example in examples]
    groups = [example.dialogue for example in examples]
    found: list[tuple[float, float, str]] = [(1.0, 0.0, "")] * len(examples)
    folds = min(FOLDS, len(set(groups)))
    rows = _words_of(texts)
    for train, held_out in GroupKFold(folds).split(texts, groups=groups):
        model = _linear_model(seed).fit(rows[train], [labels[i] for i in train])
        names = list(model.classes_)
        for i, row in zip(held_out, model.predict_proba(rows[held_out]), strict=True):
            own = float(row[names.index(labels[i])]) if labels[i] in names else 1.0
            best = int(row.argmax())
            found[i] = (own, float(row[best]), str(names[best]))
    return found


def _words_of(texts: Sequence[str]) -> Any:
    """Texts × words and pairs of words, weighted; one table for all folds, as it sees no label."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, dtype=np.float32)
    return words.fit_transform(texts)


def _linear_model(seed: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    # Five passes find the same labels as a run to the end.
    return SGDClassifier(loss="log_loss", alpha=5e-6, max_iter=5, tol=None, random_state=seed)
