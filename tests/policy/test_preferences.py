"""DPO: the loss is TRL's, pairs come from where two replies do different things, training helps."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import pytest

torch = pytest.importorskip("torch")

from course_lib.chat_format import END  # noqa: E402
from course_lib.models import prepare_for_chat  # noqa: E402
from course_lib.policy.preferences import (  # noqa: E402
    DPOConfig,
    Preference,
    dpo_loss,
    first_loss_of_trl,
    prefer,
    preferences,
    rendered_replies,
    reply_log_probs,
    states,
)
from tests.tiny import bpe_tokenizer, tiny_gpt2  # noqa: E402

ASKED = {"role": "user", "content": "Hello! Is it two years?"}
PAIRS = [
    Preference((ASKED,), "It is two years.", "Thank you."),
    Preference(
        (ASKED, {"role": "assistant", "content": "It is."}, {"role": "user", "content": "Thanks"}),
        "You are welcome.",
        "My order number is 1234567890.",
    ),
    Preference(({"role": "user", "content": "My order."},), "What is the number?", "It is long"),
]


@dataclass
class Talk:
    messages: list[dict] = field(default_factory=list)


class Fixed:
    def __init__(self, reply):
        self.text = reply

    def reply(self, histories):
        return [self.text for _ in histories]


def start():
    return prepare_for_chat(tiny_gpt2(), bpe_tokenizer())


def sums(model, tokenizer, side):
    rows = rendered_replies([(p.history, getattr(p, side)) for p in PAIRS], tokenizer)
    with torch.no_grad():
        return reply_log_probs(model, rows, tokenizer.pad_token_id)


def test_the_loss_by_hand():
    chosen, rejected = torch.tensor([-1.0, -4.0]), torch.tensor([-3.0, -2.0])
    loss, margins = dpo_loss(
        chosen, rejected, torch.tensor([-2.0, -3.0]), torch.tensor([-2.0, -3.5]), 0.5
    )
    by_hand = [0.5 * ((-1 + 2) - (-3 + 2)), 0.5 * ((-4 + 3) - (-2 + 3.5))]
    assert margins.tolist() == pytest.approx(by_hand)
    assert loss.item() == pytest.approx(sum(math.log(1 + math.exp(-m)) for m in by_hand) / 2)


def test_at_the_start_it_is_the_log_of_two():
    model, tokenizer = start()
    chosen, rejected = (sums(model, tokenizer, side) for side in ("chosen", "rejected"))
    loss, margins = dpo_loss(chosen, rejected, chosen, rejected)
    assert loss.item() == pytest.approx(math.log(2))
    assert margins.tolist() == [0.0] * 3


def test_only_the_last_reply_and_its_end_token_count():
    _, tokenizer = start()
    (row,) = rendered_replies([(PAIRS[1].history, PAIRS[1].chosen)], tokenizer)
    assert tokenizer.decode(row.trained_ids) == f"You are welcome.{END}"


def test_the_log_probability_is_that_of_the_reply_alone():
    model, tokenizer = start()
    (row,) = rendered_replies([(PAIRS[1].history, PAIRS[1].chosen)], tokenizer)
    ids = torch.tensor(row.ids)
    with torch.no_grad():
        steps = model(ids[None]).logits[0, :-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        whole = steps[torch.tensor(row.mask)[1:]].sum()
    assert sums(model, tokenizer, "chosen")[1].item() == pytest.approx(whole.item(), abs=1e-4)


def test_it_is_trls_loss(tmp_path):
    """TRL's own trainer, on the same pairs and with another model as its start."""
    pytest.importorskip("trl")
    from datasets import Dataset
    from trl import DPOConfig as TheirConfig
    from trl import DPOTrainer

    model, tokenizer = start()
    reference = copy.deepcopy(model)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in reference.parameters():
            weight += 0.05 * torch.randn_like(weight)
    theirs = DPOTrainer(
        model,
        reference,
        args=TheirConfig(
            output_dir=str(tmp_path),
            beta=0.3,
            per_device_train_batch_size=len(PAIRS),
            report_to=[],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=None,
            dataloader_pin_memory=False,
        ),
        train_dataset=Dataset.from_list([pair.to_record() for pair in PAIRS]),
        processing_class=tokenizer,
    )
    batch = next(iter(theirs.get_train_dataloader()))
    with torch.no_grad():
        expected = theirs.compute_loss(model, batch).item()
    four = [sums(m, tokenizer, s) for m in (model, reference) for s in ("chosen", "rejected")]
    assert dpo_loss(*four, beta=0.3)[0].item() == pytest.approx(expected, abs=1e-4)
    assert abs(expected - math.log(2)) > 0.01  # the two models do differ


# ---- pairs


def test_states_are_the_agents_turns():
    talk = Talk([dict(m) for m in PAIRS[1].history] + [{"role": "assistant", "content": "Bye."}])
    found = states([talk])
    assert [said for _, said in found] == ["It is.", "Bye."]
    assert [len(history) for history, _ in found] == [1, 3]


def test_another_wording_of_the_same_act_is_no_preference():
    talks = [Talk([ASKED, {"role": "assistant", "content": text}]) for text in ("no", "Yes", "no")]
    found = preferences(talks, Fixed("YES"), lambda said, good: said.lower() != good.lower())
    assert found == [Preference((ASKED,), "YES", "no")]  # and the same pair stands there once


# ---- training


def test_training_makes_the_chosen_replies_more_likely():
    model, tokenizer = start()
    before = sums(model, tokenizer, "chosen") - sums(model, tokenizer, "rejected")
    records = prefer(model, tokenizer, PAIRS, DPOConfig(10, 3, 5e-3))
    after = sums(model, tokenizer, "chosen") - sums(model, tokenizer, "rejected")
    assert bool((after > before).all())
    assert records[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert records[-1]["loss"] < records[0]["loss"]
    assert records[-1]["right"] == 1.0


def test_swapped_sides_teach_the_opposite():
    model, tokenizer = start()
    before = sums(model, tokenizer, "chosen") - sums(model, tokenizer, "rejected")
    swapped = [Preference(p.history, p.rejected, p.chosen) for p in PAIRS]
    prefer(model, tokenizer, swapped, DPOConfig(5, 3, 5e-3))
    after = sums(model, tokenizer, "chosen") - sums(model, tokenizer, "rejected")
    assert bool((after < before).all())


def test_pairs_that_do_not_fit_are_left_out():
    model, tokenizer = start()
    long = Preference(({"role": "user", "content": "Hello! " * 200},), "It is.", "No.")
    assert len(prefer(model, tokenizer, [*PAIRS, long], DPOConfig(1, 3))) == 1
    with pytest.raises(ValueError, match="fits"):
        prefer(model, tokenizer, [long])


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="beta"):
        DPOConfig(beta=0.0)


def test_the_line_with_trl_gives_our_loss_at_the_start():
    pytest.importorskip("trl")
    model, tokenizer = start()
    assert first_loss_of_trl(model, tokenizer, PAIRS) == pytest.approx(math.log(2), abs=1e-4)
    assert model.training is False
