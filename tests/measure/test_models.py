"""The one door to models: what is loaded, what is refused, and weights as they are read."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from tokenizers import normalizers
from transformer_lens import TransformerBridge
from transformers import AutoModelForCausalLM

from neurontab.errors import ModelError
from neurontab.measure.basis import check_basis
from neurontab.measure.models import SUPPORTED, LanguageModel
from neurontab.measure.sources import folder_of, parse_source, parse_sources, weight_files
from neurontab.measure.vocabulary import shared_digest

CPU = torch.device("cpu")


def loaded(folder: Path | str) -> LanguageModel:
    """The model of a folder or a hub name."""
    return LanguageModel(parse_source(str(folder)), CPU)


def test_activations_are_those_of_the_hugging_face_model(tmp_path: Path) -> None:
    made = tiny.model(0)
    model = loaded(tiny.save(made, tmp_path / "m"))
    tokens = torch.randint(2, 60, (3, 20))
    expected: list[torch.Tensor] = []
    for mlp in tiny.mlps(made):
        mlp.act.register_forward_hook(
            lambda _, inputs, output: expected.extend((inputs[0], output))
        )
    made(tokens)
    found: list[torch.Tensor] = []
    model.run(tokens, lambda layer, pre, post: found.extend((pre.clone(), post.clone())))
    assert len(found) == 4
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    check_basis(model, tokens)
    assert model.facts.activation == made.config.activation_function == "gelu_new"
    # In one operation, and the same:
    assert all(isinstance(mlp.act, torch.nn.GELU) for mlp in tiny.mlps(model.bridge.original_model))


@pytest.mark.parametrize("kind", tiny.SHAPES)
def test_from_what_mlps_read_activations_are_the_same_to_the_last_bit(
    tmp_path: Path, kind: str
) -> None:
    """Without attention: it is run once over tokens that are kept, twice over the others."""
    model = loaded(tiny.save(tiny.of_kind(kind), tmp_path / kind))
    batches = [torch.randint(2, 60, (2, 20)) for _ in range(3)]
    other = torch.randint(2, 60, (2, 7))  # not of the length that is kept
    attended: list[int] = []
    attention = model.bridge.blocks[0].attn
    attention.register_forward_hook(lambda _, inputs, output: attended.append(1))

    def activations(tokens: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        model.run(tokens, lambda layer, pre, post: found.extend((pre.clone(), post.clone())))
        assert len(found) == 2 * model.facts.n_layers
        return found

    without = [activations(tokens) for tokens in (*batches, other)]
    model.keep_inputs(5, 20)  # two batches of two, and half of the third
    attended.clear()
    first = [activations(tokens) for tokens in (*batches, other)]
    assert len(attended) == 4
    activations(batches[0].view(4, 10))  # the same tokens as other sequences
    assert len(attended) == 5
    attended.pop()
    again = [activations(tokens) for tokens in (*reversed(batches), other)]
    assert len(attended) == 4 + 2
    for one, two, three in zip(without, first, [*reversed(again[:3]), again[3]], strict=True):
        assert all(map(torch.equal, one, two))
        assert all(map(torch.equal, one, three))


def test_a_run_that_is_broken_off_keeps_nothing(tmp_path: Path) -> None:
    model = loaded(tiny.save(tiny.model(0), tmp_path / "m"))
    tokens = torch.randint(2, 60, (2, 20))
    model.keep_inputs(2, 20)

    def stop(layer: int, pre: torch.Tensor, post: torch.Tensor) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.run(tokens, stop)
    assert model.inputs.of(tokens) is None
    model.run(tokens, lambda layer, pre, post: None)
    assert model.inputs.of(tokens) is not None


def test_a_basis_that_is_not_the_models_is_refused(tmp_path: Path) -> None:
    model = loaded(tiny.save(tiny.model(0), tmp_path / "m"))
    tokens = torch.randint(2, 60, (2, 20))
    with torch.no_grad():
        model.bridge.blocks[1].mlp.b_out[3] += 1e-3  # the bridge now differs from the files
    with pytest.raises(ModelError, match="m: logits differs from Hugging Face's"):
        check_basis(model, tokens)


def test_hooks_that_do_not_lead_to_the_mlp_s_output_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(tiny.save(tiny.model(0), tmp_path / "m"))
    mlp = model.bridge.blocks[1].mlp
    other = mlp.W_out.detach() * 1.001
    monkeypatch.setattr(type(mlp), "W_out", property(lambda self: other))
    with pytest.raises(ModelError, match="m: layer 0: MLP output differs"):
        check_basis(model, torch.randint(2, 60, (2, 20)))


@pytest.mark.parametrize("kind", tiny.SHAPES)
def test_weights_are_folded_as_transformer_lens_folds_them(tmp_path: Path, kind: str) -> None:
    folder = tiny.save(tiny.of_kind(kind), tmp_path / kind)
    model = loaded(folder)
    assert model.facts.architecture in SUPPORTED
    check_basis(model, torch.randint(2, 60, (2, 20)))
    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu")
    bridge.enable_compatibility_mode(disable_warnings=True)
    for layer in range(2):
        ours, theirs = model.weights(layer), bridge.blocks[layer].mlp
        assert torch.allclose(ours.w_in.T.float(), theirs.W_in, atol=1e-6)
        assert torch.allclose(ours.w_out.float(), theirs.W_out, atol=1e-6)
        bias = theirs.b_gate if model.facts.gated else theirs.b_in
        if bias is not None:
            assert torch.allclose(ours.b_in.float(), bias, atol=1e-6)
        assert (ours.w_gate is not None) == model.facts.gated == (not kind.startswith("gpt"))
        if ours.w_gate is not None:
            assert torch.allclose(ours.w_gate.T.float(), theirs.W_gate, atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", tiny.SHAPES)
def test_vocabulary_and_heads_are_folded_as_transformer_lens_folds_them(
    tmp_path: Path, kind: str, tied: bool
) -> None:
    folder = tiny.save(tiny.of_kind(kind, tied=tied), tmp_path / kind)
    model = loaded(folder)
    assert model.facts.tied == tied
    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu")
    bridge.enable_compatibility_mode(disable_warnings=True)
    read = bridge.unembed.W_U.T.double()
    assert torch.allclose(model.unembedding(), read - read.mean(dim=0), atol=1e-5)
    assert torch.allclose(model.embedding().float(), bridge.embed.W_E, atol=1e-5)
    for layer in range(2):
        ours, theirs = model.heads(layer), bridge.blocks[layer].attn
        repeats = model.facts.n_heads // len(theirs.W_K)
        assert torch.allclose(ours.query.float(), theirs.W_Q, atol=1e-5)
        assert torch.allclose(ours.key.float(), theirs.W_K.repeat_interleave(repeats, 0), atol=1e-5)
        values = ours.value @ ours.out
        expected = theirs.W_V.repeat_interleave(repeats, 0).double() @ theirs.W_O.double()
        assert torch.allclose(values, expected, atol=1e-4)


@pytest.mark.parametrize("kind", tiny.SHAPES)
def test_the_key_at_bos_is_what_the_head_computes_there(tmp_path: Path, kind: str) -> None:
    model = loaded(tiny.save(tiny.of_kind(kind), tmp_path / kind))
    seen: dict[int, torch.Tensor] = {}
    hooks = [
        (f"blocks.{layer}.attn.hook_k", lambda keys, hook, n=layer: seen.__setitem__(n, keys))
        for layer in range(2)
    ]
    model.bridge.run_with_hooks(torch.tensor([[0, 7, 9]]), fwd_hooks=hooks)
    for layer in range(2):
        keys = seen[layer].reshape(1, 3, -1, 8)[0, 0].double()
        found = model.heads(layer).key_at_bos
        assert torch.allclose(found[:: len(found) // len(keys)], keys, atol=1e-6)


@pytest.mark.parametrize("architecture", [["GemmaForCausalLM"], ["LlavaModel"], None, []])
def test_an_architecture_that_nobody_has_checked_is_refused(
    tmp_path: Path, architecture: list[str] | None
) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": architecture}))
    with pytest.raises(ModelError, match=r"the architecture .*\nSupported are GPT2LMHead"):
        loaded(folder)


@pytest.mark.parametrize(
    ("settings", "scales"),
    [
        ({}, [8**-0.5, 8**-0.5]),
        ({"scale_attn_by_inverse_layer_idx": True}, [8**-0.5, 8**-0.5 / 2]),
        ({"scale_attn_weights": False}, [1, 1]),
    ],
)
def test_attention_scores_are_scaled_as_the_configuration_says(
    tmp_path: Path, settings: dict[str, bool], scales: list[float]
) -> None:
    """The pattern that Hugging Face computes is that of the scores with this scale."""
    made = tiny.of_kind("gpt2")
    made.config.update(settings)
    folder = tiny.save(made, tmp_path / "m")
    model = loaded(folder)
    assert [model.heads(layer).scale for layer in range(2)] == pytest.approx(scales)
    reference: Any = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    given: list[torch.Tensor] = []
    for block in reference.transformer.h:
        block.attn.c_attn.register_forward_hook(lambda _, inputs, output: given.append(output[0]))
    patterns = reference(torch.tensor([[0, 7, 9]]), output_attentions=True).attentions
    later = torch.ones(3, 3).triu(1).bool()
    for scale, each, pattern in zip(scales, given, patterns, strict=True):
        query, key = (part.reshape(3, 2, 8) for part in each.split(16, dim=1)[:2])
        scores = torch.einsum("qhd,khd->hqk", query, key) * scale
        expected = scores.masked_fill(later, -torch.inf).softmax(dim=2)
        assert torch.allclose(pattern[0], expected, atol=1e-5)


def test_a_name_too_long_for_a_file_is_refused_before_anything_is_measured() -> None:
    assert parse_source(f"{'n' * 100}=x").name == "n" * 100
    with pytest.raises(ModelError, match=r"100 characters at most.\nGive it one"):
        parse_source(f"{'n' * 101}=x")


def test_neox_attention_without_biases_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = tiny.save(tiny.of_kind("gpt_neox"), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attention_bias": False}))
    with pytest.raises(ModelError, match=r"no biases.*\n.*attention_bias true"):
        loaded(folder)


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    for name in ("transformer.h.1.ln_2.weight", "transformer.h.1.mlp.c_fc.bias"):
        del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = loaded(folder)
    with pytest.raises(ModelError, match=r"lack transformer.h.1.ln_2.weight, transformer.h.1.mlp"):
        check_basis(model, torch.randint(2, 60, (2, 20)))


@pytest.mark.parametrize(
    ("spec", "name", "source", "revision"),
    [
        ("org/model", "model", "org/model", None),
        ("org/model@step3", "model@step3", "org/model", "step3"),
        ("a=org/model@step3", "a", "org/model", "step3"),
        ("gpt2", "gpt2", "gpt2", None),
    ],
)
def test_a_model_is_named_by_its_spec(
    spec: str, name: str, source: str, revision: str | None
) -> None:
    found = parse_source(spec)
    assert (found.name, found.source, found.revision) == (name, source, revision)


def test_folders_may_hold_any_sign_and_names_are_unique(tmp_path: Path) -> None:
    odd = tmp_path / "x=1@2"
    odd.mkdir()
    assert parse_source(f"a={odd}").source == str(odd)
    with pytest.raises(ModelError, match=r"cannot be a model's name.*\n.*--model NAME="):
        parse_source("my model")
    for name in ("a--b", "_a", ".a", "a-", "-b"):
        with pytest.raises(ModelError, match="cannot be a model's name"):
            parse_source(f"{name}=org/m")
    with pytest.raises(ModelError, match="Several models are called m"):
        parse_sources(("org/m", "other/m"))


def test_a_folder_without_weights_tokenizer_or_config_is_refused(tmp_path: Path) -> None:
    whole = tiny.save(tiny.model(0), tmp_path / "whole")
    for missing, message in (
        ("model.safetensors", "has no weights"),
        ("tokenizer.json", "has no tokenizer"),
        ("config.json", "no config.json"),
    ):
        part = tmp_path / missing
        shutil.copytree(whole, part)
        (part / missing).unlink()
        with pytest.raises(ModelError, match=message):
            loaded(part)
    with pytest.raises(ModelError, match="has no revision 'main'"):
        loaded(f"{whole}@main")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(folder)


def as_bin(folder: Path) -> Path:
    """The same model with its weights as older hub models have them."""
    made = tiny.model(0)
    (folder / "model.safetensors").unlink()
    torch.save(made.state_dict(), folder / "pytorch_model.bin")
    return folder


def test_pytorch_weights_are_read_when_there_are_no_others(tmp_path: Path) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "m")
    safe = loaded(folder).weights(1).w_in
    assert torch.equal(loaded(as_bin(folder)).weights(1).w_in, safe)


def test_a_model_s_identity_is_of_the_files_that_are_loaded(tmp_path: Path) -> None:
    """Other files with weights in them may lie beside; transformers passes them over."""
    folder = as_bin(tiny.save(tiny.model(0), tmp_path / "m"))
    stranger = {"x": torch.zeros(1)}
    save_file(stranger, folder / "model.fp16.safetensors", metadata={"format": "pt"})
    assert weight_files(folder) == [folder / "pytorch_model.bin"]
    before = loaded(folder)
    first = before.weights(0).w_in
    torch.save(tiny.model(1).state_dict(), folder / "pytorch_model.bin")
    after = loaded(folder)
    assert not torch.equal(first, after.weights(0).w_in)
    assert before.facts.sha256 != after.facts.sha256
    tiny.model(2).save_pretrained(folder, max_shard_size="5KB")
    shards = weight_files(folder)
    assert shards[0].name == "model.safetensors.index.json"
    assert len(shards) > 2
    assert not torch.equal(loaded(folder).weights(0).w_in, after.weights(0).w_in)
    shards[1].unlink()
    with pytest.raises(ModelError, match=rf"names {shards[1].name}, which is missing"):
        loaded(folder)
    shards[0].write_text("{")
    with pytest.raises(ModelError, match=r"index.json is damaged"):
        loaded(folder)


def test_weights_that_come_from_elsewhere_are_refused(tmp_path: Path) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    other = config | {"transformers_weights": "other.safetensors"}
    (folder / "config.json").write_text(json.dumps(other))
    with pytest.raises(ModelError, match=r"names weights of its own, 'other.safetensors'"):
        loaded(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds an adapter"):
        loaded(folder)


@pytest.mark.parametrize("change", [{"n_layer": 0}, {"n_layer": -1}, {"n_inner": 0}])
def test_a_model_without_neurons_is_refused(tmp_path: Path, change: dict[str, int]) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError):
        loaded(folder)
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(folder)


def test_a_hostile_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    folder = as_bin(tiny.save(tiny.model(0), tmp_path / "m"))
    trap = tmp_path / "sprung"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (trap,)  # type: ignore[return-value]

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"transformer.wte.weight": Hostile()}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(folder)
    torch.save({"transformer.wte.weight": Hostile()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(folder)
    assert not trap.exists()


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path) -> None:
    folder = tiny.save(tiny.model(0), tmp_path / "m")
    trap = tmp_path / "sprung"
    (folder / "evil.py").write_text(
        f"open({str(trap)!r}, 'w')\nclass Config: pass\nclass Model: pass\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(folder)
    assert not trap.exists()


def test_tokenizers_that_differ_are_told_apart_by_size_and_entry(tmp_path: Path) -> None:
    other = tuple(word.replace("w7", "v7") for word in tiny.WORDS)
    tokenizers = {
        "a": tiny.tokenizer().backend_tokenizer,
        "b": tiny.tokenizer().backend_tokenizer,
        "c": tiny.tokenizer(other).backend_tokenizer,
    }
    message = (
        r"a and c do not share a tokenizer: vocabularies of 62 and 62; token 9 is 'w7' and 'v7'"
    )
    with pytest.raises(ModelError, match=message):
        shared_digest(tokenizers)
    del tokenizers["c"]
    assert len(shared_digest(tokenizers)) == 64
    tokenizers["d"] = tiny.tokenizer().backend_tokenizer
    tokenizers["d"].normalizer = normalizers.Lowercase()
    with pytest.raises(ModelError, match="62 and 62, alike, but not in normalizer"):
        shared_digest(tokenizers)


def test_a_tokenizer_larger_than_its_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.save(tiny.model(0, words=40), tmp_path / "m")
    with pytest.raises(ModelError, match="the tokenizer has 62 tokens, the model 42"):
        loaded(folder)


def hub_cache(root: Path, name: str, made: Path, revision: str = "main") -> str:
    """Lays a model out as huggingface_hub's cache does; returns the commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = root / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / revision).write_text(commit)
    snapshot.mkdir(parents=True)
    for path in made.iterdir():
        blob = repository / "blobs" / f"blob-{path.name}"
        shutil.copyfile(path, blob)
        (snapshot / path.name).symlink_to(Path("../../blobs") / blob.name)
    return commit


