"""Small benchmarks of our own making, in the published formats and places."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs import registry
from envs.published.agentbench_os import env as os_env
from envs.published.agentbench_os import rows as os_rows
from envs.published.coding import (
    lcb_data,
    livecodebench,
    mbpp_data,
    mbpp_judge,
    mbpp_plus,
)
from envs.published.tau_retail import data as tau_data
from envs.published.tau_retail import env as tau_env
from envs.published.textcraft import env as textcraft_env
from envs.published.textcraft import recipes
from envs.releases import PublishedFile
from envs.releases.published import FOLDER_VARIABLE

MBPP = [
    {
        "task_id": "Mbpp/9000",
        "prompt": '"""\nWrite a function to find the items of both tuples.\n'
        'assert set(similar_elements((3, 4), (4, 10))) == {4}\n"""\n',
        "entry_point": "similar_elements",
        "canonical_solution": "\ndef similar_elements(a, b):\n    assert isinstance(a, tuple)\n"
        "    return tuple(set(a) & set(b))\n",
        "base_input": [[[3, 4], [4, 10]]],
        "plus_input": [[[], []], [[1, 2, 3], [3, 2]]],
        "atol": 0,
    },
    {
        "task_id": "Mbpp/9001",
        "prompt": '"""\nWrite a function to halve a number.\nassert halve(3) == 1.5\n"""\n',
        "entry_point": "halve",
        "canonical_solution": "\ndef halve(x):\n    return x / 2\n",
        "base_input": [[3]],
        "plus_input": {},
        "atol": 0,
    },
    {
        "task_id": "Mbpp/9002",
        "prompt": '"""\nWrite a function to repeat a text.\nassert repeat("a", 2) == "aa"\n"""\n',
        "entry_point": "repeat",
        "canonical_solution": "\ndef repeat(text, n):\n    return text * n\n",
        "base_input": [["a", 2]],
        # More than one run may print.
        "plus_input": [["x", 30_000], ["y", 30_000], ["", 1], ["z", 10]],
        "atol": 0,
    },
]


def lcb_row(
    name: str, day: str, *, function: str = "", **columns: Any
) -> dict[str, Any]:
    """A row as the hub has it, whose hidden tests are packed."""
    kind = "functional" if function else "stdin"
    public, private = (
        [
            {"input": given, "output": output, "testtype": kind}
            for given, output in tests
        ]
        for tests in (columns["public"], columns["private"])
    )
    packed = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(private))))
    return {
        "question_title": name,
        "question_content": columns["text"],
        "platform": "leetcode" if function else "atcoder",
        "question_id": name,
        "contest_id": name,
        "contest_date": day,
        "starter_code": columns.get("starter", ""),
        "difficulty": "easy",
        "public_test_cases": json.dumps(public),
        "private_test_cases": packed.decode(),
        "metadata": json.dumps({"func_name": function} if function else {}),
    }


LCB = [
    lcb_row(
        "old_a", "2025-01-31T00:00:00", text="Old.", public=[("1", "1")], private=[]
    ),
    lcb_row(
        "new_a",
        "2025-02-01T00:00:00",
        text="Print the sum of the numbers.\n\nSample Input 1\n\n1 2\n\nSample Output 1\n\n3",
        public=[("1 2\n", "3\n")],
        private=[("5 6\n", "11\n"), ("1 1\n", "2\n"), ("0 0.5\n", "0.50\n")],
    ),
    lcb_row(
        "new_b",
        "2025-03-01T00:00:00",
        function="pairs",
        text="Give the pairs of the list's neighbours.",
        starter="class Solution:\n    def pairs(self, xs: List[int], n: int) -> List:\n        ",
        public=[("[1, 2]\n3", "[[1, 2]]")],
        private=[("[]\n0", "[]"), ("[1, 2, 3]\n1", "[[1, 2], [2, 3]]")],
    ),
]

SUM_RIGHT = (
    "```python\nfrom decimal import Decimal\n"
    "print(sum(map(Decimal, input().split())))\n```"
)
PAIRS_RIGHT = (
    "```python\nclass Solution:\n    def pairs(self, xs: List[int], n: int) -> List:\n"
    "        return [list(pair) for pair in pairwise(xs)]\n```"
)


