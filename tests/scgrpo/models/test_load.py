"""Folders become models."""

import json
from pathlib import Path

import pytest
import torch

from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny

TEXT = 'guess {"n": 7}\n~\\'


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


def test_the_tiny_tokenizer_encodes_one_token_a_character_and_decodes_exactly(
    tiny: Path,
) -> None:
    _, tokenizer = load_model(tiny)
    ids = tokenizer(TEXT).input_ids
    assert len(ids) == len(TEXT)
    assert tokenizer.decode(ids) == TEXT
    assert tokenizer("<|im_end|>").input_ids == [tokenizer.eos_token_id]


def test_the_tiny_chat_template_marks_each_turn(tiny: Path) -> None:
    _, tokenizer = load_model(tiny)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"


def test_a_seed_makes_the_same_tiny_model_and_leaves_the_global_generator(
    tmp_path: Path,
) -> None:
    before = torch.get_rng_state()
    first, _ = load_model(make_tiny(tmp_path / "a", seed=1))
    again, _ = load_model(make_tiny(tmp_path / "b", seed=1))
    other, _ = load_model(make_tiny(tmp_path / "c", seed=2))
    assert torch.equal(torch.get_rng_state(), before)
    weight = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(first.state_dict()[weight], again.state_dict()[weight])
    assert not torch.equal(first.state_dict()[weight], other.state_dict()[weight])


def test_load_gives_the_asked_dtype_and_attention(tiny: Path) -> None:
    model, _ = load_model(tiny, dtype=torch.bfloat16, attention="eager")
    assert model.dtype is torch.bfloat16
    assert model.config._attn_implementation == "eager"
    assert not model.training


def test_an_adapter_folder_loads_with_its_base(tiny: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base, tokenizer = load_model(tiny)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.01)
    model.save_pretrained(str(tmp_path))
    tokenizer.save_pretrained(tmp_path)
    loaded, _ = load_model(tmp_path)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)
        assert not torch.equal(loaded(ids).logits, load_model(tiny)[0](ids).logits)
    assert any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_tokenizer_with_more_tokens_than_the_model_has_rows_is_refused(
    tiny: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_model(tiny)
    model.save_pretrained(tmp_path)
    tokenizer.add_tokens(["<a>", "<b>"])
    tokenizer.save_pretrained(tmp_path)
    message = (
        "tokenizer has 101 tokens, '<b>' with the id 100, but the model has 99 rows"
    )
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path)

    # Rows without tokens are common: sizes are rounded up.
    model.resize_token_embeddings(112)
    model.save_pretrained(tmp_path)
    assert load_model(tmp_path)[0].get_input_embeddings().num_embeddings == 112


def test_an_id_beyond_the_rows_is_refused_however_few_tokens_there_are(
    tiny: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_model(tiny)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    about = json.loads(file.read_text())
    vocabulary = about["model"]["vocab"]
    del vocabulary["x"]
    vocabulary["~"] = 500
    file.write_text(json.dumps(about))
    with pytest.raises(ValueError, match="98 tokens, '~' with the id 500, .* 99 rows"):
        load_model(tmp_path)


def test_a_placeholder_of_images_needs_no_row(tiny: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(tiny)
    model.save_pretrained(tmp_path)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="100 tokens"):
        load_model(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    about = json.loads(file.read_text())
    file.write_text(
        json.dumps({**about, "extra_special_tokens": {"image_token": "<image>"}})
    )
    assert len(load_model(tmp_path)[1]) == 100
