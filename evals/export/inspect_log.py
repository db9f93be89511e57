"""`python -m evals.export.inspect_log`: episodes as logs of Inspect, and Inspect's logs as episodes.

Inspect's own library (`inspect-ai`, the extra `inspect`) writes and reads the files.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.store import read_episodes, write_episodes
from envs.toolspec import render_call
from envs.types import Episode, Message, Segment, Stop, Task, Verdict
from scgrpo.runs.disk import DiskError, disk_errors_explained
from scgrpo.runs.log import to_terminal

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage

__all__ = ["from_log", "main", "to_log"]

PROG = "python -m evals.export.inspect_log"
SCORER = "verified"
EXAMPLES = f"""\
examples:
  {PROG} export runs/latest/evals/episodes/*.jsonl --out logs
  inspect view --log-dir logs                      then shows them
  {PROG} import logs/a.eval logs/b.eval --out episodes

An exported log keeps what was said, the verdict and its reasons; token ids, log-probabilities and
the task's hidden payload stay in the episodes. An imported sample passes where its first score is
the scorer's best, 1 or C; one with an error or without a score has no verdict.
"""


def to_log(episodes: Sequence[Episode], *, model: str) -> EvalLog:
    """Episodes of one environment, level and split; every episode of a task is an epoch of it.

    An episode without a verdict is a sample with an error and without a score, so no mean counts
    it. Raises ValueError for none, and for episodes of several suites.
    """
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec

    suites = {(e.env or "unknown", e.task.level, e.task.split) for e in episodes}
    if len(suites) != 1:
        raise ValueError(
            f"a log holds one environment, level and split; got {sorted(suites)}"
        )
    ((env, level, split),) = suites
    seen: Counter[str] = Counter()
    samples = []
    for episode in episodes:
        seen[episode.task.id] += 1
        samples.append(_sample(episode, seen[episode.task.id], model))
    name = f"{env} level {level} {split}"
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            task=name,
            dataset=EvalDataset(name=name, samples=len(seen), sample_ids=list(seen)),
            model=model,
            config=EvalConfig(epochs=max(seen.values())),
        ),
        results=EvalResults(
            total_samples=len(samples),
            completed_samples=sum(e.verdict is not None for e in episodes),
            scores=[_result(episodes)],
        ),
        samples=samples,
    )


def from_log(log: EvalLog) -> list[Episode]:
    """The samples of a log, one episode each; without token ids, which Inspect does not keep.

    Each sample is a family of its own, in split `id` at level 0 unless it was exported from here.
    """
    return [_episode(sample, log.eval.task) for sample in log.samples or ()]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command; bad input ends it with code 2 and a sentence."""
    to_terminal()
    parser = _parser()
    args = parser.parse_args(argv)
    if find_spec("inspect_ai") is None:
        parser.error('inspect-ai is missing: pip install "scgrpo[inspect]"')
    try:
        for source in args.files:
            target = (
                args.out
                / f"{source.stem}{'.eval' if args.verb == 'export' else '.jsonl'}"
            )
            if target.exists():
                raise ValueError(
                    f"{target} exists; name another folder with --out, or remove it"
                )
            with disk_errors_explained(target):
                args.out.mkdir(parents=True, exist_ok=True)
                count = _convert(args.verb, source, target, args.model)
            print(f"{target}: {count} episodes")
    except (ValueError, DiskError) as error:
        parser.error(str(error))


def _convert(verb: str, source: Path, target: Path, model: str) -> int:
    from inspect_ai.log import read_eval_log, write_eval_log

    if not source.is_file():
        raise ValueError(f"there is no file {source}")
    if verb == "export":
        episodes = list(read_episodes(source))
        write_eval_log(to_log(episodes, model=model or source.stem), target)
        return len(episodes)
    try:
        log = read_eval_log(source, resolve_attachments=True)
    except Exception as error:  # whatever its reader raises for a file that is no log
        raise ValueError(
            f"{source} is no log that inspect-ai reads: {error}"
        ) from error
    episodes = from_log(log)
    write_episodes(target, episodes)
    return len(episodes)


def _result(episodes: Sequence[Episode]) -> Any:
    from inspect_ai.log import EvalMetric, EvalScore

    judged = [float(e.verdict.passed) for e in episodes if e.verdict is not None]
    mean = [EvalMetric(name="mean", value=sum(judged) / len(judged))] if judged else []
    return EvalScore(
        name=SCORER,
        scorer=SCORER,
        scored_samples=len(judged),
        unscored_samples=len(episodes) - len(judged),
        metrics={metric.name: metric for metric in mean},
    )


def _sample(episode: Episode, epoch: int, model: str) -> EvalSample:
    from inspect_ai._util.error import EvalError
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ModelOutput, ModelUsage
    from inspect_ai.scorer import Score

    task, verdict = episode.task, episode.verdict
    wrote = sum(turn.length for turn in episode.turns)
    read = sum(s.length for s in episode.segments) - wrote
    usage = ModelUsage(
        input_tokens=read, output_tokens=wrote, total_tokens=read + wrote
    )
    last = episode.turns[-1].text if episode.turns else ""
    parts = {} if verdict is None else {"score": verdict.score, **verdict.parts}
    return EvalSample(
        id=task.id,
        epoch=epoch,
        input=[_message(m["role"], m["content"]) for m in episode.messages],
        target="",
        messages=[_message(m["role"], m["content"]) for m in _chat(episode)],
        output=ModelOutput.from_content(model, last),
        scores=None
        if verdict is None
        else {
            SCORER: Score(
                value=int(verdict.passed), explanation=verdict.detail, metadata=parts
            )
        },
        error=None
        if verdict is not None
        else EvalError(message=episode.error, traceback="", traceback_ansi=""),
        model_usage={model: usage},
        total_time=episode.wall_s,
        turn_count=len(episode.turns),
        metadata={
            "env": episode.env,
            "split": task.split,
            "level": task.level,
            "family": task.family,
            "content_hash": task.content_hash,
            "seed": episode.seed,
            "stop": episode.stop.value,
            "malformed": episode.malformed,
        },
    )


def _chat(episode: Episode) -> list[Message]:
    said: list[Message] = list(episode.messages)
    for segment in episode.segments:
        if segment.source != "prompt":
            role = "assistant" if segment.source == "policy" else "user"
            said.append({"role": role, "content": segment.text})
    return said


def _message(role: str, text: str) -> ChatMessage:
    from inspect_ai import model

    kinds = {
        "system": model.ChatMessageSystem,
        "user": model.ChatMessageUser,
        "assistant": model.ChatMessageAssistant,
        "tool": model.ChatMessageTool,
    }
    return kinds[role](content=text)


def _episode(sample: EvalSample, name: str) -> Episode:
    about = sample.metadata
    opening: list[Message] = []
    segments: list[Segment] = []
    for message in sample.messages:
        if message.role == "assistant":
            segments.append(Segment("policy", _words(message), tokens=_tokens(sample)))
        elif segments:
            segments.append(Segment("env", message.text))
        else:
            opening.append({"role": message.role, "content": message.text})
    prompt = "\n".join(m["content"] for m in opening if m["role"] == "user")
    family = str(about.get("family", sample.id))
    task = Task(
        str(sample.id),
        str(about.get("split", "id")),
        int(about.get("level", 0)),
        family,
        prompt,
    )
    verdict = _verdict(sample)
    error = sample.error.message if sample.error else "the sample has no score"
    return Episode(
        task=task,
        messages=tuple(opening),
        tools=(),
        segments=(Segment("prompt", prompt), *segments),
        stop=Stop.ERROR
        if verdict is None
        else Stop(about.get("stop", Stop.FINISHED.value)),
        verdict=verdict,
        seed=int(about.get("seed", sample.epoch)),
        error="" if verdict is not None else error,
        wall_s=sample.total_time or 0.0,
        malformed=int(about.get("malformed", 0)),
        env=str(about.get("env", name)),
    )


def _words(message: Any) -> str:
    """What an assistant said, its tool calls in the form that our environments read."""
    calls = [
        render_call(call.function, **call.arguments)
        for call in message.tool_calls or ()
    ]
    return "\n".join(filter(None, [message.text, *calls]))


def _tokens(sample: EvalSample) -> int:
    """Of one turn: the sample's output, spread evenly."""
    turns = sum(message.role == "assistant" for message in sample.messages)
    wrote = sum(usage.output_tokens for usage in sample.model_usage.values())
    return wrote // turns


def _verdict(sample: EvalSample) -> Verdict | None:
    if sample.error is not None or not sample.scores:
        return None
    score = next(iter(sample.scores.values()))
    if isinstance(score.value, str):
        value = {"C": 1.0, "P": 0.5}.get(score.value, 0.0)
    elif isinstance(score.value, int | float):
        value = min(max(float(score.value), 0.0), 1.0)
    else:
        return None
    return Verdict(passed=value == 1.0, score=value, detail=score.explanation or "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Episodes as logs of Inspect, and Inspect's logs as episodes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=("export", "import"))
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where to write"
    )
    parser.add_argument(
        "--model", default="", help="its name in a log; default: the file's"
    )
    return parser


if __name__ == "__main__":
    main()
