"""Sandboxes for hostile code, leased from a pool, behind one protocol."""

from sandboxes.base import ExecResult, Isolation, Sandbox, SandboxError, SandboxPool
from sandboxes.config import SandboxConfig, open_pool

__all__ = [
    "ExecResult",
    "Isolation",
    "Sandbox",
    "SandboxConfig",
    "SandboxError",
    "SandboxPool",
    "open_pool",
]
