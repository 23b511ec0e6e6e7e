"""Full memory of the computer, as one sentence on the node; ComfyUI itself explains that of the GPU only."""

from __future__ import annotations

from functools import wraps

from comfy_api.latest import io

from ...lumosx_core.errors import OutOfMemory, ran_out_of_memory

_GPU = "OutOfMemoryError"  # torch's; ComfyUI catches it, unloads models and says what to do


def explains_full_memory(cls: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node, whose run raises OutOfMemory where the memory of the computer does not suffice."""
    run = cls.execute.__func__  # of a class method

    @wraps(run)
    def execute(cls, *values, **inputs):
        try:
            return run(cls, *values, **inputs)
        except Exception as error:
            if type(error).__name__ == _GPU or not ran_out_of_memory(error):
                raise
            lines = str(error).strip().splitlines()
            detail = f" ({lines[0][:160]})" if lines else ""
            raise OutOfMemory(
                f"The memory of the computer is full{detail}. Use smaller or fewer images, a smaller or shorter video, "
                f"or a smaller batch_size, or close other programs."
            ) from error

    cls.execute = classmethod(execute)
    return cls
