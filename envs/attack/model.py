"""An attack: code that steals a reward from a grader that is not sound."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EVIDENCE", "KINDS", "LEASE", "REACH", "Attack"]

LEASE, EVIDENCE, REACH = "lease", "evidence", "reach"

KINDS = {
    LEASE: "what a lease leaves must be nothing",
    EVIDENCE: "a pass is evidence, never the absence of bad news",
    REACH: "the judge must be out of the submission's reach",
}


@dataclass(frozen=True)
class Attack:
    """Code that is handed in with a wrong solution.

    | field | meaning |
    |---|---|
    | name | unique in the book |
    | kind | key of `KINDS`: what a grader that it robs gets wrong |
    | steals | which reward it steals there, in a sentence |
    | code | Python, run as the submission is imported. Where it defines |
    | | `on_call(function, a, k)`, every function of the submission gives that instead. `TESTS` is |
    | | a list of the tests' names, as far as a policy can know them |
    | strong | acts on other processes, or on files outside of its folder: only for |
    | | environments that take their sandboxes from a pool; another may run code without any |
    | slow | runs into the deadline |

    Code that is not strong reads and writes only in its working directory.
    """

    name: str
    kind: str
    steals: str
    code: str
    strong: bool = False
    slow: bool = False
