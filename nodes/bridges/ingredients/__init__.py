"""Adapters to ComfyUI for Ingredients (CogVideoX): its network, text encoder, VAE, faces and recorded routing."""