def shaped(
    item: str, count: int, key: Mapping[str, str], *pattern: str, group: str = ""
):
    """A recipe with a pattern; a name in `key` that begins with # is a tag's."""
    symbols = {
        symbol: {"tag" if name[0] == "#" else "item": f"minecraft:{name.lstrip('#')}"}
        for symbol, name in key.items()
    }
    return {
        "type": "minecraft:crafting_shaped",
        **({"group": group} if group else {}),
        "pattern": list(pattern),
        "key": symbols,
        "result": {"item": f"minecraft:{item}", "count": count},
    }


def shapeless(item: str, count: int, *names: str, group: str = ""):
    """A recipe without a pattern; a name that begins with # is a tag's."""
    ingredients = [
        {"tag" if name[0] == "#" else "item": f"minecraft:{name.lstrip('#')}"}
        for name in names
    ]
    return {
        "type": "minecraft:crafting_shapeless",
        **({"group": group} if group else {}),
        "ingredients": ingredients,
        "result": {"item": f"minecraft:{item}", "count": count},
    }


RECIPES = {
    "a_planks": shapeless("a_planks", 4, "#a_logs", group="planks"),
    "b_planks": shapeless("b_planks", 4, "b_log", group="planks"),
    "bowl": shaped("bowl", 4, {"#": "#planks"}, "# #", " # "),
    "ingot": shapeless("ingot", 1, *["nugget"] * 9),
    "nugget": shapeless("nugget", 9, "ingot"),
    "rod": shapeless("rod", 2, "gem"),
    "rod_from_block": shapeless("rod", 9, "rod_block"),
    "soup": shapeless("soup", 1, "bowl", "root", "root"),
    "spoon": shaped("spoon", 1, {"#": "stick", "X": "bowl"}, "X", "#"),
    "stick": shaped("stick", 4, {"#": "#planks"}, "#", "#"),
    "stone": {"type": "minecraft:smelting", "result": "minecraft:stone"},
}

ADDRESS = {
    "address1": "1 Elm Street",
    "address2": "",
    "city": "Austin",
    "country": "USA",
    "state": "TX",
    "zip": "78701",
}
USERS = {
    "ann_lee_1": {
        "name": {"first_name": "Ann", "last_name": "Lee"},
        "address": ADDRESS,
        "email": "ann@example.com",
        "payment_methods": {
            "gift_card_1": {"source": "gift_card", "id": "gift_card_1", "balance": 50},
            "credit_card_1": {"source": "credit_card", "id": "credit_card_1"},
        },
        "orders": ["#W1", "#W2"],
    }
}


def mug(item_id: str, color: str, price: float, *, available: bool = True) -> Any:
    """An item of the shop's one product."""
    options = {"color": color}
    return {
        "item_id": item_id,
        "options": options,
        "available": available,
        "price": price,
    }


MUGS = [
    mug("101", "red", 8.1),
    mug("102", "blue", 9.3),
    mug("103", "gold", 90.0, available=False),
    mug("104", "grey", 99.0),
]
PRODUCTS = {
    "10": {
        "name": "Mug",
        "product_id": "10",
        "variants": {row["item_id"]: row for row in MUGS},
    }
}


def order(key: str, status: str, paid_by: str) -> dict[str, Any]:
    """An order of two red mugs."""
    item = {
        "name": "Mug",
        "product_id": "10",
        "item_id": "101",
        "price": 8.1,
        "options": {"color": "red"},
    }
    payment = {
        "transaction_type": "payment",
        "amount": 16.2,
        "payment_method_id": paid_by,
    }
    return {
        "order_id": key,
        "user_id": "ann_lee_1",
        "address": ADDRESS,
        "items": [item, item],
        "status": status,
        "payment_history": [payment],
    }


ORDERS = {
    "#W1": order("#W1", "pending", "gift_card_1"),
    "#W2": order("#W2", "delivered", "credit_card_1"),
}
EXCHANGE = {
    "name": "exchange_delivered_order_items",
    "kwargs": {
        "order_id": "#W2",
        "item_ids": ["101"],
        "new_item_ids": ["102"],
        "payment_method_id": "credit_card_1",
    },
}
CANCEL = {
    "name": "cancel_pending_order",
    "kwargs": {"order_id": "#W1", "reason": "no longer needed"},
}


def case(instruction: str, *actions: Mapping[str, Any]) -> dict[str, Any]:
    """A task as tau-bench has it."""
    return {
        "annotator": "0",
        "user_id": "ann_lee_1",
        "instruction": instruction,
        "actions": list(actions),
        "outputs": [],
    }


TAU_TRAIN = [case("You are Ann Lee. Cancel #W1, no longer needed.", CANCEL)]
TAU_TEST = [
    case("You are Ann Lee. You want to know the price of a mug."),
    case("You are Ann Lee. Exchange a red mug of #W2 for a blue one.", EXCHANGE),
]


