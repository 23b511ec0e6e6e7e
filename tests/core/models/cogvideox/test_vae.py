"""CogVideoX's VAE: diffusers' network with its scale, sampling and tiles, and files of every form."""

import json
import shutil

import miniature
import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXError
from lumosx_core.models.cogvideox.vae import CogVideoXVae
from lumosx_core.models.cogvideox.vae_config import VAE_CONFIG, VaeConfig

pytest.importorskip("diffusers")
pytestmark = pytest.mark.slow  # importing diffusers takes seconds

SCALE = 0.7


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    miniature.write_vae(folder / "vae")
    return folder


@pytest.fixture(scope="module")
def vae(folder):
    return CogVideoXVae.load(folder)


def random(*shape):
    return torch.rand(shape, generator=miniature.generator(5))


def test_images_are_drawn_from_the_posterior_and_scaled(vae):
    images = random(2, 64, 80, 3)
    latents = vae.encode_images(images, generator=miniature.generator(3))
    assert latents.shape == (1, 16, 2, 8, 10) and latents.dtype == torch.float32
    random_numbers = miniature.generator(3)
    for index, image in enumerate(images):
        posterior = vae.network.encode((image * 2 - 1).permute(2, 0, 1)[None, :, None]).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=random_numbers)
        expected = (posterior.mean + posterior.std * noise) * SCALE
        assert (latents[:, :, index : index + 1] - expected).abs().max() <= 1e-5


def test_the_same_images_have_the_same_latents_unless_another_generator_is_given(vae):
    images = random(1, 64, 80, 3)
    first, second = vae.encode_images(images), vae.encode_images(images)
    assert torch.equal(first, second)
    assert not torch.equal(first, vae.encode_images(images, generator=miniature.generator(1)))


def test_frames_are_those_of_diffusers_for_scaled_latents(vae):
    latents = torch.randn(1, 16, 3, 8, 10, generator=miniature.generator(2))
    frames = vae.decode_frames(latents)
    assert frames.shape == (9, 64, 80, 3) and frames.dtype == torch.float32
    expected = (vae.network.decode(latents / SCALE).sample[0].movedim(0, -1) / 2 + 0.5).clamp(0, 1)
    assert (frames - expected).abs().max() <= 1e-6
    assert frames.std() > 0.05


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_number_of_latent_frames_gives_a_video_of_its_length(vae, count):
    assert vae.decode_frames(torch.zeros(1, 16, count, 2, 2)).shape == (4 * count - 3, 16, 16, 3)


def test_videos_of_a_batch_are_encoded_by_themselves(vae):
    videos = random(2, 5, 16, 16, 3)
    latents = vae.encode_videos(videos)
    assert latents.shape == (2, 16, 2, 2, 2)
    assert (latents[:1] - vae.encode_videos(videos[:1])).abs().max() <= 1e-6


def test_a_large_video_is_decoded_in_tiles_that_fit_together(vae, folder, tmp_path):
    config = {**miniature.VAE_CONFIG, "sample_height": 110, "sample_width": 95}
    shutil.copytree(folder, tmp_path / "release")
    miniature.write_json(tmp_path / "release" / "vae" / "config.json", config)
    tiled = CogVideoXVae.load(tmp_path / "release" / "vae")
    latents = torch.randn(1, 16, 3, 8, 10, generator=miniature.generator(2))
    assert tiled.network.tile_sample_min_height == 48 and tiled.network.tile_sample_min_width == 40
    frames = tiled.decode_frames(latents)
    assert tiled.network.use_tiling and frames.shape == (9, 64, 80, 3)
    difference = (frames - vae.decode_frames(latents)).abs()
    assert 0 < difference.mean() < 0.1
    assert not vae.network.use_tiling


