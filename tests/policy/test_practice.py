"""Practice: states can be reached again, verdicts follow the policy, a bad reward can be closed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from course_lib.policy.customer import Customer, draw_customers
from course_lib.policy.episodes import play
from course_lib.policy.practice import (
    BAD,
    GOOD,
    IDLE,
    Attempt,
    Practice,
    Situation,
    attempts,
    does_otherwise,
    hurried,
    situations,
    verdict,
    watched,
)
from course_lib.policy.rules import RuleAgent
from course_lib.world.dialogues import Family, Task

ORDER, ADDRESS = "4471902385", "3 Mill Road, Oxbury"
CANCEL = Family("t1", (Task("cancel_order", (("order_number", ORDER),)),), "1234512345")


def state(goal: Family, *replies: str, seed: int = 0) -> Situation:
    """The state of a customer that never greets, after these replies."""
    while True:
        customer = Customer(goal, seed)
        talk = [{"role": "user", "content": customer.opening()}]
        if not customer._waiting:
            break
        seed += 1
    for reply in replies:
        talk += [{"role": "assistant", "content": reply}]
        talk += [{"role": "user", "content": customer.hear(reply) or ""}]
    return Situation(goal, seed, "trained", replies, tuple(talk))


def told(goal: Family) -> Situation:
    """A state in which the customer has said the order number, without a slip."""
    for seed in range(50):
        found = state(goal, "What is your order number, please?", seed=seed)
        errand = found.customer().errand
        if errand and errand.told == errand.wanted and not found.customer()._waiting:
            return found
    raise AssertionError("no such customer")


def agreed(goal: Family) -> Situation:
    before = told(goal)
    question = f"Shall I cancel order {ORDER}?"
    return state(goal, *before.replies, question, seed=before.seed)


def test_a_state_can_be_reached_again():
    episodes = play(RuleAgent(), draw_customers(6, seed=5))
    for found in situations(episodes):
        customer = found.customer()
        assert len(customer.steps) == len(found.replies)
        assert found.history[-1]["content"] == customer._talk.messages[-1].content


def test_every_turn_of_the_agent_is_a_state():
    episodes = play(RuleAgent(), draw_customers(4, seed=5))
    assert len(situations(episodes)) == sum(len(e.steps) for e in episodes)
    assert len(situations(episodes + episodes)) == len(situations(episodes))


def test_the_rules_are_judged_good_at_every_state():
    states = situations(play(RuleAgent(), draw_customers(12, seed=6)))
    tried = attempts(RuleAgent(), states, 1)
    assert {verdict(group[0]) for group in tried} == {GOOD}


@pytest.mark.parametrize(
    ("reply", "worth"),
    [
        (f"Shall I cancel order {ORDER}?", GOOD),
        (f"Order {ORDER} is cancelled.", BAD),  # nobody has said yes
        ("I am handing you over to a colleague now.", BAD),
        ("What is your order number, please?", IDLE - 0.5),  # it was told
        ("Shall I cancel order 9999999999?", IDLE),
        ("The moon is full tonight.", IDLE),
        ("", IDLE),
    ],
)
def test_verdicts_before_the_yes(reply: str, worth: float):
    assert verdict(Attempt(told(CANCEL), reply)) == worth


def test_verdicts_after_the_yes():
    done = agreed(CANCEL)
    assert verdict(Attempt(done, f"Order {ORDER} is cancelled.")) == GOOD
    assert verdict(Attempt(done, "Order 9999999999 is cancelled.")) == BAD


def test_a_judged_state_is_as_before():
    found = told(CANCEL)
    assert [verdict(Attempt(found, "I see.")) for _ in range(2)] == [IDLE, IDLE]


def test_the_hurried_reward_is_won_by_handing_over():
    found = told(CANCEL)
    passing_on = Attempt(found, "I am handing you over to a colleague now.")
    assert hurried(passing_on) == 1.0
    assert verdict(passing_on) == BAD
    assert hurried(Attempt(found, f"Shall I cancel order {ORDER}?")) == 0.0


def test_only_the_tried_reply_is_trained():
    attempt = Attempt(agreed(CANCEL), "Done.")
    assert [m.get("train", True) for m in attempt.messages] == [False] * 5 + [True]
    assert attempt.messages[-1] == {"role": "assistant", "content": "Done."}


def test_practice_depends_on_seed_and_step_alone():
    def drawn(seed: int, step: int) -> list[str]:
        practice = Practice(RuleAgent(), RuleAgent(), 6, states=3, samples=2, renew=2, seed=seed)
        return [practice(n)[0][0].situation.goal.id for n in range(step + 1)]

    assert drawn(0, 3) == drawn(0, 3)
    assert set(drawn(0, 3)).isdisjoint(drawn(1, 3))
    early, late = drawn(0, 3)[0], drawn(0, 3)[-1]
    assert early.split("-")[:2] != late.split("-")[:2]  # new customers after `renew` steps


def test_groups_are_one_state_each():
    practice = Practice(RuleAgent(), RuleAgent(), customers=6, states=3, samples=4)
    groups = practice(0)
    assert [len(group) for group in groups] == [4, 4, 4]
    assert all(len({id(a.situation) for a in group}) == 1 for group in groups)


def test_another_wording_is_no_other_doing():
    assert not does_otherwise(f"Shall I cancel order {ORDER}?", f"May I cancel order {ORDER} now?")
    assert does_otherwise(f"Shall I cancel order {ORDER}?", "Shall I cancel order 1234512345?")
    assert does_otherwise(f"Shall I cancel order {ORDER}?", f"Order {ORDER} is cancelled.")


def test_what_is_watched():
    found = told(CANCEL)
    same = [Attempt(found, "I am handing you over to a colleague now.")] * 4
    poor = watched(same)
    rich = watched([*same[:1], replace(same[0], reply=f"Shall I cancel order {ORDER}?")])
    assert poor["handover"] == 1.0
    assert rich["handover"] == 0.5
    assert poor["words"] == 9.0
    assert poor["distinct"] < rich["distinct"]


def test_fixed_situations_need_no_guide():
    states = situations(play(RuleAgent(), draw_customers(3, seed=5)))
    practice = Practice(RuleAgent(), None, states=2, samples=2, fixed=states)
    assert all(a.situation in states for group in practice(7) for a in group)
