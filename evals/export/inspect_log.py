"""`scgrpo export inspect`: episodes as logs of Inspect, and Inspect's logs as episodes.

Inspect's own library (`inspect-ai`, the extra `inspect`) writes and reads the files.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.store import read_episodes, write_episodes
from envs.toolspec import render_call
from envs.types import Episode, Message, Segment, Stop, Task, Verdict
from sandboxes.commands import exit_codes
from scgrpo.runs.disk import disk_errors_explained
from scgrpo.runs.log import to_terminal

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalResults, EvalSample, EvalSpec
    from inspect_ai.model import ChatMessage

__all__ = ["from_log", "main", "to_log"]

PROG = "scgrpo export inspect"
SCORER = "verified"
SUFFIX = {"export": ".eval", "import": ".jsonl"}
# Inspect's letters for a correct, a partly correct and any other answer.
LETTERS = {"C": 1.0, "P": 0.5}
EXAMPLES = f"""\
examples:
  {PROG} export runs/latest/evals/episodes/*.jsonl --out logs
  inspect view --log-dir logs                      then shows them
  {PROG} import logs/a.eval logs/b.eval --out episodes

An exported log holds the conversation, the verdict and its reasons; token ids, log-probabilities
and the task's hidden payload stay in the episodes. An imported sample passes if its first score is
the scorer's best, 1 or C; one with an error or without a score has no verdict.
"""


def to_log(episodes: Sequence[Episode], *, model: str) -> EvalLog:
    """Episodes of one environment, level and split; every episode of a task is an epoch of it.

    An episode without a verdict is a sample with an error and without a score, so no mean counts
    it. Raises ValueError for none, and for episodes of several suites.
    """
    from inspect_ai.log import EvalLog

    suites = {(e.env or "unknown", e.task.level, e.task.split) for e in episodes}
    if len(suites) != 1:
        raise ValueError(
            f"a log holds one environment, level and split; got {sorted(suites)}"
        )
    ((env, level, split),) = suites

    epochs: Counter[str] = Counter()
    samples = []
    for episode in episodes:
        epochs[episode.task.id] += 1
        samples.append(_sample(episode, epochs[episode.task.id], model))
    return EvalLog(
        status="success",
        eval=_spec(f"{env} level {level} {split}", epochs, model),
        results=_results(episodes),
        samples=samples,
    )


def from_log(log: EvalLog) -> list[Episode]:
    """The samples of a log, one episode each; without token ids, which Inspect does not keep.

    Each sample is a family of its own, in split `id` at level 0 unless `to_log` made it.
    """
    return [_episode(sample, log.eval.task) for sample in log.samples or ()]


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if the disk is at fault, 2 for bad input."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    to_terminal()
    if find_spec("inspect_ai") is None:
        parser.error('inspect-ai is missing: pip install "scgrpo[inspect]"')
    with exit_codes(PROG):
        for source in arguments.files:
            target = arguments.out / f"{source.stem}{SUFFIX[arguments.verb]}"
            if target.exists():
                raise ValueError(
                    f"{target} exists; name another folder with --out, or remove it"
                )
            with disk_errors_explained(target):
                arguments.out.mkdir(parents=True, exist_ok=True)
                count = _convert(arguments.verb, source, target, arguments.model)
            print(f"{target}: {count} episodes")


def _convert(verb: str, source: Path, target: Path, model: str) -> int:
    """Writes the other format, and returns the number of episodes."""
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


def _spec(name: str, epochs: Mapping[str, int], model: str) -> EvalSpec:
    """`epochs`: task's id -> its episodes."""
    from inspect_ai.log import EvalConfig, EvalDataset, EvalSpec

    return EvalSpec(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=name,
        dataset=EvalDataset(name=name, samples=len(epochs), sample_ids=list(epochs)),
        model=model,
        config=EvalConfig(epochs=max(epochs.values())),
    )


def _results(episodes: Sequence[Episode]) -> EvalResults:
    from inspect_ai.log import EvalMetric, EvalResults, EvalScore

    verdicts = [float(e.verdict.passed) for e in episodes if e.verdict is not None]
    metrics = {}
    if verdicts:
        mean = sum(verdicts) / len(verdicts)
        metrics["mean"] = EvalMetric(name="mean", value=mean)
    score = EvalScore(
        name=SCORER,
        scorer=SCORER,
        scored_samples=len(verdicts),
        unscored_samples=len(episodes) - len(verdicts),
        metrics=metrics,
    )
    return EvalResults(
        total_samples=len(episodes), completed_samples=len(verdicts), scores=[score]
    )


def _sample(episode: Episode, epoch: int, model: str) -> EvalSample:
    from inspect_ai._util.error import EvalError
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ModelOutput, ModelUsage
    from inspect_ai.scorer import Score

    # An errored episode has an error instead of a score, so no mean of Inspect's counts it.
    verdict = episode.verdict
    scores = error = None
    if verdict is None:
        error = EvalError(message=episode.error, traceback="", traceback_ansi="")
    else:
        parts = {"score": verdict.score, **verdict.parts}
        score = Score(
            value=int(verdict.passed), explanation=verdict.detail, metadata=parts
        )
        scores = {SCORER: score}

    written = sum(turn.length for turn in episode.turns)
    total = sum(segment.length for segment in episode.segments)
    usage = ModelUsage(
        input_tokens=total - written, output_tokens=written, total_tokens=total
    )
    last = episode.turns[-1].text if episode.turns else ""
    return EvalSample(
        id=episode.task.id,
        epoch=epoch,
        input=[_message(m["role"], m["content"]) for m in episode.messages],
        target="",
        messages=[_message(m["role"], m["content"]) for m in _chat(episode)],
        output=ModelOutput.from_content(model, last),
        scores=scores,
        error=error,
        model_usage={model: usage},
        total_time=episode.wall_s,
        turn_count=len(episode.turns),
        metadata=_metadata(episode),
    )


def _metadata(episode: Episode) -> dict[str, Any]:
    """What `_episode` reads back, and Inspect has no place for."""
    return {
        "env": episode.env,
        "split": episode.task.split,
        "level": episode.task.level,
        "family": episode.task.family,
        "content_hash": episode.task.content_hash,
        "seed": episode.seed,
        "stop": episode.stop.value,
        "malformed": episode.malformed,
    }


def _chat(episode: Episode) -> list[Message]:
    messages: list[Message] = list(episode.messages)
    for segment in episode.segments:
        # The prompt is the opening messages, rendered.
        if segment.source != "prompt":
            role = "assistant" if segment.source == "policy" else "user"
            content = segment.thought + segment.text
            messages.append({"role": role, "content": content})
    return messages


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
    opening, segments = _conversation(sample)
    prompt = "\n".join(m["content"] for m in opening if m["role"] == "user")

    # A log of another project has none of the metadata that `_sample` writes.
    about = sample.metadata
    task = Task(
        str(sample.id),
        str(about.get("split", "id")),
        int(about.get("level", 0)),
        str(about.get("family", sample.id)),
        prompt,
    )

    verdict = _verdict(sample)
    stop, error = Stop(about.get("stop", Stop.FINISHED.value)), ""
    if verdict is None:
        stop = Stop.ERROR
        error = sample.error.message if sample.error else "the sample has no score"
    return Episode(
        task=task,
        messages=tuple(opening),
        tools=(),
        segments=(Segment("prompt", prompt), *segments),
        stop=stop,
        verdict=verdict,
        seed=int(about.get("seed", sample.epoch)),
        error=error,
        wall_s=sample.total_time or 0.0,
        malformed=int(about.get("malformed", 0)),
        env=str(about.get("env", name)),
    )


def _conversation(sample: EvalSample) -> tuple[list[Message], list[Segment]]:
    """The messages before the first turn, and the segments from there on."""
    opening: list[Message] = []
    segments: list[Segment] = []
    for message in sample.messages:
        if message.role == "assistant":
            text = _turn_text(message)
            segments.append(Segment("policy", text, tokens=_tokens_per_turn(sample)))
        elif segments:
            segments.append(Segment("env", message.text))
        else:
            opening.append({"role": message.role, "content": message.text})
    return opening, segments


def _turn_text(message: Any) -> str:
    """The text of an assistant, with its tool calls in the form that our environments read."""
    calls = [
        render_call(call.function, **call.arguments)
        for call in message.tool_calls or ()
    ]
    return "\n".join(filter(None, [message.text, *calls]))


def _tokens_per_turn(sample: EvalSample) -> int:
    """The sample's output, spread evenly over its turns."""
    turns = sum(message.role == "assistant" for message in sample.messages)
    written = sum(usage.output_tokens for usage in sample.model_usage.values())
    return written // turns


def _verdict(sample: EvalSample) -> Verdict | None:
    if sample.error is not None or not sample.scores:
        return None
    score = next(iter(sample.scores.values()))
    if isinstance(score.value, str):
        value = LETTERS.get(score.value, 0.0)
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
        allow_abbrev=False,
    )
    parser.add_argument("verb", choices=tuple(SUFFIX), help="the direction")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="episodes, or logs"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write into"
    )
    parser.add_argument(
        "--model", default="", help="its name in a log; default: the file's"
    )
    return parser


if __name__ == "__main__":
    main()
