"""The tools of tau-bench's shop, with amounts worked out by hand."""

from __future__ import annotations

import json

import pytest

from envs.published.tau_retail.data import table
from envs.published.tau_retail.writing import WritingTools
from tests.envs.published.small import ADDRESS

CARD, GIFT = "credit_card_1", "gift_card_1"


@pytest.fixture
def tools(small_data):
    return WritingTools()


def balance(tools):
    return tools.shop.find("users", "ann_lee_1")["payment_methods"][GIFT]["balance"]


def order(tools, key):
    return tools.shop.find("orders", key)


def test_a_customer_is_found_by_email_or_by_name_and_zip(tools):
    assert tools.find_user_id_by_email("ANN@example.com") == "ann_lee_1"
    assert tools.find_user_id_by_email("bob@example.com") == "Error: user not found"
    assert tools.find_user_id_by_name_zip("ann", "LEE", "78701") == "ann_lee_1"
    assert tools.find_user_id_by_name_zip("ann", "lee", "1") == "Error: user not found"


def test_records_are_shown_as_json(tools):
    assert json.loads(tools.get_order_details("#W1"))["status"] == "pending"
    assert json.loads(tools.get_product_details("10"))["name"] == "Mug"
    assert json.loads(tools.get_user_details("ann_lee_1"))["orders"] == ["#W1", "#W2"]
    assert tools.get_order_details("W1") == "Error: order not found"
    assert tools.get_product_details("101") == "Error: product not found"
    assert tools.get_user_details("ann") == "Error: user not found"
    assert tools.list_all_product_types() == '{"Mug": "10"}'


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 2", "4.0"),
        ("8.1 * 3", "24.3"),
        ("1 / 3", "0.33"),
        ("9 ** 9 ** 9", "Error"),
        ("__import__('os')", "Error"),
        ("1 / 0", "Error"),
    ],
)
def test_expressions_are_calculated_to_cents(tools, expression, value):
    assert tools.calculate(expression).startswith(value)


def test_a_cancelled_order_is_refunded(tools):
    tools.cancel_pending_order("#W1", "no longer needed")
    cancelled = order(tools, "#W1")
    assert cancelled["status"] == "cancelled"
    assert cancelled["cancel_reason"] == "no longer needed"
    assert cancelled["payment_history"][1] == {
        "transaction_type": "refund",
        "amount": 16.2,
        "payment_method_id": GIFT,
    }
    assert balance(tools) == 66.2
    assert tools.cancel_pending_order("#W1", "no longer needed") == (
        "Error: non-pending order cannot be cancelled"
    )


def test_items_of_a_pending_order_are_replaced_once(tools):
    # From two at 8.1 to one at 9.3: 1.2 more.
    tools.modify_pending_order_items("#W1", ["101"], ["102"], GIFT)
    changed = order(tools, "#W1")
    assert [item["item_id"] for item in changed["items"]] == ["102", "101"]
    assert changed["items"][0]["options"] == {"color": "blue"}
    assert changed["status"] == "pending (item modified)"
    assert changed["payment_history"][1]["amount"] == pytest.approx(1.2)
    assert balance(tools) == 48.8
    again = tools.modify_pending_order_items("#W1", ["101"], ["102"], GIFT)
    assert again == "Error: non-pending order cannot be modified"


def test_amounts_are_compared_to_the_cent(tools):
    tools.modify_pending_order_items("#W1", ["101"], ["102"], CARD)
    # 9.3 - 8.1 is 1.200000000000001 in floats.
    assert order(tools, "#W1")["payment_history"][1]["amount"] != 1.2
    changed = tools.shop.changes()["orders #W1"]
    assert changed["payment_history"][1]["amount"] == 1.2


def test_items_of_a_delivered_order_are_exchanged(tools):
    tools.exchange_delivered_order_items("#W2", ["101", "101"], ["104", "102"], CARD)
    changed = order(tools, "#W2")
    assert changed["status"] == "exchange requested"
    assert changed["exchange_new_items"] == ["102", "104"]
    # 99 + 9.3 - 2 * 8.1
    assert changed["exchange_price_difference"] == 92.1
    assert [item["item_id"] for item in changed["items"]] == ["101", "101"]


