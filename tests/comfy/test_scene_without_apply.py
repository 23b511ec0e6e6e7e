"""A scene that reaches a model which cannot read it is an error in the page, whatever the sampler and the model."""

from __future__ import annotations

import pytest
from comfy_server import STOCK_TINY, Failure
from graphs import custom_sampled, node, sampled, scene_graph

MESSAGE = "the MODEL of this sampler has not gone through LumosX Apply"


def stock_graph() -> dict:
    return {**scene_graph(), "stock": node("UNETLoader", unet_name=STOCK_TINY, weight_dtype="default")}


def refused(server, graph: dict) -> None:
    graph["save"] = node("SaveLatent", samples=["sampler", 0], filename_prefix="latent")
    with pytest.raises(Failure, match=MESSAGE):
        server.run(graph)


def test_with_ksampler(server):
    refused(server, sampled(stock_graph(), model="stock"))


@pytest.mark.parametrize("reference", ["kept", "dropped"])
def test_with_sampler_custom_advanced(server, reference):
    graph = custom_sampled(stock_graph())
    graph["guider"]["inputs"]["model"] = ["stock", 0]
    graph["video"]["inputs"]["negative_references"] = reference
    refused(server, graph)


def test_with_two_guidances(server):
    graph = custom_sampled(stock_graph())
    graph["guider"] = node(
        "DualCFGGuider",
        model=["stock", 0],
        cond1=["video", 0],
        cond2=["video", 1],
        negative=["video", 3],
        cfg_conds=3.0,
        cfg_cond2_negative=3.0,
        style="regular",
    )
    refused(server, graph)


def test_with_a_model_patch_between(server):
    graph = {**stock_graph(), "shifted": node("ModelSamplingSD3", model=["stock", 0], shift=3.0)}
    refused(server, sampled(graph, model="shifted"))


OTHER_MODEL = """
import comfy.conds, comfy.sampler_helpers, comfy.samplers, pack.nodes.bridges.comfy_bridge as bridge
from types import SimpleNamespace as Any

class Network:  # what ComfyUI's sampler asks of any model, such as Stable Diffusion's
    model_sampling = Any(percent_to_sigma=lambda percent: 1 - percent)

    def extra_conds(self, **kwargs):
        return {"c_crossattn": comfy.conds.CONDCrossAttn(kwargs["cross_attn"])}

scene = Any(references=torch.zeros(1, 16, 2, 4, 4))
conditioning = bridge.attach_scene([[torch.zeros(1, 4, 8), {}]], scene)
conds = comfy.samplers.process_conds(
    Network(), torch.zeros(1, 4, 8, 8), {"positive": comfy.sampler_helpers.convert_cond(conditioning)}, "cpu"
)
try:
    comfy.samplers.get_area_and_mult(conds["positive"][0], torch.zeros(1, 4, 8, 8), torch.ones(1))
    result = "no error"
except Exception as error:
    result = f"{type(error).__name__}: {error}"
"""


def test_with_another_kind_of_model(run_in_comfyui):
    result = run_in_comfyui(OTHER_MODEL)
    assert result.startswith("LumosXError") and MESSAGE in result
