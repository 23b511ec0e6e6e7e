"""Finders in miniature, in the formats in which the real ones are released: a path in, the same path out.

The face detector really finds something, blobs of skin colour; the others have random weights that are the same on
each machine.
"""

import json
from functools import partial
from pathlib import Path

import torch
from torch import nn

SKIN = (0.9, 0.7, 0.55)
"""A colour that the face detector takes for a face; greys, white and anything that is not reddish it does not."""

_SEED = 3  # with it, the random SAMs take about half of a photo for the thing in the box
_REACH = 20  # strides of 8 pixels: how far the face detector sees from the point it looks at
_LANDMARKS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
"""Where the face detector puts eyes, nose and corners of the mouth, as shares of the box."""


def write_face_detector(path: Path, *, side: int | None = None) -> Path:
    """An SCRFD detector in insightface's format, which takes every box of skin colour for a face.

    It draws a box around what is of that colour above, below, left and right of a point, without a gap; points in the
    middle score best. As a real one does, it overlooks what is very small or fills its image: here, what is smaller
    than 32 or larger than 320 of 640 pixels.

    Args:
        side: of the images it takes; None for images of any size, as most detectors do.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], {}

    def node(kind, *inputs, **attributes):
        output = f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(values, dtype=torch.float32):
        name = f"c{len(constants)}"
        constants[name] = numpy_helper.from_array(torch.tensor(values, dtype=dtype).numpy(), name)
        return name

    def integers(*values):
        return constant(values, torch.int64)

    # Red minus blue, of colours that insightface brings to about -1..1: 0.35 for skin becomes 2.5, and that 1.
    redness = node("Conv", "input.1", constant([[[[5.0]], [[0.0]], [[-5.0]]]]), constant([-1.0]))
    skin = node("Clip", redness, constant(0.0), constant(1.0))
    # How much of each 8 x 8 block is of that colour: of a block half covered, half the side counts below.
    blocks = node("AveragePool", skin, kernel_shape=[8, 8], strides=[8, 8])

    def run(axis, direction):
        """How many blocks of skin there are without a gap, from a block's corner in one direction."""
        length, shifted = None, blocks
        steps = []
        for step in range(_REACH):
            # The corner is at the left and top of its block, so that block counts to the right and down only.
            offset = step if direction > 0 else step + 1
            begin, end = [0, 0, 0, 0], [0, 0, 0, 0]
            (end if direction > 0 else begin)[axis] = offset
            shifted = node("Pad", blocks, integers(*begin, *end)) if offset else blocks
            window = (offset, 2**31) if direction > 0 else (0, -offset)
            steps.append(node("Slice", shifted, integers(window[0]), integers(window[1]), integers(axis)))
        for each in reversed(steps):
            # m1 + m1 m2 + m1 m2 m3 + ... = m1 (1 + m2 (1 + m3 (...)))
            length = each if length is None else node("Mul", each, node("Add", length, constant(1.0)))
        return length

    near, far = [run(3, -1), run(2, -1)], [run(3, 1), run(2, 1)]
    sides = node("Concat", *near, *far, axis=1)
    farthest = node("ReduceMax", sides, axes=[1], keepdims=1)
    whole = node("Clip", node("Sub", constant(_REACH - 0.5), farthest), constant(0.0), constant(1.0))
    full = node("Clip", node("Add", node("Mul", blocks, constant(10.0)), constant(-9.0)), constant(0.0), constant(1.0))
    centred = constant(0.55)
    for one, other in zip(near, far, strict=True):
        longer = node("Max", one, other, constant(1.0))
        centred = node("Mul", centred, node("Div", node("Min", one, other), longer))
    score = node("Mul", node("Mul", full, whole), node("Add", centred, constant(0.4)))
    # From left, top, right, bottom to offsets of the landmarks.
    weights = torch.zeros(10, 4, 1, 1)
    for i, (x, y) in enumerate(_LANDMARKS):
        weights[2 * i, [0, 2], 0, 0] = torch.tensor([x - 1, x])
        weights[2 * i + 1, [1, 3], 0, 0] = torch.tensor([y - 1, y])
    landmarks = node("Conv", sides, constant(weights.tolist()))

    outputs = [[], [], []]
    for stride in (8, 16, 32):
        for kind, (values, size) in enumerate(((score, 1), (sides, 4), (landmarks, 10))):
            if stride > 8:  # there to complete the format; they find nothing
                pooled = node("AveragePool", values, kernel_shape=[stride // 8] * 2, strides=[stride // 8] * 2)
                values = node("Mul", pooled, constant(0.0))
            anchors = node("Transpose", node("Concat", values, values, axis=1), perm=[0, 2, 3, 1])
            nodes.append(helper.make_node("Reshape", [anchors, integers(-1, size)], [f"{kind}_{stride}"]))
            outputs[kind].append(helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, ["n", size]))
    shape = [1, 3, side or "height", side or "width"]
    graph = helper.make_graph(
        nodes,
        "tiny face detector",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, shape)],
        [output for kind in outputs for output in kind],
        list(constants.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def write_grounding_dino(folder: Path) -> Path:
    """Grounding DINO of width 64 for images of 64 to 128 pixels, with a tokeniser that spells unknown words."""
    from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    words = _vocabulary()
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4]
        ),
        text_config=BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        ),
        d_model=64,
        num_queries=20,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_text_len=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GroundingDinoForObjectDetection(config)
        _spread(model)
        # Scores are sigmoids of products of features, which this width would bring to nearly 0 or 1.
        model.model.decoder.layer_norm.weight.data.mul_(0.1)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    preparation = {
        "image_processor_type": "GroundingDinoImageProcessor",
        "size": {"shortest_edge": 64, "longest_edge": 128},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    _write_json(folder / "preprocessor_config.json", preparation)
    return folder


def write_sam(path: Path, *, side: int = 128) -> Path:
    """A checkpoint of segment-anything (.pth) of width 16: two blocks, one of which attends within windows."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    grid = side // 16
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        model = Sam(
            ImageEncoderViT(
                img_size=side,
                embed_dim=16,
                depth=2,
                num_heads=2,
                out_chans=32,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=3,
                global_attn_indexes=(1,),
            ),
            PromptEncoder(
                embed_dim=32, image_embedding_size=(grid, grid), input_image_size=(side, side), mask_in_chans=8
            ),
            MaskDecoder(
                transformer_dim=32,
                transformer=TwoWayTransformer(depth=2, embedding_dim=32, num_heads=8, mlp_dim=64),
                iou_head_hidden_dim=32,
            ),
        )
        _spread(model)
    torch.save(model.state_dict(), path)
    return path


def write_hub_sam(folder: Path) -> Path:
    """A folder with SAM 1 of the sizes of `write_sam`, as transformers saves it."""
    from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=16,
            output_channels=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=128,
            window_size=3,
            global_attn_indexes=[1],
            mlp_dim=64,
            num_pos_feats=16,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(hidden_size=32, image_size=128, mask_input_channels=8),
        mask_decoder_config=SamMaskDecoderConfig(hidden_size=32, mlp_dim=64, iou_head_hidden_dim=32),
    )
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        model = SamModel(config)
        _spread(model)
    model.save_pretrained(folder)
    return folder


def write_sam2(folder: Path) -> Path:
    """A folder with SAM 2 of width 12, for images of 128 x 128, as transformers saves it."""
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2MaskDecoderConfig,
        Sam2Model,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    widths = [12, 24, 48, 96]
    config = Sam2Config(
        vision_config=Sam2VisionConfig(
            backbone_config=Sam2HieraDetConfig(
                hidden_size=widths[0],
                image_size=[128, 128],
                blocks_per_stage=[1, 1, 2, 1],
                embed_dim_per_stage=widths,
                num_attention_heads_per_stage=[1, 2, 4, 8],
                global_attention_blocks=[3],
            ),
            backbone_channel_list=widths[::-1],
            backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
            fpn_hidden_size=32,
        ),
        prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=32, image_size=128, mask_input_channels=8),
        mask_decoder_config=Sam2MaskDecoderConfig(
            hidden_size=32, mlp_dim=64, num_attention_heads=4, iou_head_hidden_dim=32
        ),
    )
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        model = Sam2Model(config)
        _spread(model)
    model.save_pretrained(folder)
    return folder


def photo(height: int, width: int) -> torch.Tensor:
    """An image of soft colours with fine grain, in whole 255ths."""
    random = torch.Generator().manual_seed(1)
    soft = nn.functional.interpolate(torch.rand(1, 3, 8, 10, generator=random), size=(height, width), mode="bicubic")
    image = soft[0].permute(1, 2, 0) + 0.4 * (torch.rand(height, width, 1, generator=random) - 0.5)
    return image.clamp(0, 1).mul(255).round().div(255)


def _spread(model: nn.Module) -> None:
    """Noise on all weights: as initialised, many are so small, or zero, that the image hardly changes the answer."""
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)


def _vocabulary() -> list[str]:
    """Words at the numbers that BERT has them at as far as Grounding DINO counts on them, then letters."""
    words = [f"[unused{i}]" for i in range(1030)]
    words[0], words[1012], words[1029] = "[PAD]", ".", "?"
    words[100:104] = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-'"
    clothes = ["denim", "jacket", "white", "shirt", "brown", "sweater", "red", "hat", "blue", "dress"]
    others = ["the", "man", "woman", "person", "lamp", "room"]
    return [*words, *letters, *(f"##{letter}" for letter in letters), *clothes, *others]


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2))
