"""Tool calls: how they are written and read, schemas from signatures, and checked dispatch."""

from envs.toolspec.calls import Call, Malformed, parse_call, render_call
from envs.toolspec.schemas import call, schema_of

__all__ = ["Call", "Malformed", "call", "parse_call", "render_call", "schema_of"]
