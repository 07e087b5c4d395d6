"""More dialogues for the shop's assistant: in further wordings, and with more of what is rare.

The wordings of `language/further` stand in no data set. Together with those of the training
dialogues they make talks in which more is refused, handed over and declined than in `data/shop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from course_lib.dialogue import Dialogue
from course_lib.world.catalogue import Catalogue
from course_lib.world.dialogues import CONFIRMED, Planner, Task, shuffled
from course_lib.world.splits import SplitWriter, addresses_of, apart, order_numbers_of
from course_lib.world.wordings import LANGUAGE_FOLDER, Language, load_language, read_wordings

FURTHER = LANGUAGE_FOLDER / "further"


def further_dialogues(
    catalogue: Catalogue, number: int, held_out: Mapping[str, Sequence[Dialogue]], seed: int
) -> list[Dialogue]:
    """So many dialogues in the trained and the further wordings, with ids `further-…`.

    `held_out`: split name -> dialogues. None of theirs shares a goal, an order number or an
    address with a new one, or is nearly the same. Held-out products, intents and wordings do not
    occur; a further wording may still mean what a held-out one means (see data/assistant).
    """
    writer = SplitWriter(catalogue, load_language(), seed)
    writer.trained = both(writer.trained, Language({"customer": read_wordings(FURTHER)}))
    avoided = list(chain.from_iterable(held_out.values()))
    writer.addresses.update(chain.from_iterable(map(addresses_of, avoided)))
    planner = writer.planner("further", writer.trained, writer.stocked)
    drawn = writer.drawn("n", lambda: _tasks(planner), planner)
    new = _new(chain.from_iterable(variants for _, variants in drawn), avoided)
    candidates = {**held_out, "further": list(islice(new, number * 11 // 10 + 20))}
    sizes = {name: len(dialogues) for name, dialogues in held_out.items()} | {"further": number}
    dialogues = apart(candidates, sizes)["further"]
    for place, dialogue in enumerate(dialogues, start=1):
        dialogue.id = f"further-{place:05d}"
    return dialogues


def both(language: Language, more: Language) -> Language:
    """A language with the wordings of two."""
    sides = {
        side: {
            name: (*known, *more.wordings.get(side, {}).get(name, ()))
            for name, known in files.items()
        }
        for side, files in language.wordings.items()
    }
    return Language(sides)


def _new(dialogues: Iterable[Dialogue], avoided: Sequence[Dialogue]) -> Iterator[Dialogue]:
    """Those that share neither a goal nor an order number with one to be avoided."""
    goals = [dialogue.goal for dialogue in avoided]
    orders = set(chain.from_iterable(map(order_numbers_of, avoided)))
    for dialogue in dialogues:
        if dialogue.goal not in goals and not orders & order_numbers_of(dialogue):
            yield dialogue


def _tasks(planner: Planner) -> list[Task]:
    """The tasks of one family: half of them as in `data/shop`, half of what is rare there."""
    beside: tuple[Callable[[], list[Task]], ...] = (
        list,
        lambda: planner.facts(1),
        lambda: [planner.policy()],
        lambda: [planner.operation()],
    )

    # First or last: a model would soon tell two kinds of wishes by their place.
    def rare(intent: str) -> list[Task]:
        return shuffled([planner.literal(intent), *planner.rng.choice(beside)()], planner.rng)

    shapes: dict[Callable[[], list[Task]], int] = {
        planner.tasks: 48,
        lambda: rare("out_of_scope"): 15,
        lambda: rare("other_request"): 15,
        lambda: [_refused(planner.operation(planner.rng.choice(CONFIRMED)))]: 6,
        lambda: [planner.operation(planner.rng.choice(CONFIRMED))]: 8,
        lambda: [planner.operation()]: 8,
    }
    return planner.rng.choices(list(shapes), list(shapes.values()))[0]()


def _refused(task: Task) -> Task:
    return Task(task.intent, tuple(sorted({**dict(task.slots), "decision": "no"}.items())))
