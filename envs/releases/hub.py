"""A file of a data set on the Hugging Face hub: fetched once, checked by its hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from envs.releases.published import PublishedFile

__all__ = ["HubFile"]


@dataclass(frozen=True)
class HubFile(PublishedFile):
    """A file of a data set at a revision.

    | field | meaning |
    |---|---|
    | dataset, revision | `owner/name`, and the whole hash of the commit |
    | file | path in the data set |
    | sha256 | of the file |
    | name | `<folder>/<file>` in `$SCGRPO_BENCHMARKS` |

    It is kept in the hub's own cache (`HF_HOME`), whose variables apply: `HF_ENDPOINT` for a
    mirror, `HF_HUB_OFFLINE`.
    """

    dataset: str
    revision: str
    file: str
    sha256: str
    name: str

    @property
    def url(self) -> str:
        """Where it is published."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(
            self.dataset, self.file, repo_type="dataset", revision=self.revision
        )

    @property
    def origin(self) -> str:
        """Which file of which revision it is."""
        return f"{self.file} of {self.dataset} at {self.revision[:12]}"

    def _path_at_hand(self) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        path = super()._path_at_hand()
        if path is not None:
            return path
        cached = try_to_load_from_cache(
            self.dataset, self.file, repo_type="dataset", revision=self.revision
        )
        # Another object stands for a file that the hub is known to lack.
        return Path(cached) if isinstance(cached, str) else None

    def _fetch(self) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError

        try:
            path = hf_hub_download(
                self.dataset, self.file, repo_type="dataset", revision=self.revision
            )
        # Without an answer LocalEntryNotFoundError, a FileNotFoundError.
        except (HfHubHTTPError, OSError, ValueError) as error:
            message = str(error).strip().partition("\n")[0]
            raise self._download_error(f"{type(error).__name__}: {message}") from error
        return Path(path)
