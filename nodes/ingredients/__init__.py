"""The nodes of Ingredients (CogVideoX), in the order of the work: load, faces, to video, sampling, router."""
