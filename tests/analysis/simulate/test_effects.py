"""Effects are read from words and files, and every mistake says what to write."""

from pathlib import Path

import pytest

from analysis.claims.spec import CLAIMS
from analysis.simulate.effects import Effects, as_mapping, preset, read_effects
from analysis.simulate.presets import EXPECTED, PRESETS, TRUTHS
from harness.errors import UserError


def test_every_claim_can_be_made_so_in_every_way_but_one():
    assert tuple(PRESETS) == CLAIMS
    assert tuple(EXPECTED) == TRUTHS
    assert [(claim, truth) for claim in CLAIMS for truth in TRUTHS if truth not in PRESETS[claim]] == [
        ("H7", "false")
    ]
    for claim, truths in PRESETS.items():
        for truth in truths:
            preset(**{claim: truth})


def test_values_come_from_a_file_then_from_words(tmp_path):
    file = tmp_path / "effects.yaml"
    file.write_text("H1: null\nseed_sd: 1\nlatent: 0.2\n")
    found = read_effects(["latent=0.3", "tails=t3"], file)
    assert (found.images, found.seed_sd, found.latent, found.tails) == (0.0, 1.0, 0.3, "t3")
    assert read_effects(["H1=true", "images=0.5"]).images == 0.5
    assert Effects.model_validate(as_mapping(found)) == found
    file.write_text("H1: true\n")
    assert read_effects(file=file) == preset(H1="true") == read_effects(["H1=true"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["imges=1"], "no effect imges (did you mean images?); wm simulate --list-effects names them all"),
        (["images"], "images: write an effect as name=value, such as images=0.1 or H4=null"),
        (["images="], "images=: write an effect as name=value"),
        (["images=1", "images=2"], "images is given twice"),
        (["images=big"], "images=big: Input should be a valid number"),
        (["seed_sd=-1"], "seed_sd=-1.0: Input should be greater than or equal to 0"),
        (["images=.nan"], "images=nan: Input should be a finite number"),
        (["H1=yes"], "H1=yes: a claim is made true, false, null, undetectable"),
        (["H7=false"], "H7=false: a claim is made true, null, undetectable"),
        (["H1=false", "H5=true"], "H1=false and H5=true set images differently (-0.2 and 0.2)"),
    ],
)
def test_mistakes_say_what_to_write(given, said):
    with pytest.raises(UserError) as caught:
        read_effects(given)
    assert str(caught.value).startswith(said)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_effects(file=tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- images\n")
    with pytest.raises(UserError, match="write a line `name: value` for each effect"):
        read_effects(file=tmp_path / "list.yaml")
    with pytest.raises(UserError, match="no claim H12"):
        preset(H12="true")


def test_the_guide_lists_every_effect_with_its_default():
    guide = (Path(__file__).parents[3] / "docs" / "simulate.md").read_text()
    for name, field in Effects.model_fields.items():
        assert f"| `{name}` | {field.default} | {field.description} |\n" in guide
