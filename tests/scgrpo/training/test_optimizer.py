"""Small steps on small types are not lost."""

import sys

import pytest
import torch
from torch import nn

from scgrpo.training.optimizer import MasterAdamW, adam_of
from scgrpo.training.optimizer_files import read_parts, write_parts


def weight(dtype: torch.dtype, value: float = 0.05) -> nn.Parameter:
    return nn.Parameter(torch.full((8,), value, dtype=dtype))


def values(optimizer: MasterAdamW) -> dict[str, torch.Tensor]:
    parts = optimizer.state_parts()
    return {name: part.local.clone() for name, part in parts.items()}


def descend(
    optimizer: MasterAdamW, parameter: nn.Parameter, steps: int, lr: float = 2e-5
) -> None:
    for _ in range(steps):
        parameter.sum().backward()
        optimizer.step(lr=lr, max_norm=1.0)


def test_steps_smaller_than_the_rounding_of_bfloat16_add_up():
    mine, plain = weight(torch.bfloat16), weight(torch.bfloat16)
    descend(MasterAdamW([mine], lr=2e-5), mine, 20)
    adam = torch.optim.AdamW([plain], lr=2e-5, weight_decay=0.0)
    for _ in range(20):
        plain.sum().backward()
        adam.step()
        adam.zero_grad()
    start = weight(torch.bfloat16)
    # bf16 near 0.05 comes in steps of 2**-12 = 2.4e-4: Adam's 2e-5 is rounded away each time.
    assert torch.equal(plain, start)
    # 20 steps of 2e-5 are 4e-4, give or take half a step of the type.
    moved = (start - mine).float()
    assert ((moved - 4e-4).abs() <= 2.0**-13).all()


def test_a_full_precision_weight_is_its_own_master():
    mine, plain = weight(torch.float32), weight(torch.float32)
    descend(MasterAdamW([mine], lr=1e-3), mine, 5, lr=1e-3)
    adam = torch.optim.AdamW([plain], lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)
    for _ in range(5):
        plain.sum().backward()
        nn.utils.clip_grad_norm_([plain], 1.0)
        adam.step()
        adam.zero_grad()
    torch.testing.assert_close(mine, plain, rtol=1e-6, atol=1e-7)


def test_gradients_of_several_backward_passes_add_up_in_full_precision():
    parameter = weight(torch.bfloat16, 1.0)
    optimizer = MasterAdamW([parameter], lr=1e-3)
    # 1 + 2**-9 is 1 in bf16, which has 8 bits.
    for size in (1.0, 2.0**-9):
        (parameter * size).sum().backward()
        assert parameter.grad is None
    norm = optimizer.step(lr=1e-3, max_norm=1e9)
    assert norm == pytest.approx(8**0.5 * (1 + 2.0**-9), rel=1e-6)


def test_clipping_returns_the_norm_before():
    parameter = weight(torch.float32)
    optimizer = MasterAdamW([parameter], lr=1e-3)
    (100.0 * parameter).sum().backward()
    assert optimizer.step(lr=1e-3, max_norm=1.0) == pytest.approx(100 * 8**0.5)
    assert parameter.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_optimizer_goes_on_identically(dtype: torch.dtype):
    first = weight(dtype)
    one = MasterAdamW([first], lr=2e-5)
    descend(one, first, 7)
    # Another weight than the saved one, as after loading rounded weights from the disk.
    second = weight(dtype, 0.75)
    two = MasterAdamW([second], lr=2e-5)
    two.load_state_parts(values(one))
    assert torch.equal(first, second)
    for number in range(12):
        for optimizer, parameter in ((one, first), (two, second)):
            # Gradients that turn: a step depends on the ones before.
            (parameter * (1 - number % 3)).sum().backward()
            optimizer.step(lr=2e-5, max_norm=1.0)
        assert torch.equal(first, second)
    assert values(one).keys() == {"master.0", "step.0", "exp_avg.0", "exp_avg_sq.0"}
    for name, value in values(one).items():
        assert torch.equal(values(two)[name], value), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masters_on_the_cpu_take_the_same_steps(dtype: torch.dtype):
    torch.manual_seed(0)
    start = torch.randn(8).to(dtype)
    one, two = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    stays, moves = (
        MasterAdamW([one], lr=1e-3),
        MasterAdamW([two], lr=1e-3, offload=True),
    )
    for number in range(5):
        for optimizer, parameter in ((stays, one), (moves, two)):
            for _ in range(2):
                (parameter * (1 - number % 3)).sum().backward()
            optimizer.step(lr=1e-3, max_norm=1.0)
            assert parameter.grad is None
        assert torch.equal(one, two)
    assert not torch.equal(one, start)
    # A copy in any case: the model's weight stays where it is.
    assert moves._masters[0].data_ptr() != two.data_ptr()
    expected = values(stays)
    assert all(torch.equal(values(moves)[name], expected[name]) for name in expected)
    with pytest.raises(ValueError, match="adamw_8bit steps on the GPU"):
        MasterAdamW([one], lr=1e-3, kind="adamw_8bit", offload=True)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_that_is_not_finite_changes_nothing(dtype: torch.dtype, bad: float):
    parameter = weight(dtype)
    optimizer = MasterAdamW([parameter], lr=1e-3)
    descend(optimizer, parameter, 2, lr=1e-3)
    before = parameter.detach().clone()
    (parameter * bad).sum().backward()
    assert not torch.isfinite(torch.tensor(optimizer.step(lr=1e-3, max_norm=1.0)))
    assert torch.equal(parameter, before)
    descend(optimizer, parameter, 1, lr=1e-3)
    assert parameter.isfinite().all()
    assert not torch.equal(parameter, before)


