"""Fine-tuning of LumosX: data preparation, caching, the training loop and LoRA files.

A run goes through the folders in this order; each begins with a guide to its files.

    prepare/      from raw videos to samples with owners
    data/         samples from folders, tables or shards: checked, packed, combined into batches
    cache/        their latents and encoded captions, made once
    loop/         the training loop and its config files
    lora/         LoRA layers and files
    memory/       what makes a large model fit into memory
    flops.py      the arithmetic a step needs, to compare with what a device can do
    commands/     `lumosx train | cache | check-data | pack | export | prepare | lora | glyphs`
    configs/      configs to start from
    glyph_world/  clips of an invented world in which binding can be measured
    tiny/         how the built-in lumosx-tiny was made
"""
