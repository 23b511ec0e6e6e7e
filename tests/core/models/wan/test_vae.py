"""The Wan VAE: its width from the file, pictures frame by frame, videos of 4n+1 frames."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXError
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan import vae as vae_module
from lumosx_core.models.wan.names import read_state_dict
from lumosx_core.models.wan.vae import LATENT_MEAN, LATENT_STD, WanVae
from lumosx_core.models.wan.vae_network import WanVaeNetwork


@pytest.fixture(scope="module")
def path(tiny_models):
    return tiny_files(tiny_models).vae


@pytest.fixture(scope="module")
def vae(path):
    return WanVae.load(path)


def images(count, height=32, width=48):
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(0))


def test_pictures_become_one_latent_frame_each(vae):
    latents = vae.encode_images(images(3))
    assert latents.shape == (1, 16, 3, 4, 6) and latents.dtype == torch.float32
    assert latents.isfinite().all()


def test_a_picture_does_not_depend_on_the_pictures_before_it(vae):
    given = images(3)
    together = vae.encode_images(given)
    assert torch.equal(vae.encode_images(given[2:]), together[:, :, 2:])
    assert not torch.allclose(together[:, :, 0], together[:, :, 1])


def test_latents_are_normalised_with_the_published_constants(vae):
    given = images(1)
    raw = vae.network.encode((given * 2 - 1).permute(0, 3, 1, 2)[:, :, None])[0]
    latents = vae.encode_images(given)
    mean, std = -0.7571, 2.8184  # of the first channel
    assert torch.allclose(latents[:, 0], (raw[:, 0] - mean) / std, atol=1e-6)


def test_latents_become_a_video_of_four_frames_for_each_after_the_first(vae):
    latents = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    video = vae.decode(latents)
    assert video.shape == (9, 3, 32, 48) and video.dtype == torch.float32
    assert video.min() >= -1 and video.max() <= 1
    assert video.std() > 0.05


def test_decoding_undoes_the_normalisation(vae):
    latents = torch.randn(1, 16, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    raw = latents * torch.tensor(LATENT_STD).view(1, -1, 1, 1, 1)
    raw = raw + torch.tensor(LATENT_MEAN).view(1, -1, 1, 1, 1)
    assert torch.allclose(vae.decode(latents)[0], vae.network.decode(raw)[0, :, 0], atol=1e-6)


def short_of_memory(monkeypatch, vae, name: str, largest: int) -> list[tuple[int, int]]:
    """Let a part of the network fail for sides over `largest`; returns the sizes it is asked for."""
    work, asked = getattr(vae.network, name), []

    def attempt(x):
        asked.append(tuple(x.shape[-2:]))
        if max(asked[-1]) > largest:
            raise torch.OutOfMemoryError("device memory")
        return work(x)

    monkeypatch.setattr(vae.network, name, attempt)
    return asked


def test_where_memory_is_short_a_video_is_decoded_in_tiles(vae, monkeypatch):
    latents = torch.randn(1, 16, 2, 40, 66, generator=torch.Generator().manual_seed(0))
    whole = vae.decode(latents)
    asked = short_of_memory(monkeypatch, vae, "decode", 32)
    tiled = vae.decode(latents)
    assert asked == [(40, 66), (32, 32), (32, 32), (32, 18), (16, 32), (16, 32), (16, 18)]
    assert tiled.shape == whole.shape == (5, 3, 320, 528)
    assert torch.allclose(tiled[..., :128, :128], whole[..., :128, :128], atol=0.2)
    # Attention sees a tile alone: near is what it can be.
    assert (tiled - whole).abs().mean() < 0.1 * (whole - whole.mean()).abs().mean()


def test_where_memory_is_short_a_video_is_encoded_in_tiles(vae, monkeypatch):
    video = torch.rand(5, 320, 264, 3, generator=torch.Generator().manual_seed(0))
    whole = vae.encode_video(video)
    asked = short_of_memory(monkeypatch, vae, "encode", 256)
    tiled = vae.encode_video(video)
    assert asked == [(320, 264), (256, 256), (256, 72), (128, 256), (128, 72)]
    assert tiled.shape == whole.shape
    assert (tiled - whole).abs().mean() < 0.1 * whole.abs().mean()


def test_what_does_not_fit_into_one_tile_of_memory_is_an_error(vae, monkeypatch):
    asked = short_of_memory(monkeypatch, vae, "decode", 0)
    with pytest.raises(torch.OutOfMemoryError):
        vae.decode(torch.zeros(1, 16, 1, 32, 32))
    assert asked == [(32, 32)]


def test_several_videos_at_once_are_refused(vae):
    with pytest.raises(LumosXError, match="one video at a time"):
        vae.decode(torch.zeros(2, 16, 1, 4, 6))


def test_another_model_is_refused(path, tmp_path):
    save_file({"blocks.0.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(LumosXError, match="not a Wan 2.1 VAE .found blocks.0.weight."):
        WanVae.load(tmp_path / "other.safetensors")


def test_the_vae_of_wan_2_2_is_named_as_such(path, tmp_path):
    weights = load_file(path) | {"decoder.upsamples.0.upsamples.0.residual.2.weight": torch.zeros(2)}
    save_file(weights, tmp_path / "wan22.safetensors")
    with pytest.raises(LumosXError, match="Wan 2.2"):
        WanVae.load(tmp_path / "wan22.safetensors")


def test_a_missing_tensor_is_named(path, tmp_path):
    weights = load_file(path)
    del weights["encoder.conv1.weight"]
    save_file(weights, tmp_path / "faulty.safetensors")
    with pytest.raises(LumosXError, match="1 of .* tensors are missing.*encoder.conv1.weight"):
        WanVae.load(tmp_path / "faulty.safetensors")


def test_wans_own_pth_file_loads_too(path, tmp_path, vae):
    torch.save(load_file(path), tmp_path / "Wan2.1_VAE.pth")
    given = images(1)
    assert torch.equal(WanVae.load(tmp_path / "Wan2.1_VAE.pth").encode_images(given), vae.encode_images(given))


def clip(frames=9, height=32, width=48, seed=1):
    return torch.rand(frames, height, width, 3, generator=torch.Generator().manual_seed(seed))


def test_a_video_becomes_one_latent_frame_and_one_for_each_four_more(vae):
    latents = vae.encode_video(clip())
    assert latents.shape == (1, 16, 3, 4, 6) and latents.dtype == torch.float32
    assert torch.allclose(latents[:, :, :1], vae.encode_images(clip()[:1]), atol=1e-5)  # no frame sees a later one


def test_videos_encoded_together_are_those_encoded_alone(vae):
    first, second = clip(seed=1), clip(seed=2)
    together = vae.encode_videos(torch.stack([first, second]))
    assert torch.allclose(together[:1], vae.encode_video(first), atol=1e-5)
    assert torch.allclose(together[1:], vae.encode_video(second), atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=0.1)


def test_the_layers_arranged_for_the_cpu_compute_what_the_plain_ones_do(path, vae, monkeypatch):
    monkeypatch.setattr(vae_module, "arrange_for_cpu", lambda network: None)
    plain = WanVae.load(path)
    assert torch.allclose(vae.encode_video(clip()), plain.encode_video(clip()), atol=2e-5)
    assert torch.allclose(vae.encode_video(clip(1)), plain.encode_video(clip(1)), atol=2e-5)
    latents = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(vae.decode(latents), plain.decode(latents), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("batch", "frames"), [(1, 1), (2, 1), (1, 5), (2, 13)])
def test_the_network_is_the_one_in_diffusers_bit_for_bit(path, dtype, batch, frames):
    diffusers = pytest.importorskip("diffusers")
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    weights = read_state_dict(path)
    width = weights["decoder.head.0.gamma"].shape[0]
    ours, theirs = WanVaeNetwork(width), diffusers.AutoencoderKLWan(base_dim=width, z_dim=16)
    ours.load_state_dict(weights)
    theirs.load_state_dict(convert_wan_vae_to_diffusers(weights))
    assert (theirs.config.latents_mean, theirs.config.latents_std) == (list(LATENT_MEAN), list(LATENT_STD))
    draw = torch.Generator().manual_seed(frames)
    video = (torch.rand(batch, 3, frames, 32, 48, generator=draw) * 2 - 1).to(dtype)
    latents = torch.randn(batch, 16, (frames + 3) // 4, 4, 6, generator=draw).to(dtype)
    with torch.no_grad():
        ours, theirs = ours.eval().to(dtype), theirs.eval().to(dtype)
        mean, log_variance = ours.encode(video)
        posterior = theirs.encode(video).latent_dist
        assert torch.equal(mean, posterior.mean) and torch.equal(log_variance.clamp(-30, 20), posterior.logvar)
        assert torch.equal(ours.decode(latents), theirs.decode(latents).sample)


def test_large_videos_keep_the_usual_layers(vae, monkeypatch):
    arranged = vae.encode_video(clip())
    monkeypatch.setattr("lumosx_core.models.wan.vae_cpu.LARGEST", 0)
    assert torch.allclose(vae.encode_video(clip()), arranged, atol=2e-5)


@pytest.mark.parametrize("shape", [(8, 32, 48, 3), (9, 32, 48, 4), (9, 30, 48, 3), (32, 48, 3)])
def test_videos_of_impossible_shape_are_refused(vae, shape):
    with pytest.raises(LumosXError, match="The VAE encodes videos"):
        vae.encode_video(torch.zeros(shape))
