"""Scores of a finished video: who is who, and who was mixed up with whom."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io, ui

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.evaluation.assumed import assumed_calibrations
from ...lumosx_core.evaluation.measure import measure
from ...lumosx_core.evaluation.measured_video import MeasuredVideo, Video
from ...lumosx_core.evaluation.report.binding_chart import draw_binding_chart
from ...lumosx_core.evaluation.report.sentences import describe_scores
from ...lumosx_core.models.lumosx.spec import SPEC
from ...lumosx_core.scene.case_folder import Case
from ..bridges.photo_models_bridge import Progress, model_input
from ..bridges.score_networks import embedder_input, score_networks
from ..inputs.host_schema import found_by
from ..inputs.image_values import photographs_of
from ..scene import SceneType

_METRICS = ("identity", "misbinding")


class LumosXScoreVideo(io.ComfyNode):
    """Compares the people of a video with those of its scene."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXScoreVideo",
            display_name="LumosX Score Video (who was mixed up)",
            **found_by("people", "identity", "face", "who wears what", "similarity", "evaluate"),
            category="LumosX",
            description="Compares the people of a finished video with the reference images of its scene. Gives each "
            "subject a face similarity, draws which subject looks like whom, and names the confused pairs: missing, "
            "swapped, dominated by another, blended, or drifted.",
            inputs=[
                io.Image.Input("frames", tooltip="The frames of one video, from VAE Decode or Load Video."),
                SceneType.Input("scene", tooltip="The scene from which the video was generated."),
                model_input("faces"),
                model_input(
                    "phrases",
                    "Grounding DINO finds people and clothes by their phrases, to compare clothes as well; they also "
                    "need CLIP or DINOv2 in models/evaluation. auto: the first one found. Without one, only faces are "
                    "compared.",
                ),
                embedder_input(),
                io.Image.Input(
                    "truth",
                    optional=True,
                    tooltip="A photo or video that shows everybody as they should be, in the same places, such as the "
                    "photo from which the scene was made. It shows whose face belongs where; without it, clothes "
                    "decide, which requires Grounding DINO and CLIP or DINOv2.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    display_name="scores",
                    is_output_list=True,
                    tooltip="For each subject with a face, its mean similarity to the face of the scene over all "
                    "frames, -1 to 1; a frame in which it is not found counts 0.",
                ),
                io.Image.Output(display_name="chart", tooltip="The image that the node shows."),
                io.String.Output(display_name="report", tooltip="The confused pairs and the scores in sentences."),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, face_model, box_model, face_embedder) -> bool:
        return True  # a missing model is reported when the node runs, with what to install

    @classmethod
    def execute(cls, frames, scene, face_model, box_model, face_embedder, truth=None) -> io.NodeOutput:
        if not any(subject.face for subject in scene.subjects):
            raise LumosXError(
                "The scene has no subject with a face, so there is nobody to compare. Connect the scene of the video."
            )
        networks = score_networks(face_model, box_model, face_embedder)
        video = Video(torch.stack(photographs_of(frames)), SPEC.frames_per_second, "The video in frames")
        original = None
        if truth is not None:
            original = Video(torch.stack(photographs_of(truth)), SPEC.frames_per_second, "The video in truth")
        progress = Progress(len(_METRICS))
        scores = measure(
            MeasuredVideo("video", "video", Case(None, "", scene), video, original),
            networks,
            metrics=_METRICS,
            calibrations=assumed_calibrations(networks),
            step=lambda metric: progress(metric, 0, 1),
        )
        chart = torch.from_numpy(np.asarray(draw_binding_chart(scores), dtype=np.float32) / 255)[None]
        similarity = list(scores.identity.arc_of) if scores.identity else []
        return io.NodeOutput(similarity, chart, describe_scores(scores), ui=ui.PreviewImage(chart, cls=cls))
