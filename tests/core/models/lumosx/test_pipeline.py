"""From scene and prompt to video: repeatable, guided as released, and bad input refused before work begins."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXError, Reference, RelationalOptions, Scene, Subject
from lumosx_core.files.model_files import find_model_files
from lumosx_core.models.encode_scene import encode_scene, encode_unbound
from lumosx_core.models.lumosx import lumosx_family, relations
from lumosx_core.models.lumosx.config import PHANTOM_OPTIONS, preset_options
from lumosx_core.models.lumosx.lumosx_family import LUMOSX
from lumosx_core.models.lumosx.pipeline import (
    NEGATIVE_PROMPT,
    LumosXPipeline,
    Settings,
)
from lumosx_core.models.lumosx.tiny import tiny_files, write_tiny
from lumosx_core.models.lumosx.weights import load
from lumosx_core.models.lumosx.weights.load import build_model, load_model
from lumosx_core.models.video_pipeline import Conditions, choose_device, start_noise
from lumosx_core.sampling.schedule import flow_timesteps
from lumosx_core.scene.encoded import EncodedScene
from lumosx_core.scene.strength import Strengths

pytest.importorskip("sentencepiece")

PROMPT = "A man in a denim jacket and a woman with a lamp stand in a garden."
SMALL = {"width": 64, "height": 48, "frames": 5, "steps": 2}


def picture(seed):
    return torch.rand(40, 30, 3, generator=torch.Generator().manual_seed(seed))


def scene(first=0):
    return Scene(
        (
            Subject(Reference("man", picture(first)), (Reference("denim jacket", picture(1)),)),
            Subject(Reference("woman", picture(2))),
        ),
        (Reference("lamp", picture(3)),),
        Reference("garden", picture(4)),
    )


@pytest.fixture(scope="module")
def pipeline(tiny_models):
    return LumosXPipeline.load(tiny_models, device="cpu")


@pytest.fixture(scope="module")
def video(pipeline):
    return pipeline.generate(scene(), PROMPT, Settings(**SMALL, seed=7))


def random_conditions():
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(5, 512, dtype=torch.bool)
    mask[torch.arange(5), torch.arange(5) * 2] = True
    return Conditions(
        torch.randn(1, 12, 4096, generator=generator),
        torch.randn(1, 9, 4096, generator=generator),
        EncodedScene(torch.randn(1, 16, 5, 6, 8, generator=generator), scene().layout, mask),
    )


def test_the_video_has_the_size_asked_for_and_shows_something(video):
    assert video.shape == (1, 5, 48, 64, 3)
    assert video.dtype == torch.uint8
    assert video.float().std() > 10


def test_the_same_seed_gives_the_same_video_bit_for_bit(pipeline, video):
    assert torch.equal(pipeline.generate(scene(), PROMPT, Settings(**SMALL, seed=7)), video)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["seed", "prompt", "negative prompt", "picture"])
def test_another_input_gives_another_video(pipeline, video, what):
    settings = Settings(
        **SMALL,
        seed=8 if what == "seed" else 7,
        negative_prompt="dark" if what == "negative prompt" else NEGATIVE_PROMPT,
    )
    prompt = PROMPT.replace("stand", "dance") if what == "prompt" else PROMPT
    other = pipeline.generate(scene(9 if what == "picture" else 0), prompt, settings)
    assert not torch.equal(other, video)


def test_the_noise_is_the_one_comfyui_draws():
    settings = Settings(**SMALL, batch=3, seed=2**64 - 1)
    generator = torch.manual_seed(2**64 - 1)  # ComfyUI seeds the global generator and draws the latent's whole shape
    expected = torch.randn(torch.Size([3, 16, 2, 6, 8]), dtype=torch.float32, generator=generator, device="cpu")
    assert torch.equal(start_noise(settings), expected)


def test_both_passes_see_the_same_pictures_and_words_and_cfg_weighs_their_difference(pipeline):
    settings = Settings(**(SMALL | {"steps": 1}), cfg=3.0)
    conditions = random_conditions()
    noise = start_noise(settings)
    model = load_model(pipeline.files.diffusion_model, dtype=torch.float32)
    with torch.no_grad():
        positive, negative = (
            model(noise, torch.tensor([1000]), text, conditions.scene)
            for text in (conditions.text, conditions.negative_text)
        )
    expected = noise - (negative + 3.0 * (positive - negative))
    assert torch.allclose(pipeline.sample(conditions, settings), expected, atol=1e-5)


def test_the_negative_pass_can_do_without_the_pictures(pipeline):
    settings = Settings(**(SMALL | {"steps": 1}), cfg=3.0, negative_references="dropped")
    conditions = random_conditions()
    noise = start_noise(settings)
    model = load_model(pipeline.files.diffusion_model, dtype=torch.float32)
    with torch.no_grad():
        positive = model(noise, torch.tensor([1000]), conditions.text, conditions.scene)
        negative = model(noise, torch.tensor([1000]), conditions.negative_text)
    expected = noise - (negative + 3.0 * (positive - negative))
    assert torch.allclose(pipeline.sample(conditions, settings), expected, atol=1e-5)


def test_the_negative_pass_of_phantom_sees_zeros_for_the_pictures(pipeline):
    settings = Settings(**(SMALL | {"steps": 1}), cfg=3.0, negative_references="zeroed", options=PHANTOM_OPTIONS)
    conditions = random_conditions()
    noise = start_noise(settings)
    model = load_model(pipeline.files.diffusion_model, dtype=torch.float32)
    zeros = replace(conditions.scene, references=torch.zeros_like(conditions.scene.references))
    with torch.no_grad():
        positive, negative, without = (
            model(noise, torch.tensor([1000]), text, scene, PHANTOM_OPTIONS)
            for text, scene in (
                (conditions.text, conditions.scene),
                (conditions.negative_text, zeros),
                (conditions.negative_text, None),
            )
        )
    expected = noise - (negative + 3.0 * (positive - negative))
    assert torch.allclose(pipeline.sample(conditions, settings), expected, atol=1e-5)
    assert (negative - without).abs().max() > 1e-3


def test_presets_are_the_released_model_phantom_and_the_switches_by_hand():
    switches = RelationalOptions(mcam_ratio=1.5, csam=False)
    assert preset_options("LumosX released", switches) == switches
    assert preset_options("custom", switches) == replace(switches, truncate_timestep=False)
    off = RelationalOptions(mcam_ratio=0.0, r2pe=False, csam=False, truncate_timestep=False)
    assert preset_options("Phantom", switches) == off
    with pytest.raises(LumosXError, match="expected one of LumosX released, Phantom, custom"):
        preset_options("phantom", switches)


def test_a_scene_whose_images_are_bound_to_nothing_needs_no_phrase_in_the_prompt(pipeline):
    encoder = LUMOSX.load_text_encoder(pipeline.files.text_encoder)
    image = torch.rand(20, 30, 3, generator=torch.Generator().manual_seed(0))
    scene = Scene((Subject(Reference("astronaut", image), strength=0.5),), background=Reference("", image))
    shown = []

    def encode_images(images):
        shown.append(images)
        return torch.zeros(1, 16, len(images), 6, 8)

    encoded = encode_unbound(scene, "A man waits.", encoder, encode_images, (48, 64), text_len=512)
    assert encoded.phrase_mask is None
    assert encoded.labels == ("", "astronaut")
    assert encoded.constant_strengths == (1.0, 0.5)
    bound = encode_scene(scene, "An astronaut waits.", encoder, encode_images, (48, 64), text_len=512)
    assert torch.equal(*shown) and bound.layout == encoded.layout
    with pytest.raises(LumosXError, match="Shorten it"):
        encode_unbound(scene, "a man waits " * 600, encoder, encode_images, (48, 64), text_len=512)


def test_options_and_strengths_reach_the_network(pipeline):
    conditions = random_conditions()
    alike = pipeline.sample(conditions, Settings(**SMALL))
    late = Strengths((1.0,) * 5, ((0.9, 1.0),) * 5)

    def with_strengths(strengths):
        return replace(conditions, scene=replace(conditions.scene, strengths=strengths))

    for changed in (
        pipeline.sample(conditions, Settings(**SMALL, options=RelationalOptions(mcam_ratio=2.0))),
        pipeline.sample(conditions, Settings(**SMALL, options=RelationalOptions(r2pe=False))),
        pipeline.sample(conditions, Settings(**SMALL, options=RelationalOptions(csam=False))),
        pipeline.sample(with_strengths((2.0,) * 5), Settings(**SMALL)),
        pipeline.sample(with_strengths(late), Settings(**SMALL)),
    ):
        assert (changed - alike).abs().max() > 1e-4


def test_without_guidance_the_negative_prompt_does_not_matter(pipeline):
    conditions = random_conditions()
    changed = Conditions(**(vars(conditions) | {"negative_text": conditions.negative_text * 2}))
    unguided, guided = Settings(**SMALL, cfg=1.0), Settings(**SMALL, cfg=6.0)
    assert torch.equal(pipeline.sample(conditions, unguided), pipeline.sample(changed, unguided))
    assert not torch.equal(pipeline.sample(conditions, guided), pipeline.sample(changed, guided))


def test_the_network_is_told_the_released_integer_timesteps(pipeline, monkeypatch):
    received = []

    def recording(network, **options):
        model = build_model(network, **options)
        model.register_forward_pre_hook(lambda _, inputs: received.append(inputs[1]))
        return model

    monkeypatch.setattr(lumosx_family, "build_model", recording)
    pipeline.sample(random_conditions(), Settings(**(SMALL | {"steps": 3}), cfg=1.0, batch=2, shift=5.0))
    assert [timestep.tolist() for timestep in received] == [[t, t] for t in flow_timesteps(3, 5.0).tolist()]
    assert all(timestep.dtype == torch.int64 for timestep in received)


@pytest.mark.slow
def test_the_videos_of_a_batch_start_from_different_noise(pipeline):
    videos = pipeline.generate(scene(), PROMPT, Settings(**SMALL, batch=2))
    assert videos.shape == (2, 5, 48, 64, 3)
    assert not torch.equal(videos[0], videos[1])


def test_half_precision_stays_near_float32(tiny_models, pipeline):
    conditions, settings = random_conditions(), Settings(**SMALL, cfg=1.0)
    expected = pipeline.sample(conditions, settings)
    halved = LumosXPipeline.load(tiny_models, device="cpu", dtype=torch.bfloat16).sample(conditions, settings)
    assert halved.dtype == torch.float32
    assert 0 < (halved - expected).square().mean().sqrt() / expected.std() < 0.03


@pytest.mark.slow
def test_progress_is_told_for_every_stage(pipeline):
    received = []
    pipeline.generate(scene(), PROMPT, Settings(**SMALL), progress=lambda *stage: received.append(stage))
    assert received == [
        *(("text", 0, 1), ("text", 1, 1)),
        *(("images", 0, 5), ("images", 5, 5)),
        *(("sampling", 0, 2), ("sampling", 1, 2), ("sampling", 2, 2)),
        *(("decoding", 0, 1), ("decoding", 1, 1)),
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"width": 830}, "width 830.*multiple of 16.*832"),
        ({"height": 0}, "height 0.*16"),
        ({"frames": 80}, "80 frames.*4n . 1.*81"),
        ({"batch": 0}, "batch is 0.*Use 1"),
        ({"steps": 0}, "steps is 0.*50"),
        ({"shift": 0.0}, "shift is 0.*8"),
        ({"cfg": float("nan")}, "cfg is nan.*6"),
        ({"seed": -1}, "seed is -1.*Use 0"),
        ({"seed": 2**64}, "seed is 18446744073709551616.*Use 18446744073709551615"),
    ],
)
def test_an_impossible_setting_is_refused_with_the_nearest_possible_one(setting, message):
    with pytest.raises(LumosXError, match=message):
        Settings(**setting)


def test_the_released_settings_are_the_default():
    settings = Settings()
    assert (settings.width, settings.height, settings.frames, settings.batch) == (832, 480, 81, 1)
    assert (settings.steps, settings.shift, settings.cfg) == (50, 8.0, 6.0)


def test_bad_words_and_scenes_are_refused_before_the_network_is_loaded(pipeline, monkeypatch):
    monkeypatch.setattr(lumosx_family, "build_model", lambda *_, **__: pytest.fail("the network was loaded"))
    for bad_scene, prompt, negative, message in (
        (scene(), "A man and a woman with a lamp in a garden.", "", 'Phrase "denim jacket" of subject 1'),
        (Scene(), PROMPT, "", "scene is empty"),
        (scene(), PROMPT * 40, "", "tokens.*model reads 512"),
        (scene(), PROMPT, "dark " * 600, "negative prompt is too long"),
    ):
        with pytest.raises(LumosXError, match=message):
            pipeline.generate(bad_scene, prompt, Settings(**SMALL, negative_prompt=negative))


def test_another_model_in_place_of_lumosx_is_refused_at_once(tiny_models):
    files = tiny_files(tiny_models)
    with pytest.raises(LumosXError, match="lumosx-tiny-vae.safetensors cannot be used"):
        LumosXPipeline.load(files.vae, files.vae, files.text_encoder)


def test_an_unknown_device_is_refused():
    assert choose_device("cpu").type == "cpu"
    for device in ("tpu", "cuda:99"):
        with pytest.raises(LumosXError, match=f"no device '{device}'.*cpu"):
            choose_device(device)


def test_a_directory_gives_its_three_files_and_single_ones_can_be_exchanged(tiny_models, tmp_path):
    assert find_model_files(tiny_models) == tiny_files(tiny_models)
    other = tmp_path / "other.safetensors"
    save_file(load_file(tiny_files(tiny_models).vae), other)
    assert find_model_files(tiny_models, vae=other).vae == other


def test_a_file_alone_needs_its_vae_and_text_encoder(tiny_models):
    files = tiny_files(tiny_models)
    with pytest.raises(LumosXError, match="needs a VAE beside it. Add --vae FILE"):
        find_model_files(files.diffusion_model)
    with pytest.raises(LumosXError, match="needs a text encoder beside it. Add --text-encoder FILE"):
        find_model_files(files.diffusion_model, files.vae)
    with pytest.raises(LumosXError, match="no LumosX model at '.*missing.safetensors'.*lumosx_core download DIRECTORY"):
        find_model_files(tiny_models / "missing.safetensors", files.vae, files.text_encoder)


def test_a_folder_with_several_files_or_none_asks_which(tiny_models, tmp_path):
    write_tiny(tmp_path)
    (tmp_path / "vae" / "second.safetensors").write_bytes(b"")
    with pytest.raises(LumosXError, match="holds several files .lumosx-tiny-vae.safetensors, second.*--vae FILE"):
        find_model_files(tmp_path)
    tiny_files(tmp_path).text_encoder.unlink()
    with pytest.raises(LumosXError, match="no text encoder in"):
        find_model_files(tmp_path, vae=tiny_files(tmp_path).vae)


@pytest.fixture
def calls(monkeypatch):
    """How often the things were done that a run needs only once."""
    counted = Counter()

    def count(module, name):
        original = getattr(module, name)

        def counting(*arguments, **options):
            counted[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, counting)

    for name in ("open_checkpoint", "detect_config"):
        count(load, name)
    for name in ("rotary_table", "word_weights"):
        count(relations, name)
    return counted


def test_a_run_opens_and_detects_once_and_computes_tables_once_for_each_layout(tiny_models, calls):
    pipeline = LumosXPipeline.load(tiny_models, device="cpu")
    pipeline.generate(scene(), PROMPT, Settings(**(SMALL | {"steps": 4}), cfg=6.0))
    assert calls == {"open_checkpoint": 1, "detect_config": 1, "rotary_table": 1, "word_weights": 1}


def test_each_layout_of_a_run_has_its_own_tables_once(pipeline, calls):
    conditions = random_conditions()
    late = Strengths((1.0,) * 5, ((0.0, 1.0),) * 4 + ((0.5, 1.0),))  # from the middle on there is one image more
    conditions = replace(conditions, scene=replace(conditions.scene, strengths=late))
    pipeline.sample(conditions, Settings(**(SMALL | {"steps": 4}), cfg=6.0, negative_references="dropped"))
    assert (calls["rotary_table"], calls["word_weights"]) == (3, 3)  # without it, with it, and without any
