"""Several engines as one: what one of them loses another goes on with, so often and no more."""

from __future__ import annotations

from typing import Any

import pytest

from scgrpo.policies.completions import ServerError
from scgrpo.policies.engines import fleet
from scgrpo.policies.engines.base import Engine, EngineLostError, Sampled
from scgrpo.policies.engines.fleet import Fleet


class Counted:
    """An engine without a network that fails as told."""

    def __init__(self, name: str, failures: int) -> None:
        self.name, self.failures, self.asked = name, failures, 0

    def sample(self, ids: list[int], **options: Any) -> Sampled:
        self.asked += 1
        if self.asked <= self.failures:
            raise EngineLostError("gone")
        return Sampled([1], [-1.0], cut=False)

    def version(self) -> str:
        return ""


OPTIONS = {"room": 4, "seed": 0, "salt": "", "stop_ids": (), "stop_text": ""}


def test_a_turn_that_does_not_get_on_is_tried_so_often_and_no_more(monkeypatch):
    monkeypatch.setattr(fleet, "FIRST_WAIT_S", 0.01)
    one: Any = Counted("one", 2)
    assert Fleet([one], tries=3).sample([5], group=0, **OPTIONS).ids == [1]
    other: Any = Counted("other", 3)
    with pytest.raises(EngineLostError, match="gone"):
        Fleet([other], tries=3).sample([5], group=0, **OPTIONS)
    assert other.asked == 3


def test_what_is_refused_is_not_asked_of_another():
    class Refusing(Counted):
        def sample(self, ids: list[int], **options: Any) -> Sampled:
            self.asked += 1
            raise ServerError("too long", refused=True)

    engines: list[Engine] = [Refusing("one", 0), Refusing("two", 0)]  # pyright: ignore
    with pytest.raises(ServerError, match="too long"):
        Fleet(engines).sample([5], group=0, **OPTIONS)
    assert sum(engine.asked for engine in engines) == 1  # pyright: ignore
