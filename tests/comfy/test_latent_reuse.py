"""LumosX Scene To Video encodes an image once while only the prompt changes, and gives the same latents bit by bit."""

SCRIPT = """
import pack.nodes.scene as scenes, pack.nodes.load as load, pack.nodes.scene_to_video as step, gc
from pack.lumosx_core.scene.scene import Reference, Scene, Subject

vae = load.LumosXLoadVAE.execute("lumosx-tiny-vae.safetensors").result[0]
clip = load.LumosXLoadTextEncoder.execute("lumosx-tiny-umt5.safetensors").result[0]
calls = []

def counted(vae):
    encode = type(vae).encode
    vae.encode = lambda pixels: calls.append(tuple(pixels.shape)) or encode(vae, pixels)
    return vae

def image(seed):
    return torch.rand(40, 30, 3, generator=torch.Generator().manual_seed(seed))

def references(prompt, *seeds, vae=None, size=80):
    vae = vae or vaes[0]
    people = Subject(Reference("man", image(seeds[0])), [Reference("hat", image(seed)) for seed in seeds[1:]])
    before = len(calls)
    out = step.LumosXSceneToVideo.execute(clip, vae, Scene([people]), prompt, "", size, 64, 9, 1).result
    return out[0][0][1]["time_dim_concat"], len(calls) - before

vaes = [counted(vae)]
with torch.inference_mode():
    first, encoded = references("a man with a hat", 1, 2)
    again, prompt_changed = references("a man with a hat walks", 1, 2)
    _, hat_changed = references("a man with a hat", 1, 3)
    _, size_changed = references("a man with a hat", 1, 2, size=96)
    step.LATENTS = step.LatentCache()
    fresh, forgotten = references("a man with a hat walks", 1, 2)
    again += 1000  # whoever changes what comes out changes nothing in the cache
    other = counted(load.LumosXLoadVAE.execute("lumosx-tiny-vae.safetensors").result[0])
    _, vae_changed = references("a man with a hat", 1, 2, vae=other)
    unharmed, kept = references("a man with a hat", 1, 2)
    other.patcher.add_patches({})
    _, vae_patched = references("a man with a hat", 1, 2, vae=other)
    held = step.LATENTS.bytes
    vae.__dict__.pop("encode"), other.__dict__.pop("encode")
    del vae, other, vaes[:]
    gc.collect()
result = {
    "encoded": [encoded, prompt_changed, hat_changed, size_changed, forgotten, vae_changed, kept, vae_patched],
    "equal": [torch.equal(first, fresh), torch.equal(unharmed, fresh)],
    "bytes": [held, step.LATENTS.bytes],
}
"""


def test_only_what_changed_is_encoded(run_in_comfyui):
    result = run_in_comfyui(SCRIPT)
    assert result["encoded"] == [2, 0, 1, 2, 2, 2, 0, 2]
    assert result["equal"] == [True, True]
    assert result["bytes"][0] > 0 and result["bytes"][1] == 0
