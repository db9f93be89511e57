"""The name by which verifiers and prime-rl find our environments: `scgrpo-verifiers`.

    vf-validate scgrpo-verifiers --taskset.env tool_store

Their loader takes a module of one word, so this one hands on `envs.interop.verifiers_tasks`.
"""

from envs.interop.verifiers_tasks import VerifiedEnv, VerifiedTaskset

__all__ = ["VerifiedEnv", "VerifiedTaskset"]
