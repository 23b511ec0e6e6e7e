"""Networks that the stages ask: multimodal models behind one call, the finders of Auto Scene, inpainting."""
