"""Settings: counts as people write them, presets under files under options, slips with a hint."""

from pathlib import Path

import pytest

from neurontab.config import EMBEDDED_TOKENS, BuildConfig, resolve
from neurontab.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "tokens"),
    [
        ("100M", 100_000_000),
        ("10_000_000", 10_000_000),
        ("2.5k", 2_500),
        ("1,000", 1_000),
        (7_000, 7_000),
        ("all", "all"),
    ],
)
def test_counts_are_read_as_people_write_them(written: object, tokens: object) -> None:
    assert resolve(tokens=written).tokens == tokens


@pytest.mark.parametrize("written", ["many", "-5", "0", "1.5", "5MB", "1.2345K"])
def test_counts_that_are_none_are_refused(written: str) -> None:
    with pytest.raises(ConfigError, match="tokens"):
        resolve(tokens=written)


def test_options_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('context = 256\ntokens = "5M"\n[matching]\ndraws = 3\n')
    found = resolve(file, "paper", tokens="7M")
    assert found.tokens == 7_000_000
    assert found.context == 256
    assert found.mask_newlines
    assert found.matching.draws == 3
    assert found.matching.rotation == "gaussian-rows"
    assert found.matching.k == 10


def test_the_presets_are_what_the_documentation_says() -> None:
    paper = resolve(preset="paper")
    assert (paper.tokens, paper.context, paper.matching.draws) == (100_000_000, 512, 1)
    quick = resolve(preset="quick")
    assert (quick.tokens, quick.matching.mode, quick.matching.draws) == (
        EMBEDDED_TOKENS,
        "exact",
        4,
    )


def test_a_run_s_own_config_can_be_built_again(tmp_path: Path) -> None:
    import tomli_w

    config = resolve(models=["a", "b"], corpus=["c"], tokens="1M", matching={"k": 3})
    file = tmp_path / "config.toml"
    written = config.model_dump(mode="json", exclude_none=True)
    file.write_text(tomli_w.dumps(written | {"plan": {"memory": 3}, "fingerprint": {"x": "y"}}))
    assert resolve(file) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modles = []", "modles: .*Did you mean 'models'"),
        ("context = 2", "context: .*greater than or equal to 8; found 2"),
        ("[matching]\nkk = 2", r"matching.kk: "),
        ('[matching]\nmode = "sketch"\nproducts = "bfloat16"', "matching: sketches settle matches"),
        ('[matching]\nrotation = "qr"', r"matching.rotation: .*'haar' or 'gaussian-rows'"),
        ('preset = "papr"', "No preset 'papr'.*Did you mean 'paper'"),
        ('preset = ["quick"]', r"No preset \['quick'\]"),
        ('tokens = "1e3"', "tokens: not a whole number such as 60000, .*; found '1e3'"),
        ('tokens = "1,5K"', "tokens: not a whole number"),
        ("tokens = ", "is not a TOML file"),
    ],
)
def test_a_slip_in_a_file_is_named_with_place_and_hint(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        resolve(file)
    assert str(file) in str(error.value) or "preset" in text


def test_the_preset_given_by_hand_wins(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('preset = "quick"')
    assert resolve(file, "paper").tokens == 100_000_000
    assert resolve(file).tokens == EMBEDDED_TOKENS


def test_all_slips_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("context = 2\nsed = 1\nseed = -1\n")
    with pytest.raises(ConfigError) as error:
        resolve(file)
    assert [line.split(":")[0].strip() for line in str(error.value).splitlines()[1:]] == [
        "context",
        "sed",
        "seed",
    ]


def test_a_slip_given_by_hand_is_not_said_to_be_the_file_s(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("context = 2\n")
    with pytest.raises(ConfigError) as error:
        resolve(file, memory="much")
    of_file, context, of_hand, memory = str(error.value).splitlines()
    assert (of_file, of_hand) == (f"Settings that cannot be in {file}:", "Settings that cannot be:")
    assert context.startswith("  context: ")
    assert memory.startswith("  memory: ")


def test_a_missing_file_is_said() -> None:
    with pytest.raises(ConfigError, match=r"No config file nowhere.toml"):
        resolve(Path("nowhere.toml"))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        BuildConfig().seed = 3  # type: ignore[misc]
