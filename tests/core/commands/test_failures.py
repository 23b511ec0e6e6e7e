"""What may fail in every command is one line that says what to do: full memory, and files that the system refuses."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from lumosx_core.commands import main as command_line
from lumosx_core.commands.failures import failure_message
from lumosx_core.errors import LumosXError, OutOfMemory, ran_out_of_memory

FULL = {
    "Python": MemoryError(),
    "torch": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 40000000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "torch on Windows": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"
    ),
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "MPS": RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "C++": RuntimeError("std::bad_alloc"),
    "system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "safetensors": RuntimeError("I/O error: The paging file is too small for this operation. (os error 1455)"),
    "numpy": RuntimeError("Unable to allocate 3.64 TiB for an array"),
}
OTHER = (
    ValueError("no"),
    LumosXError("There is no file 'out of memory.png'."),
    OSError(errno.ENOENT, "x", "bad_alloc"),
)


@pytest.mark.parametrize("error", FULL.values(), ids=FULL)
@pytest.mark.parametrize("command", ["generate", "train", "cache", "convert"])
def test_full_memory_is_one_line_that_says_what_to_use_less_of(error, command, capsys, monkeypatch):
    assert ran_out_of_memory(error)
    for raised in (error, _caused_by(error)):
        message = failure_message(raised, command)
        assert message.startswith("The memory is full (") and "\n" not in message and message.endswith(".")
    assert ("--size" in failure_message(error, "generate")) and "batch_size" in failure_message(error, "train")


def _caused_by(error):
    """As a reader of ours that takes whatever a decoder raises for damage."""
    try:
        raise LumosXError("Cannot read the image.") from error
    except LumosXError as caused:
        return caused


@pytest.mark.parametrize("error", OTHER, ids=str)
def test_another_error_is_not_taken_for_full_memory(error):
    assert not ran_out_of_memory(error)


def test_a_message_of_ours_about_memory_is_kept():
    assert failure_message(OutOfMemory("Use a smaller --size."), "generate") == "Use a smaller --size."


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EISDIR, errno.ENXIO, errno.EIO, errno.EMFILE])
def test_what_the_system_refuses_is_one_line_with_the_file(number):
    message = failure_message(OSError(number, os.strerror(number), "clips/a\nb.mp4"), "pack")
    assert message.startswith(f"clips/a\\nb.mp4: {os.strerror(number)}. ") and message.endswith(".")


def test_a_mistake_of_the_program_keeps_its_traceback(monkeypatch, tmp_path):
    def fails(options):
        raise TypeError("a mistake")

    monkeypatch.setattr(command_line, "_tiny", fails)
    with pytest.raises(TypeError):
        command_line.main(["tiny", str(tmp_path)])


def test_a_command_whose_memory_is_full_ends_with_2(monkeypatch, tmp_path, capsys):
    def fails(options):
        raise FULL["torch"]

    monkeypatch.setattr(command_line, "_tiny", fails)
    assert command_line.main(["tiny", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("lumosx: The memory is full ([enforce fail")
