"""Errors in OpenAI's form, as its clients know them."""

from __future__ import annotations

from typing import Any

__all__ = ["RequestError"]


class RequestError(ValueError):
    """A request that is refused, in OpenAI's terms.

    | attribute | meaning |
    |---|---|
    | status | of HTTP |
    | kind, code, param | `type`, `code` and `param` of OpenAI's error |
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.param = status, kind, code, param

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's form of it."""
        details = {"type": self.kind, "param": self.param, "code": self.code}
        return {"error": {"message": str(self), **details}}