def test_items_of_a_delivered_order_are_returned(tools):
    tools.return_delivered_order_items("#W2", ["101"], GIFT)
    changed = order(tools, "#W2")
    assert changed["status"] == "return requested"
    assert changed["return_items"] == ["101"]
    assert changed["return_payment_method_id"] == GIFT


def test_the_payment_of_a_pending_order_is_changed(tools):
    tools.modify_pending_order_payment("#W1", CARD)
    history = order(tools, "#W1")["payment_history"]
    assert [(row["transaction_type"], row["payment_method_id"]) for row in history] == [
        ("payment", GIFT),
        ("payment", CARD),
        ("refund", GIFT),
    ]
    assert balance(tools) == 66.2


def test_addresses_are_changed(tools):
    new = {**ADDRESS, "address1": "2 Oak Street", "zip": "1"}
    tools.modify_pending_order_address("#W1", **new)
    tools.modify_user_address("ann_lee_1", **new)
    assert order(tools, "#W1")["address"] == new
    assert tools.shop.find("users", "ann_lee_1")["address"] == new
    assert tools.find_user_id_by_name_zip("Ann", "Lee", "1") == "ann_lee_1"


@pytest.mark.parametrize(
    ("name", "arguments", "reply"),
    [
        ("cancel_pending_order", ("#W9", "ordered by mistake"), "order not found"),
        (
            "cancel_pending_order",
            ("#W2", "ordered by mistake"),
            "non-pending order cannot be cancelled",
        ),
        (
            "modify_pending_order_items",
            ("#W1", ["999"], ["102"], GIFT),
            "999 not found",
        ),
        (
            "modify_pending_order_items",
            ("#W1", ["101"] * 3, ["102"] * 3, GIFT),
            "101 not found",
        ),
        (
            "modify_pending_order_items",
            ("#W1", ["101"], ["102", "102"], GIFT),
            "the number of items to be exchanged should match",
        ),
        (
            "modify_pending_order_items",
            ("#W1", ["101"], ["103"], GIFT),
            "new item 103 not found or available",
        ),
        (
            "modify_pending_order_items",
            ("#W1", ["101"], ["104"], GIFT),
            "insufficient gift card balance to pay for the new item",
        ),
        (
            "modify_pending_order_items",
            ("#W1", ["101"], ["102"], "paypal_1"),
            "payment method not found",
        ),
        (
            "exchange_delivered_order_items",
            ("#W1", ["101"], ["102"], CARD),
            "non-delivered order cannot be exchanged",
        ),
        (
            "exchange_delivered_order_items",
            ("#W2", ["101"], ["104"], GIFT),
            "insufficient gift card balance to pay for the price difference",
        ),
        (
            "return_delivered_order_items",
            ("#W2", ["999"], CARD),
            "some item not found",
        ),
        (
            "return_delivered_order_items",
            ("#W2", ["101"], "paypal_1"),
            "payment method not found",
        ),
        (
            "modify_pending_order_payment",
            ("#W1", GIFT),
            "the new payment method should be different from the current one",
        ),
        ("modify_user_address", ("ann", *"123456"), "user not found"),
    ],
)
def test_a_refused_call_changes_nothing(tools, name, arguments, reply):
    assert getattr(tools, name)(*arguments) == f"Error: {reply}"
    assert tools.shop.changes() == {}


def test_the_published_records_are_never_changed(tools):
    before = json.dumps([table("orders"), table("users")])
    tools.cancel_pending_order("#W1", "no longer needed")
    tools.modify_pending_order_items("#W1", ["101"], ["102"], GIFT)
    tools.return_delivered_order_items("#W2", ["101"], GIFT)
    assert json.dumps([table("orders"), table("users")]) == before
    assert WritingTools().shop.changes() == {}
