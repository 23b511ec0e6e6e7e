"""Training of Ingredients (CogVideoX): its stages, what they change, and the finished file."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from faces_cache import FRAMES, HEIGHT, STAGE_1, STAGE_2, WIDTH, FacesCache, face_example, faces_config
from safetensors.torch import load_file

from lumosx_core.errors import LumosXError
from lumosx_core.models.ingredients.routing_loss import routing_loss
from lumosx_core.models.ingredients.training.face_example import collate_faces, token_shares
from lumosx_core.models.ingredients.training.ingredients_training import INGREDIENTS_TRAINING, predict
from lumosx_core.models.ingredients.weights.load import build_model, open_network
from lumosx_training.loop.starting_model import starting_model
from lumosx_training.loop.tracking.run_log import read_log
from lumosx_training.loop.trainer import Trainer

pytest.importorskip("accelerate", reason="accelerate is not installed")
pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")


def trained(output, stop=None, **tables):
    """A run to its last step, or stopped as by a signal behind `stop` steps."""
    run = Trainer(faces_config(output, **tables), cache=FacesCache(), say=[].append)
    if stop is not None:
        prepared = run.loader.steps
        run.loader.steps = lambda start, end: _stopping(prepared(start, end), stop - start)
    run.run()
    return run


def _stopping(batches, count):
    for place, batch in enumerate(batches):
        if place == count - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        yield batch


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The finished file of a run of the whole network."""
    output = tmp_path_factory.mktemp("base") / "run"
    trained(output, training={"steps": 2}, export={"precision": "fp32"})
    return output / "model.safetensors"


