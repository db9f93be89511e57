"""Loss and gradient of the shared algorithms are those of TRL, on a batch off its policy.

Conventions that differ and stand outside the compared code: TRL divides an advantage by the sample
std plus 1e-4, `group_z_score` by the population one; its constant divisor is
max_completion_length.
"""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from scgrpo.algorithms.presets import DAPO, DR_GRPO, GRPO, GSPO, Algorithm
from scgrpo.losses import is_clipped, kl_estimate, surrogate
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    trl = pytest.importorskip(
        "trl", reason="the reference implementation is not installed"
    )

BETA = 0.1
DRIFT = {"gspo": 1e-2}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


def theirs(tiny: Path, out: Path, algorithm: Algorithm, loss_type: str) -> Any:
    """TRL's trainer with the settings of `algorithm`."""
    from datasets import Dataset

    model, tokenizer = load_model(tiny)
    config = trl.GRPOConfig(
        output_dir=str(out),
        loss_type=loss_type,
        epsilon=algorithm.clip_low,
        epsilon_high=algorithm.clip_high,
        importance_sampling_level="sequence" if algorithm.sequence_ratio else "token",
        # With a sequence's ratio TRL's term is no KL any more, as its documentation says.
        beta=0.0 if algorithm.sequence_ratio else BETA,
        num_generations=2,
        per_device_train_batch_size=4,
        max_completion_length=1024,
        use_cpu=True,
        bf16=False,
        report_to=[],
    )
    return trl.GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_list([{"prompt": "a"}] * 4),
        processing_class=tokenizer,
    )


def flat(model: torch.nn.Module) -> torch.Tensor:
    grads = [
        torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()
    ]
    return torch.cat([g.flatten() for g in grads])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("algorithm", "loss_type"),
    [(GRPO, "grpo"), (DAPO, "dapo"), (DR_GRPO, "dr_grpo"), (GSPO, "grpo")],
    ids=lambda value: getattr(value, "name", value),
)
def test_loss_and_gradient_are_those_of_trl(tiny, tmp_path, algorithm, loss_type):
    draw = torch.Generator().manual_seed(3)
    prompt = torch.randint(5, 50, (4, 3), generator=draw)
    completion = torch.randint(5, 50, (4, 7), generator=draw)
    mask = torch.arange(7) < torch.tensor([7, 3, 5, 1])[:, None]
    advantage = torch.tensor([1.0, -1.0, 0.5, -2.0])
    own, _ = load_model(tiny)
    own.eval()
    logits = own(input_ids=torch.cat([prompt, completion], 1)).logits[:, 2:-1].float()
    logprobs = logits.log_softmax(-1).gather(2, completion[..., None])[..., 0]
    noise = DRIFT.get(algorithm.name, 0.4) * torch.randn(4, 7, generator=draw)
    old = logprobs.detach() + noise
    reference = logprobs.detach() + 0.3 * torch.randn(4, 7, generator=draw)

    rows = torch.arange(4)[:, None].expand(4, 7)[mask]
    inputs = (
        logprobs[mask],
        old[mask],
        advantage[:, None].expand(4, 7)[mask],
        algorithm.weight(mask)[mask],
        algorithm.clip_low,
        algorithm.clip_high,
        rows if algorithm.sequence_ratio else None,
    )
    loss = surrogate(*inputs)
    if not algorithm.sequence_ratio:
        kl = kl_estimate(logprobs, old, reference)[mask]
        loss = loss + BETA * (algorithm.weight(mask)[mask] * kl).sum()
    loss.backward()

    trainer = theirs(tiny, tmp_path, algorithm, loss_type)
    trainer.model.eval()
    wanted = trainer.compute_loss(
        trainer.model,
        {
            "prompt_ids": prompt,
            "prompt_mask": torch.ones_like(prompt),
            "completion_ids": completion,
            "completion_mask": mask.long(),
            "advantages": advantage,
            "old_per_token_logps": old,
            "ref_per_token_logps": reference,
            "num_items_in_batch": mask.sum(),
        },
    )
    wanted.backward()
    # The clip cuts some tokens off and leaves others, so both of its sides are compared.
    clipped = is_clipped(*inputs)
    assert clipped.any()
    assert not clipped.all()
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-7)
    scale = flat(trainer.model).abs().max()
    assert scale > 0
    torch.testing.assert_close(
        flat(own) / scale, flat(trainer.model) / scale, rtol=0, atol=1e-5
    )
