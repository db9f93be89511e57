"""What a file can hold."""

from __future__ import annotations

import math

import pytest
import torch

from envs.plain import Unstorable, json_in_utf8, plain, plain_integer, plain_number


@pytest.mark.parametrize(
    "text", ['["\\ud83d", {"a": NaN}]', b'["\\ud83d", {"a": NaN}]']
)
def test_json_of_others_is_in_utf8(text):
    half, about = json_in_utf8(text)
    assert half == "?"
    assert math.isnan(about["a"])
    assert json_in_utf8('"\\ud83d\\ude42"') == "🙂"


def test_json_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="Expecting value"):
        json_in_utf8("?")


def test_scalars_of_torch_are_numbers():
    values = [torch.tensor(3), torch.tensor(0.5), torch.tensor(True)]
    assert plain(values, "x") == [3, 0.5, True]
    assert [type(value) for value in plain(values, "x")] == [int, float, bool]
    assert plain_number(torch.tensor(0.5, dtype=torch.bfloat16), "x") == 0.5
    assert plain_integer(torch.tensor(3), "x") == 3


def test_a_scalar_without_a_value_is_refused_by_name():
    with pytest.raises(Unstorable, match="x has no value: "):
        plain(torch.tensor(3, device="meta"), "x")
    with pytest.raises(Unstorable, match="x: Tensor is not JSON"):
        plain(torch.zeros(2), "x")


def test_deep_values_are_stored_up_to_a_depth():
    value: list[object] = []
    for _ in range(99):
        value = [value]
    assert plain(value, "x") is value
    with pytest.raises(Unstorable, match="nested deeper than 100"):
        plain([value], "x")
