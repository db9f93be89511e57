"""Whether episodes can be played by actors of a Ray cluster (`rollout_workers`)."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["check_workers"]


def check_workers(count: int, *, processes: int = 1) -> None:
    """Raises ValueError without Ray, or if one of the processes would have no worker."""
    if not count:
        return
    if find_spec("ray") is None:
        raise ValueError(
            f'got {count} rollout workers, which need Ray: pip install "scgrpo[ray]"'
        )
    if count < processes:
        raise ValueError(
            f"got rollout_workers={count} for {processes} processes, expected one for each at "
            "least, or 0"
        )
