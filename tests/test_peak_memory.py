"""The peak of tensor memory, on work whose peak is known."""

from __future__ import annotations

import torch

from course_lib.peak_memory import peak_tensor_bytes

MB = 1_000_000


def new(size=MB):
    return torch.zeros(size, dtype=torch.uint8)


def test_what_is_alive_together_adds_up():
    assert peak_tensor_bytes(lambda: [new(), new(), new()]) == 3 * MB


def test_what_is_freed_before_does_not():
    def one_after_the_other():
        for _ in range(5):
            new()

    def two_then_one():
        kept = [new(), new()]
        kept.clear()
        return new()

    assert peak_tensor_bytes(one_after_the_other) == MB
    assert peak_tensor_bytes(two_then_one) == 2 * MB


def test_views_and_what_was_there_before_are_free():
    old = new()
    assert peak_tensor_bytes(lambda: (old[:10], old.view(-1, 2), old.add_(1))) == 0
    assert peak_tensor_bytes(lambda: new().view(-1, 2)[:3]) == MB


def test_the_backward_pass_counts():
    weight = torch.ones(1000, 1000, requires_grad=True)  # 4 MB
    x = torch.ones(1, 1000)
    peak = peak_tensor_bytes(lambda: (x @ weight).sum().backward())
    assert 4 * MB <= peak < 9 * MB
    assert weight.grad is not None


def test_a_second_run_gives_the_same():
    peaks = {peak_tensor_bytes(lambda: [new(), new()]) for _ in range(3)}
    assert peaks == {2 * MB}