def test_a_gpu_whose_memory_is_full_goes_on_in_tiles(folder, monkeypatch):
    vae = CogVideoXVae.load(folder)
    vae.network.enable_tiling(48, 40)
    vae.network.use_tiling = False
    vae.device = torch.device("meta")  # not a CPU
    seen = []

    def work(x):
        seen.append(vae.network.use_tiling)
        if not vae.network.use_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x

    vae._whole_or_in_tiles(work, torch.zeros(1, 16, 3, 8, 10), 8)
    assert seen == [False, True]
    with pytest.raises(torch.OutOfMemoryError):  # one tile is all there is
        vae._whole_or_in_tiles(work, torch.zeros(1, 16, 3, 5, 5), 8)


def test_every_form_of_the_file_gives_the_same(vae, folder, tmp_path):
    weights = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    config = {VAE_CONFIG: json.dumps(vae.config.to_dict())}
    save_file(weights, tmp_path / "vae.safetensors", config)
    save_file({f"first_stage_model.{name}": value for name, value in weights.items()}, tmp_path / "a.sft", config)
    forms = (folder / "vae", folder / "vae" / "diffusion_pytorch_model.safetensors")
    for path in (*forms, tmp_path / "vae.safetensors", tmp_path / "a.sft"):
        other = CogVideoXVae.load(path)
        assert other.config == vae.config
        assert all(torch.equal(a, b) for a, b in zip(other.network.parameters(), vae.network.parameters(), strict=True))


def test_the_released_sizes_are_assumed_without_a_config(folder, tmp_path):
    shutil.copy(folder / "vae" / "diffusion_pytorch_model.safetensors", tmp_path / "vae.safetensors")
    with pytest.raises(LumosXError, match=r"of another size than its config, \(128, 256, 256, 512\)"):
        CogVideoXVae.load(tmp_path / "vae.safetensors")
    assert VaeConfig().scaling_factor == SCALE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scaling_factor": 0}, "scaling_factor is '0', expected a number above 0"),
        ({"invert_scale_latents": True}, "invert_scale_latents = 'True'.*has False"),
        ({"shift_factor": 0.1}, "shift_factor = '0.1'.*has None"),
        ({"block_out_channels": [8, 16]}, "expected four sizes"),
        ({"block_out_channels": [8, 16, 16, 10**9]}, "expected four sizes"),
        ({"layers_per_block": 10**6}, "from 1 to 16"),
        ({"norm_num_groups": 3}, "no multiples of norm_num_groups 3"),
        ({"up_block_types": ["UpBlock"]}, "expected CogVideoXUpBlock3D x 4"),
        ({"_class_name": "AutoencoderKLWan"}, "of 'AutoencoderKLWan'"),
        ({"patch": 2}, "unknown key 'patch'"),
    ],
)
def test_a_config_of_another_vae_is_refused_by_name(folder, tmp_path, change, message):
    shutil.copytree(folder / "vae", tmp_path / "vae")
    miniature.write_json(tmp_path / "vae" / "config.json", {**miniature.VAE_CONFIG, **change})
    with pytest.raises(LumosXError, match=message):
        CogVideoXVae.load(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["decoder.upsamples.0.residual.0.gamma"], "is the VAE of Wan, not that of CogVideoX"),
        (["encoder.down.0.block.0.conv1.weight"], "is the VAE of another model, such as Stable Diffusion"),
        (["encoder.conv_in.conv.weight"], "is a part of a CogVideoX VAE"),
        (["encoder.block.0.layer.0.SelfAttention.q.weight"], "is a text encoder and not the VAE"),
        (["transformer_blocks.0.attn1.to_q.weight"], "is a video or image network and not the VAE"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, names, message):
    save_file({name: torch.zeros(2, 2) for name in names}, tmp_path / "other.safetensors")
    with pytest.raises(LumosXError, match=message):
        CogVideoXVae.load(tmp_path / "other.safetensors")


def test_sizes_that_the_vae_does_not_take_are_refused(vae):
    with pytest.raises(LumosXError, match="80 x 60 pixels"):
        vae.encode_images(random(1, 60, 80, 3))
    with pytest.raises(LumosXError, match="4n . 1 RGB frames"):
        vae.encode_videos(random(1, 4, 16, 16, 3))
    with pytest.raises(LumosXError, match=r"latents of shape \(1, 16, frames"):
        vae.decode_frames(torch.zeros(1, 4, 1, 2, 2))
