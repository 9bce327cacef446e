from __future__ import annotations

import math

from unlearnkit.functional.cost import break_even, holistic_cost


def test_a_request_costs_its_deletion_and_the_answers_after_it() -> None:
    assert holistic_cost(10.0, 4.0, 0.5) == 12.0


def test_examples_in_a_prompt_pay_until_the_saving_is_spent() -> None:
    assert break_even(unlearning=10.0, overhead=0.5, retraining=30.0) == 40.0
    assert holistic_cost(10.0, 40.0, 0.5) == 30.0  # there it costs what retraining does
    assert break_even(30.0, 0.5, 10.0) == 0.0
    assert break_even(10.0, 0.0, 30.0) == math.inf
