"""The tools that change the shop's records, with tau-bench's rules for each."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec

from envs.published.tau_retail.data import table
from envs.published.tau_retail.reading import ReadingTools
from envs.published.tau_retail.shop import CENTS, Record
from envs.tool_env import tool

__all__ = ["WritingTools"]

GIFT_CARD = "gift_card"

P = ParamSpec("P")


class Refusal(Exception):
    """Why a tool changes nothing, in words for the policy."""

    def __str__(self) -> str:
        return f"Error: {self.args[0]}"


def _writing_tool(method: Callable[P, str]) -> Callable[P, str]:
    """A tool whose reply says why it changes nothing, if the method raises Refusal."""

    @functools.wraps(method)
    def reply(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return method(*args, **kwargs)
        except Refusal as refusal:
            return str(refusal)

    return tool(reply)


class WritingTools(ReadingTools):
    """Tools that change an order or a user, or say why they do not."""

    @_writing_tool
    def cancel_pending_order(
        self,
        order_id: str,
        reason: Literal["no longer needed", "ordered by mistake"],
    ) -> str:
        """Cancel a pending order. Its payments are refunded.

        Args:
            order_id: with its `#`, such as `#W0000000`.
            reason: the customer's.
        """
        order = self._order(order_id, "pending", "cancelled")
        refunds: list[Record] = []
        for payment in order["payment_history"]:
            method_id, amount = payment["payment_method_id"], payment["amount"]
            refunds.append(_payment("refund", amount, method_id))
            if GIFT_CARD in method_id:
                _add(self._method(order, method_id), amount)
        order["status"] = "cancelled"
        order["cancel_reason"] = reason
        order["payment_history"] += refunds
        return json.dumps(order)

    @_writing_tool
    def modify_pending_order_address(
        self,
        order_id: str,
        address1: str,
        address2: str,
        city: str,
        state: str,
        country: str,
        zip: str,
    ) -> str:
        """Change the shipping address of a pending order.

        Args:
            order_id: with its `#`, such as `#W0000000`.
            address1: first line, such as `123 Main St`.
            address2: second line, such as `Apt 1`, or empty.
            city: such as `San Francisco`.
            state: such as `CA`.
            country: such as `USA`.
            zip: such as `12345`.
        """
        order = self._order(order_id, "pending", "modified")
        order["address"] = _address(address1, address2, city, state, country, zip)
        return json.dumps(order)

    @_writing_tool
    def modify_pending_order_payment(
        self, order_id: str, payment_method_id: str
    ) -> str:
        """Change the payment method of a pending order.

        Args:
            order_id: with its `#`, such as `#W0000000`.
            payment_method_id: of the customer, such as `credit_card_0000000`.
        """
        order = self._order(order_id, "pending", "modified")
        self._check_method(order, payment_method_id)
        first, *others = order["payment_history"]
        if others or first["transaction_type"] != "payment":
            raise Refusal("there should be exactly one payment for a pending order")
        if first["payment_method_id"] == payment_method_id:
            raise Refusal(
                "the new payment method should be different from the current one"
            )
        amount = first["amount"]
        self._check_balance(order, payment_method_id, amount, "order")

        order["payment_history"] += [
            _payment("payment", amount, payment_method_id),
            _payment("refund", amount, first["payment_method_id"]),
        ]
        method = self._method(order, payment_method_id)
        if method["source"] == GIFT_CARD:
            _add(method, -amount)
        if GIFT_CARD in first["payment_method_id"]:
            _add(self._method(order, first["payment_method_id"]), amount)
        return json.dumps(order)

    @_writing_tool
    def modify_pending_order_items(
        self,
        order_id: str,
        item_ids: list[str],
        new_item_ids: list[str],
        payment_method_id: str,
    ) -> str:
        """Replace items of a pending order by others of the same products. Works once an order.

        Args:
            order_id: with its `#`, such as `#W0000000`.
            item_ids: of the items to replace, such as `1008292230`.
            new_item_ids: of the items in their place, in the same order.
            payment_method_id: pays or receives the difference, such as `credit_card_0000000`.
        """
        order = self._order(order_id, "pending", "modified")
        difference = self._price_difference(order, item_ids, new_item_ids)
        self._check_method(order, payment_method_id)
        self._check_balance(order, payment_method_id, difference, "new item")

        kind = "payment" if difference > 0 else "refund"
        order["payment_history"].append(
            _payment(kind, abs(difference), payment_method_id)
        )
        method = self._method(order, payment_method_id)
        if method["source"] == GIFT_CARD:
            _add(method, -difference)
        for item_id, new_item_id in zip(item_ids, new_item_ids, strict=True):
            item = _item(order, item_id)
            # A list may name an item twice that the order has once more under its new id.
            variant = _variants(item)[new_item_id]
            item["item_id"] = new_item_id
            item["price"] = variant["price"]
            item["options"] = dict(variant["options"])
        order["status"] = "pending (item modified)"
        return json.dumps(order)

    @_writing_tool
    def return_delivered_order_items(
        self, order_id: str, item_ids: list[str], payment_method_id: str
    ) -> str:
        """Take back items of a delivered order.

        Args:
            order_id: with its `#`, such as `#W0000000`.
            item_ids: of the items to return, such as `1008292230`.
            payment_method_id: receives the refund: the order's own one or a gift card.
        """
        order = self._order(order_id, "delivered", "returned")
        self._check_method(order, payment_method_id)
        paid_by = order["payment_history"][0]["payment_method_id"]
        if GIFT_CARD not in payment_method_id and payment_method_id != paid_by:
            raise Refusal(
                "payment method should be either the original payment method or a gift card"
            )
        if _missing_item(order, item_ids) is not None:
            raise Refusal("some item not found")
        order["status"] = "return requested"
        order["return_items"] = sorted(item_ids)
        order["return_payment_method_id"] = payment_method_id
        return json.dumps(order)

    @_writing_tool
    def exchange_delivered_order_items(
        self,
        order_id: str,
        item_ids: list[str],
        new_item_ids: list[str],
        payment_method_id: str,
    ) -> str:
        """Exchange items of a delivered order for others of the same products. Works once an order.

        Args:
            order_id: with its `#`, such as `#W0000000`.
            item_ids: of the items to exchange, such as `1008292230`.
            new_item_ids: of the items in their place, in the same order.
            payment_method_id: pays or receives the difference, such as `credit_card_0000000`.
        """
        order = self._order(order_id, "delivered", "exchanged")
        difference = self._price_difference(order, item_ids, new_item_ids)
        difference = round(difference, CENTS)
        self._check_method(order, payment_method_id)
        self._check_balance(order, payment_method_id, difference, "price difference")
        order["status"] = "exchange requested"
        order["exchange_items"] = sorted(item_ids)
        order["exchange_new_items"] = sorted(new_item_ids)
        order["exchange_payment_method_id"] = payment_method_id
        order["exchange_price_difference"] = difference
        return json.dumps(order)

    @_writing_tool
    def modify_user_address(
        self,
        user_id: str,
        address1: str,
        address2: str,
        city: str,
        state: str,
        country: str,
        zip: str,
    ) -> str:
        """Change the default address of a customer.

        Args:
            user_id: such as `sara_doe_496`.
            address1: first line, such as `123 Main St`.
            address2: second line, such as `Apt 1`, or empty.
            city: such as `San Francisco`.
            state: such as `CA`.
            country: such as `USA`.
            zip: such as `12345`.
        """
        if self.shop.find("users", user_id) is None:
            raise Refusal("user not found")
        user = self.shop.own("users", user_id)
        user["address"] = _address(address1, address2, city, state, country, zip)
        return json.dumps(user)

    def _order(self, order_id: str, status: str, change: str) -> Record:
        """An order of that status, to change. Raises Refusal if there is none."""
        order = self.shop.find("orders", order_id)
        if order is None:
            raise Refusal("order not found")
        if order["status"] != status:
            raise Refusal(f"non-{status} order cannot be {change}")
        return self.shop.own("orders", order_id)

    def _methods(self, order: Mapping[str, Any]) -> Mapping[str, Record]:
        user = self.shop.find("users", order["user_id"])
        assert user is not None
        return user["payment_methods"]

    def _method(self, order: Mapping[str, Any], method_id: str) -> Record:
        """A payment method of the order's customer, to change."""
        return self.shop.own("users", order["user_id"])["payment_methods"][method_id]

    def _check_method(self, order: Mapping[str, Any], method_id: str) -> None:
        """Raises Refusal unless the order's customer has the payment method."""
        if method_id not in self._methods(order):
            raise Refusal("payment method not found")

    def _check_balance(
        self, order: Mapping[str, Any], method_id: str, amount: float, goods: str
    ) -> None:
        """Raises Refusal for a gift card with less than the amount; `goods` is what it buys."""
        method = self._methods(order)[method_id]
        if method["source"] == GIFT_CARD and method["balance"] < amount:
            raise Refusal(f"insufficient gift card balance to pay for the {goods}")

    def _price_difference(
        self,
        order: Mapping[str, Any],
        item_ids: Sequence[str],
        new_item_ids: Sequence[str],
    ) -> float:
        """What the new items cost more. Raises Refusal if one is not to be had."""
        missing = _missing_item(order, item_ids)
        if missing is not None:
            raise Refusal(f"{missing} not found")
        if len(item_ids) != len(new_item_ids):
            raise Refusal("the number of items to be exchanged should match")
        difference = 0.0
        for item_id, new_item_id in zip(item_ids, new_item_ids, strict=True):
            item = _item(order, item_id)
            variant = _variants(item).get(new_item_id)
            if variant is None or not variant["available"]:
                raise Refusal(f"new item {new_item_id} not found or available")
            difference += variant["price"] - item["price"]
        return difference


def _item(order: Mapping[str, Any], item_id: str) -> Record:
    """The first item of that id."""
    return next(item for item in order["items"] if item["item_id"] == item_id)


def _missing_item(order: Mapping[str, Any], item_ids: Sequence[str]) -> str | None:
    """The first item that is named more often than the order has it; None if there is none."""
    present = [item["item_id"] for item in order["items"]]
    for item_id in item_ids:
        if item_ids.count(item_id) > present.count(item_id):
            return item_id
    return None


def _variants(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return table("products")[item["product_id"]]["variants"]


def _payment(kind: str, amount: float, method_id: str) -> Record:
    return {
        "transaction_type": kind,
        "amount": amount,
        "payment_method_id": method_id,
    }


def _add(method: Record, amount: float) -> None:
    """Changes the balance of a gift card."""
    method["balance"] = round(method["balance"] + amount, CENTS)


def _address(
    address1: str, address2: str, city: str, state: str, country: str, zip_code: str
) -> Record:
    return {
        "address1": address1,
        "address2": address2,
        "city": city,
        "country": country,
        "state": state,
        "zip": zip_code,
    }
