"""Early stopping: any gain is the best, patience has its own mark, the best weights come back."""

from __future__ import annotations

import copy

import pytest
import torch

from course_lib.stopping import EarlyStopping


def seen(values, **settings):
    """Shows one value after the other; the weight equals the number of the evaluation."""
    stopping = EarlyStopping(**{"patience": 2, **settings})
    model = torch.nn.Linear(1, 1, bias=False)
    for number, value in enumerate(values, 1):
        torch.nn.init.constant_(model.weight, float(number))
        stopping.see({"eval_loss": value}, number, model)
        if stopping.over:
            break
    stopping.restore(model)
    return stopping, number, model.weight.item()


def test_it_stops_after_patience_and_gives_the_best_weights_back():
    stopping, number, weight = seen([3.0, 2.0, 2.5, 2.4, 1.0])
    assert (number, stopping.best_step, weight) == (4, 2, 2.0)
    assert stopping.over


def test_a_kept_weight_is_a_copy():
    """The mutant: references would follow the training, and the best be the last."""
    model = torch.nn.Linear(1, 1, bias=False)
    stopping = EarlyStopping(patience=1)
    torch.nn.init.constant_(model.weight, 1.0)
    stopping.see({"eval_loss": 1.0}, 1, model)
    torch.nn.init.constant_(model.weight, 9.0)
    stopping.restore(model)
    assert model.weight.item() == 1.0


SLOW = [2.0 - 0.04 * n for n in range(20)]  # each gain is below the threshold of 0.1


def test_slow_steady_gains_do_not_stop_it():
    stopping, number, weight = seen(SLOW, patience=3, min_delta=0.1)
    assert not stopping.over
    assert (number, weight) == (20, 20.0)


class AgainstTheBest(EarlyStopping):
    """The known mistake: patience measured against a best that moves on any gain."""

    def see(self, measures, step, model):
        before = self.best
        super().see(measures, step, model)
        gain = float("inf") if before is None else before - measures["eval_loss"]
        self.waited = 0 if gain > self.min_delta else self._waits + 1
        self._waits = self.waited

    _waits = 0


def test_the_known_mistake_would_stop_it():
    stopping, model = AgainstTheBest(patience=3, min_delta=0.1), torch.nn.Linear(1, 1)
    for number, value in enumerate(SLOW, 1):
        stopping.see({"eval_loss": value}, number, model)
        if stopping.over:
            break
    assert number == 4


def test_a_small_gain_is_kept_though_patience_does_not_count_it():
    stopping, number, weight = seen([2.0, 1.95, 1.99], min_delta=0.1)
    assert stopping.over and weight == 2.0


def test_higher_may_be_better():
    _, number, weight = seen([0.1, 0.5, 0.4, 0.3, 0.9], higher_is_better=True)
    assert (number, weight) == (4, 2.0)


def test_what_is_no_number_is_no_gain():
    _, number, weight = seen([float("nan"), 2.0, float("nan"), float("nan")])
    assert (number, weight) == (4, 2.0)


def test_no_patience_keeps_nothing():
    stopping, _, _ = seen([3.0, 2.0, 4.0, 5.0], patience=0)
    assert not stopping.over and stopping.weights is None


def test_an_unknown_measure_is_named():
    with pytest.raises(KeyError, match="watches 'accuracy'.*eval_loss"):
        seen([1.0], watch="accuracy")


def test_its_state_goes_on():
    model, values = torch.nn.Linear(1, 1), [3.0, 2.9, 2.95]
    first = EarlyStopping(patience=2)
    for number, value in enumerate(values, 1):
        first.see({"eval_loss": value}, number, model)
    second = EarlyStopping(patience=2)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.see({"eval_loss": 2.95}, 4, model)
    assert second.over and second.best_step == 2