SCRIPT = """
import sys, torch
from neurontab.measure.models import LanguageModel
from neurontab.measure.sources import parse_source
from neurontab.errors import ModelError
import socket
def refuse(*a, **k): raise AssertionError("network was asked for")
socket.socket.connect = refuse
for spec in sys.argv[1:]:
    try:
        facts = LanguageModel(parse_source(spec), torch.device("cpu")).facts
        print(facts.source, facts.revision)
    except ModelError as error:
        print("ModelError", " ".join(str(error).split()))
"""


def test_hub_models_are_loaded_from_the_cache_without_network_or_named(tmp_path: Path) -> None:
    """With HF_HUB_OFFLINE set and sockets closed."""
    made = as_bin(tiny.save(tiny.model(0), tmp_path / "made"))
    main = hub_cache(tmp_path / "hub", "org/seed", made, "main")
    step = hub_cache(tmp_path / "hub", "org/other", made, "step1000")
    environment = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub"), "PATH": ""}
    specs = ["org/seed", "org/other@step1000", "org/nowhere@step3"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *specs],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *loaded, refused = done.stdout.strip().splitlines()
    assert loaded == [f"org/seed {main}", f"org/other {step}"]
    assert refused.startswith("ModelError 'org/nowhere@step3' is no folder")
    assert "Name a folder" in refused


def test_a_missing_folder_is_not_looked_for_elsewhere_than_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No folder and no hub model|is no folder"):
        folder_of(parse_source(f"m={tmp_path}/nowhere/at/all"))
