"""The simulated customer: it wants one thing, says so, and never lets itself be talked round."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from course_lib.policy import customer as module
from course_lib.policy.agents import AlwaysAsk, AlwaysYes, DoNothing
from course_lib.policy.customer import DONE, PATIENCE, Customer, draw_customers
from course_lib.policy.episodes import play
from course_lib.policy.goals import draw_goals, unseen_goals
from course_lib.policy.rules import RuleAgent
from course_lib.policy.understanding import customer_turn, shop, yes_or_no
from course_lib.world.dialogues import Family, Task

ORDER, SPARE = "1234567890", "2345678901"


def goal(*tasks: Task) -> Family:
    return Family("g", tasks, SPARE)


def cancel(decision: str | None = None) -> Task:
    slots = [("order_number", ORDER)] + ([("decision", decision)] if decision else [])
    return Task("cancel_order", tuple(sorted(slots)))


@pytest.fixture
def plain(monkeypatch):
    """Customers without greetings, slips and forgetfulness."""
    monkeypatch.setattr(module, "GREETS", 0.0)
    monkeypatch.setattr(module, "SLIPS", 0.0)
    monkeypatch.setattr(module, "FORGETS_PRODUCT", 0.0)


class Parrot:
    """Says seeded random lines of the agent's language: any act at any time."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.files = sorted(shop().trained.wordings["agent"])

    def line(self) -> str:
        text = self.rng.choice(shop().trained.wordings["agent"][self.rng.choice(self.files)]).text
        fill = {"order": self.rng.choice((ORDER, SPARE)), "product": "Brisa kettle"}
        return re.sub(r"\{(\w+)\}", lambda m: fill.get(m[1], "9 Mill Road, Oxbury"), text)

    def reply(self, histories):
        return [self.line() for _ in histories]


@pytest.fixture(scope="module")
def wild():
    """Episodes with an agent that does anything at any time."""
    return play(Parrot(0), draw_customers(150, seed=5))


def test_the_goals_can_be_reached():
    episodes = play(RuleAgent(), draw_customers(60, seed=11))
    assert sum(episode.success for episode in episodes) >= 0.95 * 60


def test_doing_nothing_never_succeeds():
    episodes = play(DoNothing(), draw_customers(200, seed=11))
    assert not any(episode.success for episode in episodes)
    assert {episode.failure for episode in episodes} == {"gave up"}


def test_acting_at_once_never_succeeds():
    episodes = play(AlwaysYes(), draw_customers(200, seed=11))
    assert not any(episode.success for episode in episodes)


def test_only_asking_never_succeeds():
    assert not any(e.success for e in play(AlwaysAsk(), draw_customers(100, seed=11)))


def test_every_talk_ends_decided(wild):
    for episode in wild:
        assert all(episode.outcomes)
        assert len(episode.steps) <= 12


def test_it_ends_without_a_limit_of_turns():
    for episode in play(Parrot(1), draw_customers(100, seed=6), max_turns=1000):
        assert len(episode.steps) < 40
        assert "ran out of turns" not in episode.outcomes


def test_it_never_leaves_before_its_goal_is_decided():
    parrot = Parrot(2)
    for customer in draw_customers(100, seed=7):
        customer.opening()
        while customer.hear(parrot.line()) is not None:
            pass
        assert customer.decided


def unwanted_consents(episodes):
    """How often the customer was asked to agree to what it does not want, and how often it did."""
    asked = agreed = 0
    for episode in episodes:
        wanted = {t.intent for t in episode.goal.tasks if t.get("decision") != "no"}
        answers = [m["content"] for m in episode.messages if m["role"] == "user"][1:]
        for step, answer in zip(episode.steps, answers, strict=False):
            confirmed = {what for act, what in step.turn.acts if act == "confirm"}
            if confirmed and not confirmed & wanted:
                asked += 1
                agreed += "affirm" in customer_turn(answer).intents
    return asked, agreed


def test_it_never_agrees_to_what_it_does_not_want(wild):
    asked, agreed = unwanted_consents([*wild, *play(RuleAgent(), draw_customers(100, seed=5))])
    assert asked > 20
    assert agreed == 0


def test_a_customer_that_agrees_to_everything_is_caught(monkeypatch):
    honest = Customer._reply
    monkeypatch.setattr(Customer, "_reply", lambda self, _, errand: honest(self, "affirm", errand))
    _, agreed = unwanted_consents(play(RuleAgent(), draw_customers(100, seed=5)))
    assert agreed > 5


