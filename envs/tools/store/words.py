"""What each domain calls the same things: the table that makes a shop, a library and a clinic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

__all__ = ["DOMAINS", "PEOPLE", "STATUSES", "VOCABULARIES", "Words"]

STATUSES = ("open", "moving", "done")


@dataclass(frozen=True)
class Words:
    """The vocabulary of a domain.

    | field | meaning |
    |---|---|
    | person, order, item | the three kinds of records |
    | prefixes | letters that the ids of orders and items begin with |
    | status | words for an order that is `open`, `moving` and `done` |
    | verbs | words for `cancel`, `return` and `exchange` |
    | tools | tool names by operation |
    | arguments | names of the arguments `order`, `item`, `name` and `id` |
    | price, stock | what an item costs, and how many are left |
    | gold, final | marks of a favoured person, and of an order that cannot be returned |
    | own | how a person speaks of an order without its id |
    | items | names of items |
    """

    person: str
    order: str
    item: str
    prefixes: tuple[str, str]
    status: Mapping[str, str]
    verbs: Mapping[str, str]
    tools: Mapping[str, str]
    arguments: Mapping[str, str]
    price: str
    stock: str
    gold: str
    final: str
    own: str
    items: tuple[str, ...]


def _words(
    person: str, order: str, item: str, *, verbs: tuple[str, str, str], **rest: object
) -> Words:
    """Words whose tools are named after the verbs and the records."""
    cancel, give_back, exchange = verbs
    tools = {
        "find": f"find_{person}",
        "look": "look_up",
        "cancel": f"{cancel}_{order}",
        "return": f"{give_back}_{order}",
        "exchange": f"{exchange}_{order}",
        "refuse": "refuse",
        "ask": f"ask_{person}",
        "finish": "finish",
        "delete": f"delete_{order}",
        "favour": f"upgrade_{person}",
        "update": f"update_{order}",
    }
    return Words(
        person=person,
        order=order,
        item=item,
        verbs=dict(zip(("cancel", "return", "exchange"), verbs, strict=True)),
        tools=tools,
        arguments={"order": order, "item": item, "name": "name", "id": "id"},
        **rest,  # pyright: ignore[reportArgumentType]
    )


_SHOP = _words(
    "customer",
    "order",
    "product",
    verbs=("cancel", "return", "exchange"),
    prefixes=("O", "P"),
    status=dict(zip(STATUSES, ("processing", "shipped", "delivered"), strict=True)),
    price="price",
    stock="in stock",
    gold="gold",
    final="final sale",
    own="my {}",
    items=(
        "lamp", "kettle", "chair", "radio", "tent", "mug", "clock", "scarf", "desk", "mirror",
        "pan", "rug", "vase", "drill", "fan", "globe",
    ),
)  # fmt: skip

_LIBRARY = _words(
    "reader",
    "loan",
    "book",
    verbs=("cancel", "renew", "change"),
    prefixes=("L", "B"),
    status=dict(zip(STATUSES, ("reserved", "in transit", "lent"), strict=True)),
    price="value",
    stock="copies left",
    gold="scholar",
    final="short loan",
    own="my loan of {}",
    items=(
        "Emma", "Dracula", "Ulysses", "Hamlet", "Walden", "Utopia", "Candide", "Faust", "Ivanhoe",
        "Medea", "Othello", "Persuasion", "Macbeth", "Germinal", "Nostromo", "Kim",
    ),
)  # fmt: skip

_CLINIC = _words(
    "patient",
    "visit",
    "doctor",
    verbs=("cancel", "refund", "move"),
    prefixes=("V", "D"),
    status=dict(zip(STATUSES, ("booked", "checked in", "completed"), strict=True)),
    price="fee",
    stock="free slots",
    gold="insured",
    final="prepaid",
    own="my visit to {}",
    items=(
        "Dr Abel", "Dr Bauer", "Dr Costa", "Dr Diaz", "Dr Evans", "Dr Fink", "Dr Gupta", "Dr Haas",
        "Dr Iqbal", "Dr Jones", "Dr Kaya", "Dr Lund", "Dr Mori", "Dr Nagy", "Dr Okoye", "Dr Pace",
    ),
)  # fmt: skip

_RENAMED = {
    "find": "search_accounts",
    "look": "fetch_record",
    "cancel": "void_purchase",
    "return": "take_back",
    "exchange": "swap_goods",
    "refuse": "decline",
    "ask": "contact_buyer",
    "finish": "close_ticket",
}

DOMAINS = {"shop": _SHOP, "library": _LIBRARY, "clinic": _CLINIC}

# The shop speaks of the same things when its tools have other names.
VOCABULARIES = {
    **DOMAINS,
    "renamed": replace(
        _SHOP,
        tools={**_SHOP.tools, **_RENAMED},
        arguments={
            "order": "purchase_id",
            "item": "goods_id",
            "name": "buyer",
            "id": "record",
        },
    ),
}

PEOPLE = tuple(
    f"{first} {last}"
    for first in (
        "Ann",
        "Ben",
        "Cleo",
        "Dan",
        "Eva",
        "Finn",
        "Gail",
        "Hugo",
        "Ida",
        "Jon",
    )
    for last in (
        "Adler",
        "Brook",
        "Chen",
        "Dunn",
        "Ernst",
        "Frost",
        "Grant",
        "Hale",
        "Ito",
        "Jung",
    )
)
