"""The files that a network goes with are found in the released folder and in ComfyUI's models folder."""

import pytest

from lumosx_core import LumosXError
from lumosx_core.models.ingredients.weights.files import find_ingredients_files


def touched(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths[0]


@pytest.fixture
def released(tmp_path):
    folder = tmp_path / "release"
    touched(
        *(folder / part / "config.json" for part in ("transformer", "vae", "text_encoder")),
        folder / "tokenizer" / "spiece.model",
        folder / "face_encoder" / "models" / "antelopev2" / "glintr100.onnx",
    )
    return folder


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    touched(
        folder / "diffusion_models" / "ingredients_bf16.safetensors",
        folder / "diffusion_models" / "lumosx_bf16.safetensors",
        folder / "diffusion_models" / "._ingredients_bf16.safetensors",
        folder / "vae" / "cogvideox_vae.safetensors",
        folder / "vae" / "wan_2.1_vae.safetensors",
        folder / "text_encoders" / "ingredients_t5xxl_bf16.safetensors",
        folder / "text_encoders" / "umt5_xxl_fp16.safetensors",
        folder / "ingredients_face_encoder" / "EVA02_CLIP_L_336_psz14_s6B.pt",
    )
    return folder


def test_the_released_folder_has_everything(released):
    files = find_ingredients_files(released)
    assert (files.diffusion_model, files.vae, files.text_encoder) == (
        released / "transformer",
        released / "vae",
        released,
    )
    assert files.companions == {"face_encoder": released / "face_encoder"}
    files.check()


def test_a_models_folder_may_have_files_of_other_models(models):
    files = find_ingredients_files(models)
    assert files.diffusion_model.name == "ingredients_bf16.safetensors"
    assert files.vae.name == "cogvideox_vae.safetensors"
    assert files.text_encoder.name == "ingredients_t5xxl_bf16.safetensors"
    assert files.companions["face_encoder"] == models / "ingredients_face_encoder"


def test_what_is_given_wins_over_what_is_there(models, released):
    files = find_ingredients_files(models, released / "vae", released, released)
    assert files.vae == released / "vae" and files.text_encoder == released
    assert files.companions["face_encoder"] == released / "face_encoder"


def test_a_network_alone_needs_the_others(models, released):
    network = models / "diffusion_models" / "ingredients_bf16.safetensors"
    others = {"vae": released / "vae", "text_encoder": released, "face_encoder": released / "face_encoder"}
    assert find_ingredients_files(network, **others).diffusion_model == network
    for missing, option in (("vae", "--vae"), ("text_encoder", "--text-encoder"), ("face_encoder", "--face-encoder")):
        rest = {name: path for name, path in others.items() if name != missing}
        with pytest.raises(LumosXError, match=f"needs a {missing.replace('_', ' ').replace('vae', 'VAE')}.*{option}"):
            find_ingredients_files(network, **rest)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("diffusion_models/ingredients_bf16.safetensors", None),  # the other one is the only one then
        ("vae/*", "There is no VAE of Ingredients"),
        ("text_encoders/*", "There is no text encoder of Ingredients.*download --ingredients"),
        ("ingredients_face_encoder/*", "neither models/antelopev2/glintr100.onnx nor EVA02"),
    ],
)
def test_what_is_missing_is_named(models, removed, message):
    for path in models.glob(removed):
        path.unlink()
    if message is None:
        assert find_ingredients_files(models).diffusion_model.name == "lumosx_bf16.safetensors"
        return
    with pytest.raises(LumosXError, match=message):
        find_ingredients_files(models)


def test_several_candidates_are_listed(models):
    touched(models / "text_encoders" / "t5xxl_fp16.safetensors")
    with pytest.raises(LumosXError, match=r"ingredients_t5xxl_bf16.safetensors, t5xxl_fp16.*--text-encoder FILE"):
        find_ingredients_files(models)


def test_a_released_folder_without_a_part_is_refused(released):
    (released / "text_encoder" / "config.json").unlink()
    (released / "text_encoder").rmdir()
    with pytest.raises(LumosXError, match="There is no text encoder"):
        find_ingredients_files(released)
    with pytest.raises(LumosXError, match="There is no network"):
        find_ingredients_files(released / "absent", released, released, released)
