"""Networks for scores in miniature, with random weights, in the formats in which the real ones are released."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

_WORDS = ("man", "woman", "denim", "jacket", "red", "hat", "a", "photo", "of", "runs")


def write_clip(folder: Path, *, side: int = 32) -> Path:
    """CLIP of width 16 for images of 32 x 32."""
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(
        text_config={**_text(), "max_position_embeddings": 20},
        vision_config={**_SMALL, "image_size": side, "patch_size": 8},
        projection_dim=12,
    )
    _save(CLIPModel, config, folder)
    write_tokenizer(folder)
    preparation = {
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preparation))
    return folder


def write_dino(folder: Path) -> Path:
    """DINOv2 of width 16 for images of 28 x 28."""
    from transformers import Dinov2Config, Dinov2Model

    _save(Dinov2Model, Dinov2Config(**_SMALL, image_size=28, patch_size=14), folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"shortest_edge": 32}, "crop_size": 28}))
    return folder


def write_xclip(folder: Path, *, frames: int = 4) -> Path:
    """X-CLIP of width 16 for frames of 32 x 32."""
    from transformers import XCLIPConfig, XCLIPModel

    config = XCLIPConfig(
        text_config={**_text(), "max_position_embeddings": 20},
        vision_config={
            **_SMALL,
            "image_size": 32,
            "patch_size": 8,
            "num_frames": frames,
            "mit_hidden_size": 12,
            "mit_intermediate_size": 24,
            "mit_num_hidden_layers": 1,
            "mit_num_attention_heads": 2,
        },
        projection_dim=12,
    )
    _save(XCLIPModel, config, folder)
    write_tokenizer(folder)
    return folder


def write_owl(folder: Path) -> Path:
    """OWLv2 of width 16 for images of 64 x 64."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    config = Owlv2Config(
        text_config={**_text(), "max_position_embeddings": 16},
        vision_config={**_SMALL, "image_size": 64, "patch_size": 8},
        projection_dim=16,
    )
    _save(Owlv2ForObjectDetection, config, folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """CLIP's tokenizer: it knows a few words, and spells others."""
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = {word: number for number, word in enumerate([*letters, *(f"{letter}</w>" for letter in letters)])}
    merges = []
    for word in _WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merges.append(f"{pieces[0]} {pieces[1]}")
            pieces[:2] = [pieces[0] + pieces[1]]
            vocabulary.setdefault(pieces[0], len(vocabulary))
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    unique = list(dict.fromkeys(merges))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(unique) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))


def write_raft(path: Path) -> Path:
    """RAFT with random weights; it has one size only, 21 MB."""
    from torchvision.models.optical_flow import raft_large

    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(raft_large(weights=None).state_dict(), path)
    return path


def write_curricular_face(path: Path) -> Path:
    """IR of five units, 4 to 16 channels wide, in the naming of TFace."""
    from lumosx_core.evaluation.embedders.curricular_face import ImprovedResidualNetwork

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ImprovedResidualNetwork([4, 4, 4, 8, 8, 16], 20)
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    torch.save(network.state_dict(), path)
    return path


def write_face_api(folder: Path, *, quantised: bool = True) -> Path:
    """dlib's network for faces with random weights, as face-api stores it: two files, 8 bits a value."""
    from lumosx_core.evaluation.embedders.dlib_face import _shapes

    random = torch.Generator().manual_seed(0)
    entries, parts = [], []
    for name, shape in _shapes().items():
        values = torch.randn(shape, generator=random) / max(1, shape[:-1].numel()) ** 0.5
        if name.endswith("scale/weights"):
            values = values.abs() + 0.5
        entry = {"name": name, "shape": list(shape), "dtype": "float32"}
        if quantised:
            least = float(values.min())
            scale = (float(values.max()) - least) / 255 or 1.0
            entry["quantization"] = {"dtype": "uint8", "scale": scale, "min": least}
            parts.append(((values - least) / scale).round().to(torch.uint8).numpy().tobytes())
        else:
            parts.append(values.numpy().tobytes())
        entries.append(entry)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "face_recognition_model.bin").write_bytes(b"".join(parts))
    manifest = folder / "face_recognition_model-weights_manifest.json"
    manifest.write_text(json.dumps([{"paths": ["face_recognition_model.bin"], "weights": entries}]))
    return manifest


_SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def _text() -> dict:
    # The vector of a text is that of its end token, which the released configs name.
    folder_words = 2 * 94 + sum(len(word) - 1 for word in _WORDS) + 2
    return {**_SMALL, "vocab_size": folder_words, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}


def _save(kind: type, config, folder: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)


def drawing(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """An image of soft colours, in whole 255ths."""
    random = torch.Generator().manual_seed(seed)
    soft = nn.functional.interpolate(torch.rand(1, 3, 5, 6, generator=random), size=(height, width), mode="bicubic")
    return soft[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().div(255)