def test_a_refused_order_is_never_done():
    customers = [Customer(goal(cancel("no")), seed) for seed in range(20)]
    episodes = play(RuleAgent(), customers)
    assert {episode.outcomes for episode in episodes} == {("withdrawn",)}


@pytest.mark.parametrize("decision", [None, "no"])
def test_it_answers_a_confirmation_by_its_wish(plain, decision):
    for seed in range(20):
        customer = Customer(goal(cancel(decision)), seed)
        if ORDER not in customer.opening():
            assert ORDER in customer.hear("What is your order number, please?")
        answer = customer.hear(f"Shall I cancel order {ORDER}?")
        assert yes_or_no(answer) == ("deny" if decision else "affirm")


def told(plain_customer: Customer) -> Customer:
    """The customer after it has told its order number."""
    if ORDER not in plain_customer.opening():
        plain_customer.hear("What is your order number, please?")
    return plain_customer


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ((f"Order {ORDER} is cancelled.",), "acted unconfirmed"),
        ((f"Shall I cancel order {ORDER}?", f"Order {ORDER} is cancelled."), "done"),
        (
            (f"Shall I cancel order {ORDER}?", f"Order {SPARE} is cancelled."),
            "acted with a wrong order_number",
        ),
        (("I am putting you through to a colleague.",), "handed over needlessly"),
        ((f"Order {ORDER} now goes to 9 Mill Road, Oxbury.",), "acted unasked"),
        (("I see.",) * PATIENCE, "gave up"),
    ],
)
def test_outcomes_of_a_cancellation(plain, replies, outcome):
    customer = told(Customer(goal(cancel()), 1))
    for reply in replies:
        customer.hear(reply)
    assert customer.errands[0].outcome == outcome


def test_acting_against_a_no_is_seen(plain):
    customer = told(Customer(goal(cancel("no")), 1))
    customer.hear(f"Shall I cancel order {ORDER}?")
    customer.hear(f"Order {ORDER} is cancelled.")
    assert customer.errands[0].outcome == "acted against a no"
    assert not customer.success


def test_leaving_it_without_a_no_is_no_success(plain):
    customer = told(Customer(goal(cancel("no")), 1))
    customer.hear("All right, I will leave everything as it is.")
    assert customer.errands[0].outcome is None


def test_acting_before_the_number_is_told(plain):
    seed = next(s for s in range(50) if ORDER not in Customer(goal(cancel()), s).opening())
    customer = Customer(goal(cancel()), seed)
    customer.opening()
    customer.hear(f"Order {ORDER} is cancelled.")
    assert customer.errands[0].outcome == "acted without asking"


def test_a_wrong_number_at_the_confirmation_is_corrected(plain):
    customer = told(Customer(goal(cancel()), 1))
    answer = customer.hear(f"Shall I cancel order {SPARE}?")
    assert ORDER in answer
    assert customer.due() == {("confirm", "cancel_order")}


def test_a_slip_is_corrected_before_anything_is_done(plain, monkeypatch):
    monkeypatch.setattr(module, "SLIPS", 1.0)
    episodes = play(RuleAgent(), [Customer(goal(cancel()), seed) for seed in range(20)])
    for episode in episodes:
        said = [m["content"] for m in episode.messages if m["role"] == "user"]
        assert any(SPARE in message for message in said)
        assert any(ORDER in message for message in said)
        assert episode.success


def question(slot: str) -> Task:
    return Task(f"ask_{slot}", (("product", "Brisa kettle"),))


@pytest.mark.parametrize(
    ("slot", "reply", "outcome"),
    [
        ("price", "The Brisa kettle costs {right}.", "answered"),
        ("price", "The Brisa kettle costs 1 euros.", "told a wrong fact"),
        ("price", "The Marlo kettle costs {right}.", "answered"),
        ("price", "The {other} costs {right}.", "told a wrong fact"),
        ("price", "The Brisa kettle costs {right} or {rival}.", "told a wrong fact"),
        ("price", "The warranty on the Brisa kettle lasts two years.", None),
        ("price", "What is your order number, please?", None),
    ],
)
def test_facts_are_judged_by_the_catalogue(plain, slot, reply, outcome):
    brisa = shop().catalogue.by_name("Brisa kettle")
    others = [p for p in shop().catalogue.products if p.facts.get(slot) != brisa.facts[slot]]
    customer = Customer(goal(question(slot)), 1, mood="neutral")
    customer.opening()
    customer.hear(
        reply.format(
            right=brisa.facts[slot], other=others[0].full_name, rival=others[0].facts[slot]
        )
    )
    assert customer.errands[0].outcome == outcome


