"""Methods side by side: each learns from the same examples and is measured on each test set.

A method for intents is a function from (text, intent) pairs to something with `predict(texts)`,
one for entities from (text, spans) pairs to something whose `predict` gives spans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count as counting
from typing import Any

import numpy as np

from course_lib.annotation.baselines import learn_gazetteer, load_rules, majority, tfidf
from course_lib.annotation.history import in_view, needed_slots, opening_turn, states
from course_lib.annotation.labels import Example, entity_pairs, examples, intent_pairs
from course_lib.annotation.scores import (
    Interval,
    Measure,
    bootstrap,
    bootstrap_difference,
    entity_counts,
    label_counts,
    macro_f1,
    micro_f1,
)
from course_lib.dialogue import Dialogue, Message

Method = Callable[[Sequence[tuple[str, Any]]], Any]
Judge = Callable[[Sequence[Example], Sequence[Any]], np.ndarray]
OnRecord = Callable[[dict[str, float]], None]
Show = Callable[[Sequence[Message]], Sequence[Message]]


@dataclass(slots=True)
class Comparison:
    """What each method reached on each test set; `str()` is the table, methods down.

    `asked` holds the examples of each test set, `models` what each method learned, `said` what that
    answered, `counts` how it was judged (see `scores`), `figures` the measure with its interval.
    """

    measure: str
    asked: dict[str, list[Example]]
    judge: Judge
    samples: int = 1000
    seed: int = 0
    models: dict[str, Any] = field(default_factory=dict)
    said: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    counts: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    figures: dict[str, dict[str, Interval]] = field(default_factory=dict)

    def add(self, name: str, model: Any) -> None:
        """Measures one more model, trained already, on every test set."""
        said = {t: list(model.predict([e.text for e in asked])) for t, asked in self.asked.items()}
        counts = {test: self.judge(self.asked[test], answers) for test, answers in said.items()}
        self.models[name], self.said[name], self.counts[name] = model, said, counts
        self.figures[name] = {
            test: bootstrap(rows, MEASURES[self.measure], self.samples, self.seed)
            for test, rows in counts.items()
        }

    def true(self, test: str) -> list[str]:
        """The intents of a test set, in the order of `said`."""
        return [str(example.intent) for example in self.asked[test]]

    def difference(self, first: str, second: str, test: str, seed: int = 0) -> Interval:
        """How much better the first method is than the second, on the same resamples."""
        rows = (self.counts[first][test], self.counts[second][test])
        return bootstrap_difference(*rows, measure=MEASURES[self.measure], seed=seed)

    def rescued(self, first: str, second: str, test: str) -> float:
        """Of the turns in which the first method is wrong, the share in which the second is right.

        For intents. 0.0 when the first makes no mistake.
        """
        rows = zip(self.true(test), self.said[first][test], self.said[second][test], strict=True)
        wrong = [(true, other) for true, said, other in rows if said != true]
        return sum(other == true for true, other in wrong) / max(1, len(wrong))

    def to_dict(self) -> dict[str, Any]:
        """Rounded figures for JSON: {method: {test: [value, low, high]}}."""
        return {
            method: {
                test: [round(x, 4) for x in (found.value, found.low, found.high)]
                for test, found in row.items()
            }
            for method, row in self.figures.items()
        }

    def __str__(self) -> str:
        tests = next(iter(self.figures.values()), {})
        lines = [f"{self.measure:<16}" + "".join(f"{test:<26}" for test in tests)]
        for method, row in self.figures.items():
            lines.append(f"{method:<16}" + "".join(f"{found!s:<26}" for found in row.values()))
        return "\n".join(line.rstrip() for line in lines)


MEASURES: dict[str, Measure] = {"macro-F1": macro_f1, "strict F1": micro_f1}


def compare_intents(
    train: Sequence[Dialogue],
    tests: Mapping[str, Sequence[Dialogue]],
    methods: Mapping[str, Method],
    samples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Macro-F1 of each method on the customers' turns of each test set, with 95% intervals."""
    pairs = intent_pairs(examples(train))
    asked = {test: list(examples(dialogues)) for test, dialogues in tests.items()}
    return _filled(Comparison("macro-F1", asked, _judge_intents, samples, seed), methods, pairs)


