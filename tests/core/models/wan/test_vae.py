"""The Wan VAE: its width from the file, pictures frame by frame, videos of 4n+1 frames."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXError
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.vae import WanVae

pytest.importorskip("diffusers")


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
    raw = vae.network.encode((given * 2 - 1).permute(0, 3, 1, 2)[:, :, None]).latent_dist.mode()
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
    config = vae.network.config
    raw = latents * torch.tensor(config.latents_std).view(1, -1, 1, 1, 1)
    raw = raw + torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1)
    assert torch.allclose(vae.decode(latents)[0], vae.network.decode(raw).sample[0, :, 0], atol=1e-6)


def test_where_memory_is_short_the_work_is_done_in_tiles(vae, monkeypatch):
    latents = torch.randn(1, 16, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    whole = vae.decode(latents)
    decode, tried = vae.network.decode, []

    def short_of_memory(raw):
        tried.append(vae.network.use_tiling)
        if not vae.network.use_tiling:
            raise torch.OutOfMemoryError("device memory")
        return decode(raw)

    monkeypatch.setattr(vae.network, "decode", short_of_memory)
    tiled = vae.decode(latents)
    assert tried == [False, True]
    assert tiled.shape == whole.shape == (1, 3, 320, 320)
    assert torch.allclose(tiled[:, :, :128, :128], whole[:, :, :128, :128], atol=0.2)
    assert not vae.network.use_tiling  # the next video gets the whole picture again


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
    with pytest.raises(LumosXError, match="1 of .* tensors are missing.*encoder.conv_in.weight"):
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


def test_the_layers_arranged_for_the_cpu_compute_what_diffusers_computes(path, vae, monkeypatch):
    monkeypatch.setattr("lumosx_core.models.wan.vae.arrange_for_cpu", lambda network: None)
    plain = WanVae.load(path)
    assert torch.allclose(vae.encode_video(clip()), plain.encode_video(clip()), atol=2e-5)
    assert torch.allclose(vae.encode_video(clip(1)), plain.encode_video(clip(1)), atol=2e-5)
    latents = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(vae.decode(latents), plain.decode(latents), atol=2e-5)


def test_large_videos_keep_the_usual_layers(vae, monkeypatch):
    arranged = vae.encode_video(clip())
    monkeypatch.setattr("lumosx_core.models.wan.vae_cpu.LARGEST", 0)
    assert torch.allclose(vae.encode_video(clip()), arranged, atol=2e-5)


@pytest.mark.parametrize("shape", [(8, 32, 48, 3), (9, 32, 48, 4), (9, 30, 48, 3), (32, 48, 3)])
def test_videos_of_impossible_shape_are_refused(vae, shape):
    with pytest.raises(LumosXError, match="The VAE encodes videos"):
        vae.encode_video(torch.zeros(shape))