def test_a_lucky_guess_is_no_answer(plain, monkeypatch):
    monkeypatch.setattr(module, "FORGETS_PRODUCT", 1.0)
    customer = Customer(goal(question("price")), 1)
    assert "Brisa" not in customer.opening()
    assert customer.due() == {("request", "product")}
    price = shop().catalogue.by_name("Brisa kettle").facts["price"]
    customer.hear(f"The Brisa kettle costs {price}.")
    assert customer.errands[0].outcome == "answered without asking"


@pytest.mark.parametrize(
    ("task", "reply", "outcome"),
    [
        (Task("human_agent"), "I am putting you through to a colleague.", "handed_over"),
        (Task("complaint"), "I am very sorry about that.", None),
        (
            Task("out_of_scope", (("topic", "Who won the match last night?"),)),
            "I am sorry, I can only help with our products and your orders.",
            "declined",
        ),
        (
            Task("out_of_scope", (("topic", "Who won the match last night?"),)),
            "I am handing you over to a colleague now.",
            "handed over needlessly",
        ),
        (Task("ask_hotline"), "You can call us on 0800 555 0134.", "answered"),
        (Task("ask_hotline"), "You can call us on 0800 555 0135.", "told a wrong fact"),
        (Task("newsletter"), "I have taken your address off the list.", "done"),
    ],
)
def test_outcomes_of_other_wishes(plain, task, reply, outcome):
    customer = Customer(goal(task), 1)
    customer.opening()
    customer.hear(reply)
    assert customer.errands[0].outcome == outcome


def test_the_second_wish_follows_the_first(plain):
    customer = Customer(goal(Task("newsletter"), Task("ask_hotline")), 3)
    customer.opening()
    message = customer.hear("I have taken your address off the list.")
    assert customer_turn(message).intents[-1] == "ask_hotline"


def test_what_is_known_from_the_first_wish_is_not_told_again(plain):
    status = Task("order_status", (("order_number", ORDER),))
    for seed in range(10):
        customer = told(Customer(goal(status, cancel()), seed))
        message = customer.hear(f"I have sent the status of order {ORDER} to your e-mail address.")
        assert ORDER not in message
        assert customer.due() == {("confirm", "cancel_order")}


def test_the_same_seed_says_the_same():
    first, second = (play(RuleAgent(), draw_customers(40, seed=3)) for _ in range(2))
    assert [e.messages for e in first] == [e.messages for e in second]
    other = play(RuleAgent(), draw_customers(40, seed=4))
    assert [e.messages for e in first] != [e.messages for e in other]


def test_repeats_take_other_courses():
    customers = draw_customers(10, seed=3, repeats=3)
    assert len({customer.goal.id for customer in customers}) == 10
    assert len({customer.opening() for customer in customers}) > 20


def test_goals_cover_what_a_policy_can_get_wrong():
    goals = draw_goals(400, seed=1)
    intents = Counter(task.intent for goal in goals for task in goal.tasks)
    for intent in ("cancel_order", "return_item", "change_address", "human_agent", "out_of_scope"):
        assert intents[intent] >= 5
    refused = sum(task.get("decision") == "no" for goal in goals for task in goal.tasks)
    assert refused >= 30
    assert not {"price_match", "delete_account", "change_payment"} & set(intents)


def test_held_out_products_and_intents_come_only_when_wanted():
    held = {p.full_name for p in shop().catalogue.products if p.held_out}
    usual = {t.get("product") for g in draw_goals(200) for t in g.tasks} - {None}
    unseen = {t.get("product") for g in draw_goals(200, products="held_out") for t in g.tasks}
    assert not usual & held
    assert unseen - {None} <= held
    assert {g.policy()["outcome"] for g in unseen_goals(20)} == {"handed_over"}
    with pytest.raises(ValueError, match="held_out"):
        draw_goals(1, products="all")


def test_unseen_wordings_are_never_those_of_training():
    trained = {w.text for w in shop().trained.wordings["customer"]["cancel_order"]}
    tested = {w.text for w in shop().phrasing.wordings["customer"]["cancel_order"]}
    assert tested and not trained & tested


# ---- the tests above bite


def test_a_judge_that_forgets_the_no_is_caught(plain, monkeypatch):
    monkeypatch.setattr(module, "_acted", lambda turn, errand: "done")
    customer = told(Customer(goal(cancel("no")), 1))
    customer.hear(f"Order {ORDER} is cancelled.")
    assert customer.success  # what test_acting_against_a_no_is_seen would then report


def test_outcomes_are_named_once():
    assert len(set(DONE)) == len(DONE)
