"""BLEU and chrF are sacreBLEU's, ROUGE-L is rouge_score's; wrong references are told."""

from __future__ import annotations

import pytest
import sacrebleu

from course_lib.metrics.overlap import bleu, chrf, longest_common, rouge_l

REPLIES = [
    "The warranty on the kettle lasts two years.",
    "It weighs 3.1 kilograms.",
    "Hello!",
    "Which order is it? I need the number.",
]
GOLD = [
    "The warranty on the Brisa kettle is two years.",
    "It weighs 3 kilograms.",
    "Hello, how can I help?",
    "Which order is it?",
]


def test_bleu_and_chrf_are_sacrebleus_own():
    assert bleu(REPLIES, GOLD).value == pytest.approx(sacrebleu.corpus_bleu(REPLIES, [GOLD]).score)
    assert chrf(REPLIES, GOLD).value == pytest.approx(sacrebleu.corpus_chrf(REPLIES, [GOLD]).score)
    plus = sacrebleu.corpus_chrf(REPLIES, [GOLD], word_order=2).score
    assert chrf(REPLIES, GOLD, word_order=2).value == pytest.approx(plus)
    for reply, gold, one in zip(REPLIES, GOLD, bleu(REPLIES, GOLD).per_reply, strict=True):
        assert one == pytest.approx(sacrebleu.sentence_bleu(reply, [gold]).score)


def test_several_references_a_reply():
    more = [[gold, reply] for gold, reply in zip(GOLD, REPLIES, strict=True)]
    assert bleu(REPLIES, more).value == pytest.approx(100)
    assert rouge_l(REPLIES, more).value == pytest.approx(1)
    uneven = [more[0], *GOLD[1:]]
    streams = [GOLD, [REPLIES[0], None, None, None]]
    assert bleu(REPLIES, uneven).value == pytest.approx(
        sacrebleu.corpus_bleu(REPLIES, streams).score
    )


def test_a_corpus_score_is_no_mean_of_reply_scores():
    found = bleu(REPLIES, GOLD)
    assert abs(found.value - sum(found.per_reply) / 4) > 1


def test_short_replies_need_the_effective_order():
    short, gold = ["Yes.", "No."], ["Yes.", "No."]
    assert bleu(short, gold).value == pytest.approx(100)
    assert bleu(short, gold, effective_order=False).value == 0
    assert "eff:yes" in bleu(short, gold).signature
    both = [bleu(REPLIES, GOLD, effective_order=flag).value for flag in (True, False)]
    assert both[0] == pytest.approx(both[1])  # of no effect where a reply has four words


def test_the_signature_names_the_tokenizer_and_forbids_mixing():
    assert "tok:13a" in bleu(REPLIES, GOLD).signature
    zh = bleu(["保修期为两年。"], ["保修期是两年。"], tokenize="zh")
    assert "tok:zh" in zh.signature
    assert zh.value > bleu(["保修期为两年。"], ["保修期是两年。"]).value
    with pytest.raises(ValueError, match="different measures"):
        bleu(REPLIES, GOLD).against(bleu(REPLIES, GOLD, tokenize="char"))


def test_intervals_and_a_paired_test_come_from_the_summed_statistics():
    worse = [reply[: len(reply) // 2] for reply in GOLD] * 10
    good, groups = bleu(REPLIES * 10, GOLD * 10), [i // 2 for i in range(40)]
    assert good.interval(groups).low < good.value < good.interval(groups).high
    assert good.value == pytest.approx(bleu(REPLIES, GOLD).value)
    found = good.against(bleu(worse, GOLD * 10), groups)
    assert found.difference.low > 0
    assert found.p < 0.01


@pytest.mark.parametrize(
    ("reply", "gold", "expected"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75),  # Lin (2004), 3 of 4 words
        ("the gunman kill police", "police kill the gunman", 0.5),  # in order, 2 of 4
        ("a b", "a b c d", 2 * 1.0 * 0.5 / 1.5),  # precision 1, recall 1/2
        ("", "a", 0.0),
        ("It's 5 Euros!", "it s 5 euros", 1.0),
    ],
)
def test_rouge_l_of_cases_counted_by_hand(reply, gold, expected):
    assert rouge_l([reply], [gold]).value == pytest.approx(expected)


def test_rouge_l_is_rouge_scores():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    for reply, gold, one in zip(REPLIES, GOLD, rouge_l(REPLIES, GOLD).per_reply, strict=True):
        assert one == pytest.approx(scorer.score(gold, reply)["rougeL"].fmeasure)


def test_longest_common_against_all_subsequences():
    from itertools import combinations

    first, second = "abcab", "bacba"
    common = {s for n in range(6) for s in combinations(first, n)} & {
        s for n in range(6) for s in combinations(second, n)
    }
    assert longest_common(first, second) == max(len(s) for s in common)


@pytest.mark.parametrize("measure", [bleu, chrf, rouge_l])
def test_wrong_references_are_told(measure):
    with pytest.raises(ValueError, match="wrong way round"):
        measure(REPLIES, [GOLD])
    with pytest.raises(ValueError, match="4 replies and 3 references"):
        measure(REPLIES, GOLD[:3])
    with pytest.raises(TypeError, match="replies come first"):
        measure([[gold] for gold in GOLD], REPLIES)
    with pytest.raises(TypeError, match="give a list"):
        measure(REPLIES[0], [GOLD[0]])
    with pytest.raises(TypeError, match="references: one text"):
        measure([REPLIES[0]], GOLD[0])
    with pytest.raises(TypeError, match="references of reply 1"):
        measure(REPLIES, [GOLD[0], [], *GOLD[2:]])
    with pytest.raises(ValueError, match="none given"):
        measure([], [])