@pytest.mark.parametrize("patterns", [STAGE_1, STAGE_2])
def test_a_stage_changes_only_the_parameters_that_it_names(base, tmp_path, patterns):
    tables = {"model": {"file": str(base), "train": patterns, "routing_weight": 0.5}, "export": {"precision": "fp32"}}
    trained(tmp_path / "run", training={"steps": 2}, **tables)
    before, after = load_file(base), load_file(tmp_path / "run" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parts = {pattern.split(".")[0] for pattern in patterns}
    assert {name.split(".")[0] for name in changed} == parts


def test_the_finished_file_is_opened_like_a_released_one(base):
    network = open_network(base)
    assert network.config.transformer.max_text_seq_length == 226  # though it was trained with 8 tokens
    build_model(network)


def test_the_table_of_positions_is_not_trained(tmp_path):
    model = starting_model(faces_config(tmp_path / "run"))
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == ["patch_embed.pos_embedding"]


def test_a_stopped_run_ends_in_the_same_bits(base, tmp_path):
    tables = {"model": {"file": str(base), "train": STAGE_2, "routing_weight": 0.5}, "data": {"text_dropout": 0.3}}
    trained(tmp_path / "whole", **tables)
    for stop in (2, None):
        trained(tmp_path / "parts", stop, **tables)
    files = [tmp_path / name / "checkpoints" / "step-00000004" for name in ("whole", "parts")]
    for file in files[0].glob("*.safetensors"):
        one, other = load_file(file), load_file(files[1] / file.name)
        assert [name for name in one if not torch.equal(one[name], other[name])] == []
    logs = [[(line["loss"], line["routing_loss"]) for line in read_log(f.parents[1] / "log.jsonl")] for f in files]
    assert logs[0] == logs[1]


def test_the_routing_loss_falls_when_only_the_router_is_trained(base, tmp_path):
    tables = {"optimizer": {"learning_rate": 1e-2}, "training": {"steps": 12, "batch_size": 4}}
    trained(tmp_path / "run", model={"file": str(base), "train": STAGE_2, "routing_weight": 1.0}, **tables)
    losses = [line["routing_loss"] for line in read_log(tmp_path / "run" / "log.jsonl")]
    assert losses[-1] < 0.8 * losses[0]


def test_labels_in_the_order_of_other_faces_are_noticed(base, tmp_path):
    tables = {"optimizer": {"learning_rate": 1e-2}, "training": {"steps": 12, "batch_size": 4}}
    run = trained(tmp_path / "run", model={"file": str(base), "train": STAGE_2, "routing_weight": 1.0}, **tables)
    faces = face_example(0)
    item = FacesCache().item(0)
    with torch.no_grad():
        _, logits = predict(run.network, item.video[None], torch.tensor([500]), item.text[None, :8], faces)
    labels = faces.labels(0.5)
    permuted = torch.where(labels < 0, labels, 1 - labels)
    assert routing_loss(logits, labels) < 0.9 * routing_loss(logits, permuted)


def test_clips_of_a_batch_have_faces_of_their_own(tmp_path):
    model = starting_model(faces_config(tmp_path / "run", model={"text_len": 226})).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    items = [FacesCache().item(index) for index in range(2)]
    step = torch.tensor([300, 700])
    video, text = torch.stack([i.video for i in items]), torch.stack([i.text for i in items])
    with torch.no_grad():
        together, logits = predict(model, video, step, text, collate_faces([i.scene for i in items]))
        for row, item in enumerate(items):
            alone, own = predict(model, video[row, None], step[row, None], text[row, None], item.scene)
            assert torch.allclose(together[row], alone[0], atol=1e-5)
            assert torch.allclose(logits[:, row], own[:, 0], atol=1e-5)


def test_checkpointed_blocks_give_the_same_gradients(tmp_path):
    gradients = []
    for recompute in (False, True):
        config = {"gradient_checkpointing": recompute}
        run = Trainer(faces_config(tmp_path / str(recompute), training=config), cache=FacesCache(), say=[].append)
        run.backward(run.loader.step(0))
        gradients.append({name: parameter.grad for name, parameter in run.parameters.items()})
    assert all(torch.equal(each, gradients[1][name]) for name, each in gradients[0].items() if each is not None)


def test_a_token_shows_the_face_that_has_half_of_its_pixels():
    masks = torch.zeros(2, 9, HEIGHT * 8, WIDTH * 8)
    masks[0, :, :16, :16] = 1  # the first token, in every frame
    masks[1, 1:4, :16, 16:32] = 1  # the second one, in 3 of the 4 frames of the second latent frame
    masks[0, 5:6, :16, 32:48] = 1  # the third one, in 1 of the 4 frames of the third
    share = token_shares(masks)
    example = face_example(0)
    labels = type(example)(example.id_cond, example.id_vit_hidden, example.image, share[None]).labels(0.5)
    frames = labels[0].unflatten(0, (FRAMES, HEIGHT // 2, WIDTH // 2))
    assert [frames[frame, 0, :3].tolist() for frame in range(3)] == [[0, -1, -1], [0, 1, -1], [0, -1, -1]]
    assert int((labels >= 0).sum()) == 4


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"model": {"train": ["rooter.*"]}}, "rooter.*no parameter is called.*router"),
        ({"model": {"routing_weight": -1.0}}, "model.routing_weight is -1.0"),
        ({"model": {"label_share": 0.0}}, "model.label_share is 0.0"),
        ({"model": {"text_len": 300}}, "model.text_len is 300, expected 1 to 226"),
        ({"data": {"reference_dropout": 0.1}}, "data.reference_dropout is 0.1.*always reads all faces"),
        ({"lora": {"rank": 4}}, "trained by its own weights"),
        (
            {"samples": {"every": 5, "cases": ["a"], "vae": "b", "text_encoder": "c"}},
            r"makes no sample videos during training",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, tables, message):
    with pytest.raises(LumosXError, match=message):
        starting_model(faces_config(tmp_path / "run", **tables))


def test_a_family_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(LumosXError, match="no model family 'ingredience' to train"):
        faces_config(tmp_path / "run", model={"family": "ingredience"})


def test_what_shows_no_face_adds_nothing_to_the_loss(tmp_path):
    config = faces_config(tmp_path / "run", model={"routing_weight": 0.5})
    model, item = starting_model(config), FacesCache().item(0)
    unknown = type(item.scene)(
        item.scene.id_cond, item.scene.id_vit_hidden, item.scene.image, torch.zeros_like(item.scene.face_share)
    )
    noted = {}
    loss = INGREDIENTS_TRAINING.losses(
        model,
        item.video[None],
        item.text[None, :8],
        unknown,
        torch.zeros_like(item.video[None]),
        torch.tensor([400.5]),
        config.model,
        noted.__setitem__,
    )
    assert "routing_loss" not in noted and torch.equal(loss.detach().mean(), noted["diffusion_loss"].detach())
