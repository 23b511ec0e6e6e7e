"""Controls beyond the released model: strength and timing of each reference image, several images of one thing, CFG."""

import copy

import pytest
import torch
from graphs import node, relative, sample, sampled, scene_graph


@pytest.fixture(scope="module")
def plain(server):
    return sample(server, sampled(scene_graph()))


def changed(name: str, remove: tuple[str, ...] = (), **inputs) -> dict:
    graph = copy.deepcopy(scene_graph())
    graph[name]["inputs"].update({key.replace("__", "."): value for key, value in inputs.items()})
    for each in remove:
        del graph[name]["inputs"][each]
    return graph


def test_a_strength_changes_the_video_and_1_does_not(server, plain):
    for name, slot in (("man", "attribute_1_strength"), ("man", "strength"), ("scene", "background_strength")):
        assert torch.equal(sample(server, sampled(changed(name, **{slot: 1.0}))), plain)
        assert relative(sample(server, sampled(changed(name, **{slot: 2.0}))), plain) > 1e-3


def test_strength_0_is_the_scene_without_the_picture(server):
    for name, kind in (("man", "attribute_2"), ("scene", "object_1"), ("scene", "background")):
        without = changed(name, remove=(kind, f"{kind}_phrase"))
        assert torch.equal(
            sample(server, sampled(changed(name, **{f"{kind}_strength": 0.0}))), sample(server, sampled(without))
        )


def test_the_strengths_of_subject_and_picture_are_multiplied(server):
    both = changed("man", face_strength=0.5, attribute_1_strength=0.5, attribute_2_strength=0.5)
    assert torch.equal(sample(server, sampled(both)), sample(server, sampled(changed("man", strength=0.5))))


def test_a_subject_is_seen_in_its_part_of_the_sampling_only(server, plain):
    """Four simple steps of shift 8 begin at 0, 1/4, 1/2 and 3/4 of the schedule: two without her, two with her."""
    late = sample(server, sampled(changed("woman", start_percent=0.5), steps=4))
    graph = scene_graph()
    graph["alone"] = copy.deepcopy(graph["scene"])
    del graph["alone"]["inputs"]["subjects.subject_2"]
    graph["without"] = node("LumosXSceneToVideo", **{**graph["video"]["inputs"], "scene": ["alone", 0]})

    def steps(start, end, video, latent):
        return node(
            "KSamplerAdvanced",
            model=["model", 0],
            positive=[video, 0],
            negative=[video, 1],
            latent_image=latent,
            add_noise="disable" if start else "enable",
            noise_seed=7,
            steps=4,
            cfg=6.0,
            sampler_name="euler",
            scheduler="simple",
            start_at_step=start,
            end_at_step=end,
            return_with_leftover_noise="disable" if end == 4 else "enable",
        )

    graph["begin"] = steps(0, 2, "without", ["video", 2])
    graph["sampler"] = steps(2, 4, "video", ["begin", 0])
    assert relative(late, sample(server, graph)) < 1e-5
    assert relative(late, sample(server, sampled(scene_graph(), steps=4))) > 1e-3


def test_a_batch_is_several_pictures_of_one_thing(server):
    """As if the second were one more attribute with the face's phrase, right behind the face."""
    batch = changed("man", face=["faces", 0])
    batch["faces"] = node("ImageBatch", image1=["man_face", 0], image2=["man_face", 0])
    alone = scene_graph()
    person = alone["man"]["inputs"]
    for last in (2, 1):
        for end in ("", "_phrase"):
            person[f"attribute_{last + 1}{end}"] = person[f"attribute_{last}{end}"]
    person |= {"attribute_1": ["man_face", 0], "attribute_1_phrase": "man"}
    found = sample(server, sampled(batch))
    assert torch.equal(found, sample(server, sampled(alone)))
    assert relative(found, sample(server, sampled(scene_graph()))) > 1e-3


def test_strength_of_further_attributes_is_multiplied_too(server):
    graph = changed("man", remove=("attribute_2", "attribute_2_phrase"), more__more_attributes_1=["shirt_only", 0])
    graph["shirt_only"] = node(
        "LumosXSubject", attribute_1=["shirt", 0], attribute_1_phrase="white shirt", strength=0.5
    )
    direct = changed("man", attribute_2_strength=0.5)
    assert torch.equal(sample(server, sampled(graph)), sample(server, sampled(direct)))


def test_the_negative_pass_can_do_without_the_pictures(server, plain):
    assert torch.equal(sample(server, sampled(changed("video", negative_references="kept"))), plain)
    dropped = sample(server, sampled(changed("video", negative_references="dropped")))
    assert relative(dropped, plain) > 1e-3
    graph = sampled(scene_graph(), negative=["video", 3])
    assert torch.equal(sample(server, graph), dropped)
    # Without guidance there is no negative pass.
    one = [sample(server, sampled(changed("video", negative_references=how), cfg=1.0)) for how in ("kept", "dropped")]
    assert torch.equal(*one)


def dual(graph: dict, cfg_prompt: float, cfg_pictures: float) -> dict:
    """DualCFGGuider: from the text alone to the negative prompt with pictures, from there to the prompt with them."""
    return {
        **graph,
        "noise": node("RandomNoise", noise_seed=7),
        "guider": node(
            "DualCFGGuider",
            model=["model", 0],
            cond1=["video", 0],
            cond2=["video", 1],
            negative=["video", 3],
            cfg_conds=cfg_prompt,
            cfg_cond2_negative=cfg_pictures,
            style="regular",
        ),
        "solver": node("LumosXSampler"),
        "sigmas": node("LumosXSigmas", steps=3, shift=8.0),
        "sampler": node(
            "SamplerCustomAdvanced",
            **{name: [name, 0] for name in ("noise", "guider", "sigmas")},
            sampler=["solver", 0],
            latent_image=["video", 2],
        ),
    }


def test_prompt_and_pictures_each_have_a_guidance_of_their_own(server):
    """Where one of the two is 1, nothing is left of the other's difference: both are guidances known from above."""
    graph = scene_graph()
    guided = dual(graph, 4.0, 1.0)
    plain_cfg = dual(graph, 4.0, 1.0)
    plain_cfg["guider"] = node("CFGGuider", model=["model", 0], positive=["video", 0], negative=["video", 1], cfg=4.0)
    assert relative(sample(server, guided), sample(server, plain_cfg)) < 1e-5
    assert relative(sample(server, dual(graph, 4.0, 3.0)), sample(server, guided)) > 1e-3
