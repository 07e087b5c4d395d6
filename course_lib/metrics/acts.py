"""Which acts a reply performs: asks, confirms, informs, hands over, declines, …

The gold turns of a training set carry their acts, so a linear model can learn to see them in any
reply: one yes-or-no question for each act. An act is "request order_number" or "confirm
cancel_order" where it has a slot of that kind, else its bare name. `recognition` says how
well it sees, on turns whose acts are known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, DialogueError, Message, read_dialogues
from course_lib.metrics.score import Score

WITH_SLOT = ("request", "confirm", "notify")  # their slot says what for; others' stands in the text
_NUMBER = re.compile(r"\d+")

Acts = frozenset[str]


def acts_of(message: Message) -> Acts:
    """The acts that a turn is annotated with, as the recogniser names them."""
    return frozenset(
        f"{act} {slot}" if act in WITH_SLOT and slot else str(act) for act, slot in message.acts
    )


def act_labels(acts: Iterable[str], act: str) -> Acts:
    """Of some acts those of one kind: "request" finds "request product"."""
    return frozenset(name for name in acts if name.partition(" ")[0] == act)


class ActRecogniser:
    """Sees acts in replies; made by `learn_acts`."""

    def __init__(self, pipeline: Any, names: Sequence[str]) -> None:
        self._pipeline, self.names = pipeline, tuple(names)

    def __call__(self, texts: Sequence[str]) -> list[Acts]:
        """The acts of each reply."""
        if not len(texts):
            return []
        found = self._pipeline.predict([_plain(text) for text in texts])
        pairs = (zip(self.names, row, strict=True) for row in found)
        return [frozenset(name for name, yes in row if yes) for row in pairs]


def learn_acts(dialogues: Iterable[Dialogue], rarest: int = 5) -> ActRecogniser:
    """A recogniser from annotated assistant turns; acts seen under `rarest` times are left out.

    Words and pairs of words, a linear support vector machine for each act (scikit-learn's).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MultiLabelBinarizer
    from sklearn.svm import LinearSVC

    known = {_plain(m.content): acts_of(m) for m in _turns(dialogues)}  # each wording once
    counts = Counter(name for acts in known.values() for name in acts)
    names = sorted(name for name, count in counts.items() if count >= rarest)
    if not names:
        raise DialogueError(
            f"no act stands on {rarest} assistant turns: acts can be learned from annotated "
            "dialogues only"
        )
    labels = MultiLabelBinarizer(classes=names).fit_transform(
        [acts & set(names) for acts in known.values()]
    )
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|\?")
    pipeline = make_pipeline(words, OneVsRestClassifier(LinearSVC(C=4.0, random_state=0)))
    return ActRecogniser(pipeline.fit(list(known), labels), names)


def recogniser_from(path: str | Path) -> ActRecogniser:
    """`learn_acts` of a JSONL file; lines that cannot be read are left out."""
    return learn_acts(read_dialogues(path, []))


def recognition(recogniser: ActRecogniser, dialogues: Iterable[Dialogue]) -> dict[str, Score]:
    """F1 of what it sees in turns whose acts are known: "all" pooled, and each kind of act."""
    from course_lib.metrics.classes import f1

    turns = _turns(dialogues)
    true = [acts_of(message) for message in turns]
    said = recogniser([message.content for message in turns])
    found = {"all": f1(true, said, average="micro")}
    for kind in sorted({name.partition(" ")[0] for acts in true for name in acts}):
        due, seen = ([act_labels(acts, kind) for acts in side] for side in (true, said))
        found[kind] = f1(due, seen, average="micro")
    return found


def _turns(dialogues: Iterable[Dialogue]) -> list[Message]:
    return [m for d in dialogues for m in d.messages if m.role == "assistant" and m.acts]


def _plain(text: str) -> str:
    """Lower case with all numbers alike: an order number is no sign of an act."""
    return _NUMBER.sub("0", text.casefold())