def test_a_step_without_gradients_changes_nothing():
    parameter = weight(torch.bfloat16)
    before = parameter.detach().clone()
    assert MasterAdamW([parameter], lr=1e-3).step(lr=1e-3, max_norm=1.0) == 0.0
    assert torch.equal(parameter, before)


def test_frozen_weights_stay_and_a_model_of_them_is_refused():
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    with pytest.raises(ValueError, match="no parameter requires a gradient"):
        MasterAdamW([frozen], lr=1e-3)
    free = weight(torch.float32)
    assert MasterAdamW([frozen, free], lr=1e-3).parameters == [free]


def eight_bit(parameter: nn.Parameter, lr: float = 1e-3) -> MasterAdamW:
    pytest.importorskip("bitsandbytes", reason="8-bit moments are bitsandbytes' work")
    return MasterAdamW([parameter], lr=lr, kind="adamw_8bit")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_eight_bit_moments_take_about_the_same_steps_in_a_quarter_of_the_memory(dtype):
    torch.manual_seed(0)
    start = torch.randn(64, 128).to(
        dtype
    )  # bitsandbytes leaves tensors under 4096 in fp32
    one, two = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine, full = eight_bit(one), MasterAdamW([two], lr=1e-3)
    for number in range(10):
        for optimizer, parameter in ((mine, one), (full, two)):
            (parameter.float() - number / 10).square().sum().backward()
            optimizer.step(lr=1e-3, max_norm=1e9)
    moved = (full._masters[0] - start).norm()
    assert (mine._masters[0] - full._masters[0]).norm() < 0.05 * moved
    sizes = [
        # But for bitsandbytes' table of the 256 values.
        sum(
            value.nbytes
            for name, value in values(optimizer).items()
            if not name.startswith(("master", "qmap"))
        )
        for optimizer in (mine, full)
    ]
    assert sizes[0] < 0.3 * sizes[1]


def test_an_eight_bit_optimizer_goes_on_identically_after_a_checkpoint(tmp_path):
    torch.manual_seed(0)
    start = torch.randn(64, 128)
    one, two = nn.Parameter(start.clone()), nn.Parameter(torch.zeros_like(start))
    before, after = eight_bit(one), eight_bit(two)
    for _ in range(3):
        one.square().sum().backward()
        before.step(lr=1e-3, max_norm=1.0)
    write_parts(tmp_path / "optimizer", before.state_parts())
    after.load_state_parts(read_parts(tmp_path / "optimizer"))
    for optimizer, parameter in ((before, one), (after, two)):
        parameter.square().sum().backward()
        optimizer.step(lr=1e-3, max_norm=1.0)
    assert torch.equal(one, two)
    assert not torch.equal(one, start)


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(
        ValueError, match=r"optimizer=adamw_8bit needs bitsandbytes.*pip install"
    ):
        adam_of("adamw_8bit")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_step_counts_the_versions_of_the_weights_up(dtype: torch.dtype):
    """Whoever keeps a copy of weights in another layout sees by them that it is old."""
    parameter = weight(dtype)
    optimizer = MasterAdamW([parameter], lr=1e-3)
    version = parameter._version
    descend(optimizer, parameter, 1)
    assert parameter._version > version
