"""Fine-tuning of LumosX: data preparation, caching, the training loop and LoRA files."""
