"""The tools that read the shop's records, and calculate."""

from __future__ import annotations

import json

from envs.math.calc import CalcError, evaluate
from envs.published.tau_retail.data import Table, table
from envs.published.tau_retail.shop import CENTS, Shop
from envs.tool_env import ToolEnv, tool

__all__ = ["ReadingTools"]


class ReadingTools(ToolEnv):
    """Tools that change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop()

    @tool
    def find_user_id_by_email(self, email: str) -> str:
        """Find a customer's user id by email.

        Args:
            email: such as `something@example.com`.
        """
        for user_id, user in self.shop.user_ids().items():
            if user["email"].lower() == email.lower():
                return user_id
        return "Error: user not found"

    @tool
    def find_user_id_by_name_zip(
        self, first_name: str, last_name: str, zip: str
    ) -> str:
        """Find a customer's user id by name and zip code, if the email is not known.

        Args:
            first_name: such as `John`.
            last_name: such as `Doe`.
            zip: such as `12345`.
        """
        name = (first_name.lower(), last_name.lower(), zip)
        for user_id, user in self.shop.user_ids().items():
            names = user["name"]
            first, last = names["first_name"].lower(), names["last_name"].lower()
            if (first, last, user["address"]["zip"]) == name:
                return user_id
        return "Error: user not found"

    @tool
    def get_user_details(self, user_id: str) -> str:
        """Get a customer's profile: address, email, payment methods, orders.

        Args:
            user_id: such as `sara_doe_496`.
        """
        return self._record("users", user_id, "user")

    @tool
    def get_order_details(self, order_id: str) -> str:
        """Get an order's status and items.

        Args:
            order_id: with its `#`, such as `#W0000000`.
        """
        return self._record("orders", order_id, "order")

    @tool
    def get_product_details(self, product_id: str) -> str:
        """Get a product's items: their ids, options, prices, and whether they are available.

        Args:
            product_id: such as `6086499569`; a product's id is not an item's.
        """
        return self._record("products", product_id, "product")

    @tool
    def list_all_product_types(self) -> str:
        """List the names and ids of all products."""
        products = table("products").values()
        ids = {product["name"]: product["product_id"] for product in products}
        return json.dumps(dict(sorted(ids.items())))

    @tool
    def calculate(self, expression: str) -> str:
        """Calculate with numbers, + - * / and parentheses.

        Args:
            expression: such as `2 + 2`.
        """
        try:
            return str(round(float(evaluate(expression)), CENTS))
        except (CalcError, OverflowError) as error:
            return f"Error: {error}"

    def _record(self, name: Table, key: str, what: str) -> str:
        record = self.shop.find(name, key)
        return f"Error: {what} not found" if record is None else json.dumps(record)
