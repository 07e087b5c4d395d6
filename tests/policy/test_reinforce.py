"""Policy gradient: the gradient is the formula's, a toy learns, KL holds it, the mask is right."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import pytest

torch = pytest.importorskip("torch")

from course_lib.batching import IGNORE, pad_batch  # noqa: E402
from course_lib.chat_format import END  # noqa: E402
from course_lib.losses import lm_loss  # noqa: E402
from course_lib.models import prepare_for_chat, with_lora  # noqa: E402
from course_lib.policy.preferences import rendered_replies, reply_log_probs  # noqa: E402
from course_lib.policy.reinforce import (  # noqa: E402
    RLConfig,
    Scored,
    advantages,
    divergence,
    drawn,
    frozen_copy,
    policy_loss,
    policy_step,
    rate_at,
    reinforce,
    rendered,
    score,
    trained_weights,
)
from course_lib.training import TrainingDiverged  # noqa: E402
from tests.tiny import bpe_tokenizer, tiny_gpt2  # noqa: E402

ASKED = {"role": "user", "content": "Hello! Is it two years?"}
YES, NO = "y", "n"  # one token each, so that neither is much likelier at the start


@dataclass
class Talk:
    messages: list[dict] = field(default_factory=list)


def said(reply: str) -> Talk:
    return Talk([ASKED, {"role": "assistant", "content": reply}])


def start():
    return prepare_for_chat(tiny_gpt2(), bpe_tokenizer())


def odds(model, tokenizer) -> torch.Tensor:
    """Probabilities of YES and NO, when it must say one of the two."""
    pairs = [((ASKED,), reply) for reply in (YES, NO)]
    with torch.no_grad():
        rows = rendered_replies(pairs, tokenizer)
        return reply_log_probs(model, rows, tokenizer.pad_token_id).softmax(0)


def bandit(model, tokenizer, samples: int = 8):
    """One scenario, two possible replies, drawn as the model as it stands would draw them."""

    def play(step: int) -> list[list[Talk]]:
        generator = torch.Generator().manual_seed(step)
        picks = torch.multinomial(
            odds(model, tokenizer), samples, replacement=True, generator=generator
        )
        return [[said((YES, NO)[pick]) for pick in picks.tolist()]]

    return play


def likes_yes(talk: Talk) -> float:
    return float(talk.messages[-1]["content"] == YES)


def learn(kl_weight: float, steps: int = 25, **options):
    model, tokenizer = start()
    before = odds(model, tokenizer)[0].item()
    config = RLConfig(steps, 5e-3, kl_weight, 1.0, warmup=0, precision="fp32", **options)
    records = reinforce(model, tokenizer, bandit(model, tokenizer), likes_yes, config)
    return before, odds(model, tokenizer)[0].item(), records


# ---- formulas


def test_the_baseline_is_the_mean_of_the_others():
    assert advantages([[1.0, 0.0, 0.0], [2.0, 2.0]]) == [
        pytest.approx([1.0, -0.5, -0.5]),
        [0.0, 0.0],
    ]
    with pytest.raises(ValueError, match="at least twice"):
        advantages([[1.0]])


def test_the_gradient_is_the_one_worked_out_by_hand():
    torch.manual_seed(1)
    logits = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    held = torch.randn(3, 5, dtype=torch.float64).log_softmax(-1)
    labels, rows = torch.tensor([4, 0, 2]), torch.tensor([0, 0, 1])
    gain, beta = torch.tensor([0.5, -2.0], dtype=torch.float64), 0.3
    policy_loss(Scored(logits.log_softmax(-1), labels, rows), held, gain, beta).backward()
    p = logits.detach().softmax(-1)
    chosen = torch.eye(5, dtype=torch.float64)[labels]
    ratio = p.log() - held
    kl = (p * ratio).sum(-1, keepdim=True)
    by_hand = -gain[rows][:, None] * (chosen - p) + beta * p * (ratio - kl)
    assert torch.allclose(logits.grad, by_hand)


def test_divergence_is_torchs_and_nought_at_the_start():
    torch.manual_seed(2)
    p, q = torch.randn(2, 4, 7).log_softmax(-1)
    theirs = torch.nn.functional.kl_div(q, p, log_target=True, reduction="none").sum(-1)
    assert torch.allclose(divergence(p, q), theirs, atol=1e-6)
    assert torch.allclose(divergence(p, p), torch.zeros(4), atol=1e-6)


def test_the_temperature_is_the_one_it_was_drawn_at():
    model, tokenizer = start()
    batch = pad_batch(rendered([said(YES)], tokenizer), tokenizer.pad_token_id)
    plain, cold = score(model, batch), score(model, batch, temperature=0.5)
    assert torch.allclose((2 * plain.log_probs).log_softmax(-1), cold.log_probs, atol=1e-5)


def test_entropy_of_an_even_choice():
    even = torch.zeros(1, 8).log_softmax(-1)
    assert Scored(even, torch.tensor([0]), torch.tensor([0])).entropy.item() == pytest.approx(
        math.log(8)
    )


def test_with_weight_one_and_no_kl_it_is_the_loss_of_sft():
    model, tokenizer = start()
    encoded = rendered([said(YES), said(NO)], tokenizer)
    batch = pad_batch(encoded, tokenizer.pad_token_id)
    scored = score(model, batch)
    ours = policy_loss(scored, scored.log_probs, torch.ones(2), 0.0) / len(scored.labels)
    assert ours.item() == pytest.approx(lm_loss(model, batch).item(), abs=1e-5)


# ---- mask


def test_only_what_the_agent_said_is_trained():
    _, tokenizer = start()
    talk = Talk(
        [
            ASKED,
            {"role": "assistant", "content": YES},
            {"role": "user", "content": NO},
            {"role": "assistant", "content": "You are welcome."},
            {"role": "assistant", "content": "Hello!", "train": False},
        ]
    )
    (encoded,) = rendered([talk], tokenizer)
    assert tokenizer.decode(encoded.trained_ids) == f"{YES}{END}You are welcome.{END}"


def test_rows_belong_to_their_tokens():
    model, tokenizer = start()
    encoded = rendered([said(YES), said("You are welcome."), said(NO)], tokenizer)
    batch = pad_batch(encoded, tokenizer.pad_token_id)
    scored = score(model, batch)
    for row, one in enumerate(encoded):
        assert scored.labels[scored.rows == row].tolist() == one.trained_ids
    full = model(**{k: v for k, v in batch.items() if k != "labels"}).logits.log_softmax(-1)
    where = batch["labels"][:, 1:] != IGNORE
    taken = full[:, :-1].gather(2, batch["labels"][:, 1:].clamp(min=0)[..., None])[..., 0]
    assert torch.allclose(scored.taken, taken[where], atol=1e-5)


# ---- one step


def test_a_step_is_minus_the_gradient_of_the_mean_over_the_agents_tokens():
    model, tokenizer = start()
    pairs = list(zip(rendered([said(YES), said(NO)], tokenizer), (1.5, -0.5), strict=True))
    config = RLConfig(1, 1.0, 0.0, 1.0, clip=1e9, rows=1, precision="fp32")  # two micro-batches
    plain = copy.deepcopy(model)
    optimizer = torch.optim.SGD(trained_weights(model), lr=1.0)
    record = policy_step(
        model, frozen_copy(model), optimizer, pairs, tokenizer.pad_token_id, config
    )
    total = 0.0
    for encoded, gain in pairs:
        ids = torch.tensor(encoded.ids)
        logits = plain(ids[None]).logits[0, :-1].log_softmax(-1)
        on = torch.tensor(encoded.mask)[1:]
        total = total - gain * logits.gather(1, ids[1:, None])[:, 0][on].sum()
    (total / record["tokens"]).backward()
    moved = dict(model.named_parameters())
    for name, old in plain.named_parameters():
        if "wte" not in name:
            assert torch.allclose(old - old.grad, moved[name], atol=1e-4), name
    assert record["kl"] == pytest.approx(0.0, abs=1e-6)


def test_the_table_of_tokens_and_the_frozen_weights_stay():
    model, tokenizer = start()
    before = model.get_input_embeddings().weight.clone()
    reinforce(model, tokenizer, bandit(model, tokenizer), likes_yes, RLConfig(2))
    assert torch.equal(before, model.get_input_embeddings().weight)
    wrapped = with_lora(start()[0])
    assert all("lora" in name for name, p in wrapped.named_parameters() if p.requires_grad)
    assert 0 < len(trained_weights(wrapped)) < len(list(wrapped.parameters()))


def test_the_gradient_is_clipped():
    model, tokenizer = start()
    pairs = list(zip(rendered([said(YES), said(NO)], tokenizer), (100.0, -90.0), strict=True))
    optimizer = torch.optim.SGD(trained_weights(model), lr=1.0)
    before = [p.detach().clone() for p in trained_weights(model)]
    record = policy_step(
        model, frozen_copy(model), optimizer, pairs, tokenizer.pad_token_id, RLConfig(clip=0.01)
    )
    after = trained_weights(model)
    parts = [(a - b).detach().norm() for a, b in zip(after, before, strict=True)]
    moved = torch.stack(parts).norm().item()
    assert record["grad_norm"] > 0.01
    assert moved <= 0.0101


def test_not_a_number_stops_it_with_the_weights_as_before():
    model, tokenizer = start()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TrainingDiverged, match="reward"):
        reinforce(model, tokenizer, bandit(model, tokenizer), lambda _: math.nan, RLConfig(1))
    broken = frozen_copy(model)
    with torch.no_grad():
        next(broken.parameters())[:] = math.nan
    pairs = list(zip(rendered([said(YES), said(NO)], tokenizer), (1.0, -1.0), strict=True))
    optimizer = torch.optim.SGD(trained_weights(model), lr=1.0)
    with pytest.raises(TrainingDiverged, match="learning rate"):
        policy_step(model, broken, optimizer, pairs, tokenizer.pad_token_id, RLConfig())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_an_agent_that_says_nothing_is_refused():
    model, tokenizer = start()
    with pytest.raises(ValueError, match="said nothing"):
        silent = [[Talk([ASKED]), Talk([ASKED, ASKED])]]
        reinforce(model, tokenizer, lambda _: silent, lambda t: len(t.messages), RLConfig(1))


def test_what_is_too_long_is_counted_and_left_out():
    model, tokenizer = start()
    longer = said("Hello! " * 150)
    (record,) = reinforce(
        model, tokenizer, lambda _: [[said(YES), said(NO), longer]], likes_yes, RLConfig(1)
    )
    assert record["too_long"] == 1


# ---- the whole


def test_a_bandit_learns_what_is_rewarded():
    before, after, records = learn(kl_weight=0.0)
    assert after > before + 0.15
    assert records[-1]["reward"] > records[0]["reward"]


def test_with_the_sign_turned_it_learns_the_opposite(monkeypatch):
    def turned(scored, reference, advantage, kl_weight):
        return policy_loss(scored, reference, -advantage, kl_weight)

    monkeypatch.setattr("course_lib.policy.reinforce.policy_loss", turned)
    before, after, _ = learn(kl_weight=0.0)
    assert after < before


def test_kl_holds_it_near_the_start():
    _, free, loose = learn(kl_weight=0.0)
    before, held, tight = learn(kl_weight=5.0)
    assert abs(held - before) < abs(free - before)
    far = [max(record["kl"] or 0.0 for record in run) for run in (loose, tight)]
    assert far[1] < 0.8 * far[0]


def test_equal_rewards_teach_nothing():
    model, tokenizer = start()
    before = copy.deepcopy(model.state_dict())
    config = RLConfig(3, kl_weight=0.0)
    records = reinforce(model, tokenizer, bandit(model, tokenizer), lambda _: 1.0, config)
    assert {record["telling"] for record in records} == {0.0}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_same_seed_gives_the_same_records():
    first, second = (learn(0.1, steps=4)[2] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert {"step", "reward", "kl", "entropy", "loss", "grad_norm", "tokens"} <= set(first[0])


def test_records_come_while_it_runs_with_what_is_watched():
    model, tokenizer = start()
    seen = []
    reinforce(
        model,
        tokenizer,
        bandit(model, tokenizer),
        likes_yes,
        RLConfig(2),
        seen.append,
        lambda talks: {"talks": len(talks)},
    )
    assert [record["step"] for record in seen] == [1, 2]
    assert seen[0]["talks"] == 8


def test_the_rate_rises_and_falls():
    rates = [rate_at(step, RLConfig(10, 1.0, warmup=3)) for step in range(10)]
    assert rates[:4] == pytest.approx([0.25, 0.45, 0.6, 0.7])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)
    assert rate_at(0, RLConfig(10, 1.0, warmup=0)) == 1.0


def test_draws_differ_by_step_and_not_by_call():
    assert drawn(range(100), 5, 3) == drawn(range(100), 5, 3)
    assert drawn(range(100), 5, 3) != drawn(range(100), 5, 4)
    assert len(set(drawn(range(5), 5, 0))) == 5


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"kl_weight": -1.0}, {"temperature": 0.0}, {"learning_rate": 0.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError):
        RLConfig(**wrong)