def compare_entities(
    train: Sequence[Dialogue],
    tests: Mapping[str, Sequence[Dialogue]],
    methods: Mapping[str, Method],
    samples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Strict F1 of each method's spans in customers' turns, with 95% intervals."""
    pairs = entity_pairs(examples(train, with_intent=False))
    asked = {t: list(examples(dialogues, with_intent=False)) for t, dialogues in tests.items()}
    return _filled(Comparison("strict F1", asked, _judge_spans, samples, seed), methods, pairs)


def _filled(
    table: Comparison, methods: Mapping[str, Method], pairs: Sequence[tuple[str, Any]]
) -> Comparison:
    for name, learn in methods.items():
        table.add(name, learn(pairs))
    return table


def _judge_intents(asked: Sequence[Example], said: Sequence[Any]) -> np.ndarray:
    return label_counts(_ids(asked), [str(e.intent) for e in asked], said)


def _judge_spans(asked: Sequence[Example], said: Sequence[Any]) -> np.ndarray:
    return entity_counts(_ids(asked), [e.entities for e in asked], said)


def _ids(found: Sequence[Example]) -> list[str]:
    return [example.dialogue_id for example in found]


# ---- what a history leaves in view


def slots_in_view(
    dialogues: Sequence[Dialogue], show: Show, read: Sequence[Dialogue] | None = None
) -> np.ndarray:
    """(D, 1, 3) counts: of the values that the agent's replies need, how many `show` leaves in.

    A reply needs what the customer has told and it names. `show` gets the messages before a reply;
    with `read` those of the same dialogues as somebody else, a tagger, annotated them. For
    `scores.bootstrap` with `micro_recall`.
    """
    pairs = zip(dialogues, read if read is not None else dialogues, strict=True)
    return _seen_counts(
        [seen for _, _, seen in _looked_for(dialogue, other, show)] for dialogue, other in pairs
    )


def wishes_in_view(dialogues: Sequence[Dialogue], show: Show) -> np.ndarray:
    """(D, 1, 3) counts: before how many of the agent's replies `show` leaves in the wish.

    The wish is the turn that opened the request under way. For `bootstrap` as `slots_in_view`.
    """
    return _seen_counts(
        [messages[wish] in show(messages[:turn]) for turn, wish in _wishes(messages)]
        for messages in (dialogue.messages for dialogue in dialogues)
    )


def _seen_counts(rows: Iterable[Sequence[bool]]) -> np.ndarray:
    return np.array([[[sum(seen), sum(seen), len(seen)]] for seen in rows], dtype=np.int64)


def _wishes(messages: Sequence[Message]) -> Iterator[tuple[int, int]]:
    """(number of the reply, number of the turn with the wish it answers)."""
    for turn, reply in enumerate(messages):
        wish = opening_turn(messages[:turn])
        if reply.role == "assistant" and wish is not None:
            yield turn, wish


def where_lost(dialogues: Sequence[Dialogue], show: Show) -> Iterator[tuple[Dialogue, int, str]]:
    """(dialogue, number of the reply, value) wherever `show` leaves out what a reply needs."""
    for dialogue in dialogues:
        for turn, value, seen in _looked_for(dialogue, dialogue, show):
            if not seen:
                yield dialogue, turn, value


def _looked_for(dialogue: Dialogue, other: Dialogue, show: Show) -> Iterator[tuple[int, str, bool]]:
    """(number of the reply, value that it needs, whether that is in view), in order."""
    known = states(dialogue.messages)
    for turn, reply in enumerate(dialogue.messages):
        needed = needed_slots(reply, known[turn]) if turn and reply.role == "assistant" else {}
        if needed:
            before, shown = dialogue.messages[:turn], list(show(other.messages[:turn]))
            yield from ((turn, value, in_view(shown, before, value)) for value in needed.values())


# ---- the methods of the chapter


def intent_methods(
    base: Any,
    tokenizer: Any,
    steps: int = 200,
    seed: int = 0,
    on_record: OnRecord | None = None,
    **options: Any,
) -> dict[str, Method]:
    """Majority, keywords, TF-IDF, our base with a head, a small encoder with one.

    `base` is a causal language model; it is copied and stays as it is. `options` go to
    `classifier.fit`, for both models alike; `on_record` is told of their steps, numbered on from
    one model to the next.
    """
    from course_lib.annotation.classifier import IntentClassifier, fit

    options["on_record"] = _numbered_on(on_record)

    def with_head(body: Any, causal: bool, pairs: Sequence[tuple[str, Any]]) -> Any:
        labels = sorted({intent for _, intent in pairs})
        model = IntentClassifier(body, tokenizer, labels, causal, seed)
        return fit(model, pairs, steps, seed=seed, **options)

    return {
        "majority": majority,
        "keywords": lambda pairs: load_rules(),
        "TF-IDF": tfidf,
        "base + head": lambda pairs: with_head(deepcopy(base.base_model), True, pairs),
        "encoder": lambda pairs: with_head(_encoder_like(base, tokenizer, seed), False, pairs),
    }


def entity_methods(
    base: Any,
    tokenizer: Any,
    steps: int = 200,
    seed: int = 0,
    on_record: OnRecord | None = None,
    **options: Any,
) -> dict[str, Method]:
    """The gazetteer, and taggers on our base and on a small encoder; options as for intents."""
    from course_lib.annotation.classifier import Tagger, fit

    options["on_record"] = _numbered_on(on_record)

    def tagger(body: Any, pairs: Sequence[tuple[str, Any]]) -> Any:
        slots = sorted({entity.slot for _, entities in pairs for entity in entities})
        return fit(Tagger(body, tokenizer, slots, seed), pairs, steps, seed=seed, **options)

    return {
        "gazetteer": learn_gazetteer,
        "base + tags": lambda pairs: tagger(deepcopy(base.base_model), pairs),
        "encoder + tags": lambda pairs: tagger(_encoder_like(base, tokenizer, seed), pairs),
    }


def _numbered_on(on_record: OnRecord | None) -> OnRecord | None:
    """The same, with steps that go on where the model before ended: one plot shows both."""
    if on_record is None:
        return None
    steps = counting(1)
    return lambda record: on_record({**record, "step": next(steps)})


def _encoder_like(base: Any, tokenizer: Any, seed: int) -> Any:
    """A small encoder of the base's size, on its device."""
    from course_lib.annotation.classifier import small_encoder

    return small_encoder(tokenizer, base.config, seed).to(base.device)