def os_row(question: str, init: str, example: str, check: str) -> dict[str, Any]:
    """A row as AgentBench has it."""
    return {
        "description": question,
        "explanation": "",
        "create": {"init": init},
        "evaluation": {
            "check": [None, {"language": "python", "file": f"check/{check}.py"}],
            "example": example,
        },
    }


OS = [
    os_row(
        "How many text files are in your home folder?",
        "touch ~/a.txt ~/b.txt ~/c.md",
        "# Count them\nls ~/*.txt | wc -l",
        "integer-match",
    ),
    os_row(
        "Which word is most frequent in words.txt?",
        'printf "x\\ny\\ny\\n" > words.txt',
        "sort words.txt | uniq -c | sort -nr | head -n 1 | awk '{print $2}'",
        "string-match",
    ),
    os_row("Unusable.", "mkdir /var/logs", "ls /var/logs | wc -l", "integer-match"),
    os_row(
        "How large is data.bin?",
        "dd if=/dev/zero of=data.bin bs=1024 count=3 2> /dev/null",
        "stat -c %s data.bin",
        "size-match",
    ),
]


def json_bytes(value: object) -> bytes:
    """One JSON text."""
    return json.dumps(value).encode()


def lines_bytes(rows: list[dict[str, Any]]) -> bytes:
    """A JSON text a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


CACHED: list[Callable[..., Any]] = [
    lcb_data.problems,
    livecodebench._tasks,
    mbpp_data.problems,
    mbpp_judge._by_name,
    mbpp_plus._tasks,
    os_env._tasks,
    os_rows.rows,
    recipes.recipe_book,
    tau_data.cases,
    tau_data.policy,
    tau_data.table,
    tau_env._tasks,
    textcraft_env._tasks,
]


def forget() -> None:
    """Empties what is read once for each process."""
    for function in CACHED:
        function.cache_clear()  # pyright: ignore[reportFunctionMemberAccess]


class SmallData:
    """Writes small files and has the benchmarks read them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        monkeypatch.setenv(FOLDER_VARIABLE, str(folder))

    def file(self, published: PublishedFile, content: bytes) -> Any:
        """The published file with other content, which lies in the folder by hand."""
        path = self._folder / published.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return replace(published, sha256=digest)  # pyright: ignore[reportArgumentType]

    def set(self, module: Any, **names: Any) -> None:
        """Replaces names of a module."""
        for name, value in names.items():
            self._monkeypatch.setattr(module, name, value)

    def write(self) -> None:
        """All of them."""
        self.set(
            mbpp_data, FILE=self.file(mbpp_data.FILE, lines_bytes(MBPP)), SIZE=len(MBPP)
        )
        self.set(mbpp_plus, SIZE=len(MBPP))
        # A number of its own: expected values are kept by it, for all of a process.
        conversions = {**mbpp_data._CONVERSIONS, 9000: mbpp_data._tuples}
        self.set(mbpp_data, _CONVERSIONS=conversions)
        self.set(
            lcb_data, FILE=self.file(lcb_data.FILE, lines_bytes(LCB)), SIZE=2, ROWS=3
        )
        self.set(livecodebench, SIZE=2)
        self.set(recipes, FILE=self.file(recipes.FILE, json_bytes(RECIPES)))
        self.set(os_rows, FILE=self.file(os_rows.FILE, json_bytes(OS)), SIZE=len(OS))
        self.set(os_env, USABLE=(0, 1, 3))
        contents = {
            "orders": json_bytes(ORDERS),
            "products": json_bytes(PRODUCTS),
            "users": json_bytes(USERS),
            "tasks_train": json_bytes(TAU_TRAIN),
            "tasks_test": json_bytes(TAU_TEST),
            "wiki.md": b"# Policy\n\nCancel pending orders alone.\n",
        }
        files = {
            name: self.file(tau_data.FILES[name], content)
            for name, content in contents.items()
        }
        self.set(tau_data, FILES=files)
        self.set(
            tau_env,
            SIZES={"train": 1, "id": 2},
            UNJUDGED={"train": frozenset(), "id": frozenset([0])},
        )


def published_names() -> list[str]:
    """Benchmarks beside mathematics."""
    return [
        name
        for name in registry.benchmark_names()
        if registry.benchmark_path(name).startswith("envs.published.")
        # Its data is a package's; see its own tests.
        and name != "scienceworld"
    ]
