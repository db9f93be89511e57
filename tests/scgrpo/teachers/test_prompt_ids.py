"""Who teaches: another model of the same tokens, or the policy with the solution before it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from envs.base import TextEnv
from envs.toy.guess import ToyGuess
from envs.types import Episode, Segment, Stop, Task, Verdict
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.teachers.prompt_ids import gold_prompts, load_teacher, solution_of
from scgrpo.warm_start.examples import with_token_ids


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


def test_a_teacher_of_the_same_tokens_has_no_gradient(folder: Path):
    _, tokenizer = load_model(folder)
    cpu = torch.device("cpu")
    teacher = load_teacher(str(folder), tokenizer, dtype=torch.float32, device=cpu)
    assert not any(p.requires_grad for p in teacher.parameters())


def test_a_teacher_with_another_tokenizer_is_refused_with_what_differs(
    folder: Path, tmp_path: Path
):
    other = make_tiny(tmp_path / "other", hidden=16, layers=1, heads=2)
    model, changed = load_model(other)
    changed.add_tokens(["<|mine|>"])
    model.resize_token_embeddings(len(changed))
    model.save_pretrained(other)
    changed.save_pretrained(other)
    _, tokenizer = load_model(folder)
    cpu = torch.device("cpu")
    with pytest.raises(
        ValueError, match="has another tokenizer: 0 of the model's .* tokens"
    ):
        load_teacher(str(other), tokenizer, dtype=torch.float32, device=cpu)
    with pytest.raises(
        ValueError, match="has another tokenizer: 1 of the model's .* tokens"
    ):
        load_teacher(str(folder), changed, dtype=torch.float32, device=cpu)


def test_the_solution_is_the_environments_oracle():
    env = ToyGuess()
    task = env.tasks("train", 0)[0]
    assert list(solution_of(env)(task)) == env.oracle(task)


def test_an_environment_without_an_oracle_is_refused():
    class Mute(TextEnv):
        name = "mute"

    with pytest.raises(ValueError, match="mute does not define oracle"):
        solution_of(Mute())


def episode(chat: Chat, turn: str = "5") -> Episode:
    task = Task(id=turn, split="train", level=0, family="f", prompt="Guess 4-6.")
    return with_token_ids(
        Episode(
            task=task,
            messages=({"role": "user", "content": "Guess 4-6."},),
            tools=(),
            segments=(Segment("prompt", ""), Segment("policy", turn)),
            stop=Stop.FINISHED,
            verdict=Verdict(passed=False, score=0.0),
        ),
        chat,
    )


def test_the_solution_goes_into_the_system_message_and_nowhere_else(folder: Path):
    chat = Chat(load_model(folder)[1])
    row = episode(chat)
    found = gold_prompts(chat, ReferenceLimits(), [row], lambda task: ["4", "6"])
    shown, own = chat.text(found[0]), chat.text(row.segments[0].token_ids)
    assert "<solution>\n\nAction 1:\n4\n\nAction 2:\n6\n\n</solution>" in shown
    task = chat.tokenizer.encode(
        "<|im_start|>user\nGuess 4-6.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert list(found[0][-len(task) :]) == task
    assert "solution" not in own


@pytest.mark.parametrize(
    "limits", [ReferenceLimits(tokens=10), ReferenceLimits(input_tokens=60)]
)
def test_a_solution_that_does_not_fit_leaves_the_row_out(folder: Path, limits):
    chat = Chat(load_model(folder)[1])
    row = episode(chat)
    assert gold_prompts(chat, limits, [row], lambda task: ["4"]) == {}
    assert (
        gold_prompts(
            chat, replace(limits, tokens=512, input_tokens=4096), [row], lambda task: []
        )
        == {}
    )
