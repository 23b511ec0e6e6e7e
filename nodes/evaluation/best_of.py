"""Best of N: several seeds are sampled for a part of the steps, and those that bind subjects best are finished."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.sampling.best_of import BestOf, describe_choice
from ..bridges.best_of_bridge import BestOfRuns
from ..inputs.host_schema import found_by
from ..sampling import pausable


class LumosXBestOf(io.ComfyNode):
    """SamplerCustomAdvanced for several seeds, of which the best are finished."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXBestOf",
            display_name="LumosX Best Of (several seeds)",
            **found_by("seeds", "best of n", "sampler"),
            category="LumosX",
            description="Takes the place of SamplerCustomAdvanced. Samples several seeds for a part of the steps, "
            "scores how well each binds its subjects so far, and finishes only the best. What is finished is "
            "bit-identical to a run of its seed alone.",
            inputs=[
                io.Guider.Input("guider", tooltip="With a LumosX MODEL and the conditioning of LumosX Scene To Video."),
                io.Sampler.Input(
                    "sampler",
                    tooltip="LumosX Sampler is paused and goes on; any other sampler starts again for the seeds that "
                    "are finished.",
                ),
                io.Sigmas.Input("sigmas", tooltip="From LumosX Sigmas or a scheduler."),
                io.Latent.Input("latent_image", tooltip="From LumosX Scene To Video, with a batch of 1."),
                io.Int.Input(
                    "noise_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The first seed; the others follow it.",
                ),
                io.Int.Input("seeds", default=4, min=1, max=256, tooltip="How many seeds start."),
                io.Float.Input(
                    "score_after",
                    default=0.25,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="The fraction of the steps after which seeds are scored. A later score costs more.",
                ),
                io.Int.Input("keep", default=1, min=1, max=256, tooltip="How many videos are finished."),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The videos that were finished, best first."),
                io.Int.Output(display_name="seed", tooltip="The seed of the best one, as for RandomNoise."),
                io.Float.Output(
                    display_name="scores", is_output_list=True, tooltip="The score of each seed that started, 0 to 1."
                ),
                io.String.Output(display_name="report", tooltip="The scores and what was finished, in sentences."),
            ],
        )

    @classmethod
    def execute(
        cls, guider, sampler, sigmas, latent_image, noise_seed, seeds=4, score_after=0.25, keep=1
    ) -> io.NodeOutput:
        plan = BestOf(seeds, score_after, keep)
        videos, steps = len(latent_image["samples"]), len(sigmas) - 1
        if videos != 1:
            raise LumosXError(
                f"latent_image has {videos} videos, but LumosX Best Of makes one video of each seed. Set batch_size of "
                f"LumosX Scene To Video to 1; keep sets how many videos are finished."
            )
        if steps < 1:
            raise LumosXError(
                f"sigmas has {len(sigmas)} noise levels, expected 2 or more: one step or more. Connect LumosX Sigmas."
            )
        runs = BestOfRuns(guider, sampler, pausable(sampler), sigmas, latent_image, plan)
        samples, best, scores = runs.run(noise_seed)
        report = describe_choice(scores, best, steps, runs.early_steps, runs.steps_taken)
        ignored = ("samples", "noise_mask", "batch_index", "downscale_ratio_spacial", "downscale_ratio_temporal")
        latent = {name: value for name, value in latent_image.items() if name not in ignored}
        latent["samples"] = samples
        return io.NodeOutput(latent, best[0], list(scores.values()), report, ui=ui.PreviewText(report))
