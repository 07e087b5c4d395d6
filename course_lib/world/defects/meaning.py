"""Defects of what is said: bad replies, wrong labels, broken policy, and what is unsafe."""

from __future__ import annotations

from dataclasses import replace

from course_lib.dialogue import Entity, Message
from course_lib.world.catalogue import FACT_SLOTS
from course_lib.world.defects.lines import Line, edited, intents
from course_lib.world.defects.phrases import sections
from course_lib.world.defects.tools import Tools
from course_lib.world.wordings import Piece, assemble, fill_pieces


class Meaning(Tools):
    """Makers of lines that read well as records and must not be learned from."""

    def plant_looping_reply(self, line: Line) -> Line:
        line.action, number = "drop", self.turn(line, "assistant")
        message = line.dialogue.messages[number]
        again = f" {message.content}" * self.rng.randint(4, 7)
        end = len(message.content)
        line.dialogue.messages[number] = edited(message, [(end, end, again)])
        return line

    def plant_cut_reply(self, line: Line) -> Line | None:
        number = self.turn(line, "assistant")
        message = line.dialogue.messages[number]
        spots = [
            i
            for i in range(12, len(message.content) - 4)
            if message.content[i - 2 : i + 2].isalpha()
        ]
        if not spots:
            return None
        line.action, cut = "drop", self.rng.choice(spots)
        kept = [entity for entity in message.entities if entity.end <= cut]
        line.dialogue.messages[number] = replace(
            message, content=message.content[:cut], entities=kept
        )
        return line

    def plant_foreign_reply(self, line: Line) -> Line:
        """The agent answers in German, French, Spanish or Italian."""
        line.action, number = "drop", self.turn(line, "assistant")
        text = self.phrase("foreign_replies", self.rng.choice(list(sections("foreign_replies"))))
        message = line.dialogue.messages[number]
        line.dialogue.messages[number] = replace(message, content=text, entities=[])
        return line

    def plant_wrong_intent(self, line: Line) -> Line | None:
        """A customer's turn with the label of something else; its words stay."""
        number = self.turn(line, "user")
        message = line.dialogue.messages[number]
        if message.intent is None or len(message.content.split()) < 4:
            return None
        line.action, line.intents = "flag", intents(line.dialogue)
        wrong = self.other_intent(message, line.dialogue)
        line.dialogue.messages[number] = replace(message, intent=wrong)
        return line

    # -- the policy broken

    def plant_unconfirmed_action(self, line: Line) -> Line | None:
        """The agent acts without having asked whether it shall."""
        turns = line.dialogue.messages
        spots = [
            number
            for number in range(1, len(turns) - 2)
            if _has(turns[number], "confirm")
            and _has(turns[number + 1], "affirm")
            and _has(turns[number + 2], "notify")
        ]
        if not spots:
            return None
        line.action, number = "drop", self.rng.choice(spots)
        del turns[number : number + 2]
        return line

    def plant_wrong_fact(self, line: Line) -> Line | None:
        """The agent tells a fact of another product as this one's."""
        spots, name = [], ""
        for number, message in enumerate(line.dialogue.messages):
            for entity in message.entities:
                name = entity.value if entity.slot == "product" else name
            for entity in message.entities if message.role == "assistant" and name else ():
                if entity.slot in FACT_SLOTS and entity.slot != "red_light":
                    spots.append((number, entity, name))
        if not spots:
            return None
        number, entity, name = self.rng.choice(spots)
        other = self._other_value(entity, name)
        if other is None:
            return None
        line.action, message = "drop", line.dialogue.messages[number]
        changed = edited(message, [(entity.start, entity.end, other)])
        changed.entities[message.entities.index(entity)].value = other
        line.dialogue.messages[number] = changed
        return line

    def _other_value(self, entity: Entity, name: str) -> str | None:
        product = self.catalogue.by_name(name)
        if product.facts.get(entity.slot) != entity.value:
            return None
        akin = [p for p in self.catalogue.products if p.kind == product.kind and not p.held_out]
        values = {p.facts[entity.slot] for p in akin if entity.slot in p.facts} - {entity.value}
        return self.rng.choice(sorted(values)) if values else None

    def plant_forgotten_slot(self, line: Line) -> Line | None:
        """The agent asks for the order number that it has just been given."""
        turns = line.dialogue.messages
        spots = [
            (number, entity)
            for number, message in enumerate(turns[:-1])
            if message.role == "user" and turns[number + 1].role == "assistant"
            for entity in message.entities
            if entity.slot == "order_number"
        ]
        if not spots:
            return None
        line.action, (number, given) = "drop", self.rng.choice(spots)
        asked = self.language.choose(
            self.rng, "agent", "ask_order_number", ("main",), within=("shop",)
        )
        shop = Piece(self.catalogue.policies["shop_name"])
        order = Piece(given.text, given.slot, given.value)
        again = fill_pieces(self.phrase("repeated_orders"), {"order": order})
        turns[number + 1 : number + 1] = [
            _message("assistant", fill_pieces(asked.text, {"shop": shop}), "request"),
            _message("user", again, "inform", "give_order_number"),
        ]
        return line

    # -- unsafe

    def plant_abuse(self, line: Line) -> Line:
        return self.said(line, self.phrase("abuse"), "drop")

    def plant_prompt_injection(self, line: Line) -> Line:
        return self.said(line, self.phrase("injections"), "drop")


def _has(message: Message, name: str) -> bool:
    return any(act == name for act, _ in message.acts)


def _message(role: str, pieces: list[Piece], act: str, intent: str | None = None) -> Message:
    content, entities = assemble(pieces)
    return Message(role, content, intent, entities, [[act, "order_number"]])
