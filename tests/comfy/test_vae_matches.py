"""Headless and ComfyUI see the same latents in a picture and the same video in latents."""

import subprocess

import torch
from safetensors.torch import load_file, save_file

from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.vae import WanVae

IN_COMFYUI = """
import sys
vae_path, given, output = sys.argv[1:4]
sys.argv = [sys.argv[0], "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import comfy.latent_formats, comfy.sd, comfy.utils, torch
from safetensors.torch import load_file, save_file
given = load_file(given)
vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(vae_path))
vae.throw_exception_if_invalid()
wan = comfy.latent_formats.Wan21()
pictures = [wan.process_in(vae.encode(picture[None].movedim(1, -1))) for picture in given["pictures"]]
save_file({
    "latents": torch.cat(pictures, dim=2).contiguous(),
    "video": vae.decode(wan.process_out(given["latents"])).contiguous(),
}, output)
"""


def test_latents_and_video_equal_those_of_comfyui(comfyui, tiny_models, tmp_path):
    path = tiny_files(tiny_models).vae
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(3, 3, 48, 64, generator=generator)
    latents = torch.randn(1, 16, 3, 6, 8, generator=generator)
    save_file({"pictures": pictures, "latents": latents}, tmp_path / "given.safetensors")
    files = path, tmp_path / "given.safetensors", tmp_path / "comfyui.safetensors"
    command = [comfyui.python, "-c", IN_COMFYUI, *files]
    run = subprocess.run(list(map(str, command)), cwd=comfyui.path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    theirs = load_file(files[-1])

    vae = WanVae.load(path)
    ours = vae.encode_images(pictures.movedim(1, -1))
    assert ours.shape == theirs["latents"].shape == (1, 16, 3, 6, 8)
    assert ours.std() > 0.1  # the comparison is not one of zeros
    encoded = (ours - theirs["latents"]).abs().max().item()

    video = vae.decode(latents).movedim(1, -1) / 2 + 0.5
    expected = theirs["video"].reshape(-1, 48, 64, 3)
    assert video.shape == expected.shape == (9, 48, 64, 3)
    assert video.std() > 0.05
    decoded = (video - expected).abs().max().item()

    print(f"largest difference: latents {encoded:.1e}, video {decoded:.1e}")
    assert encoded <= 1e-4
    assert decoded <= 1e-4
