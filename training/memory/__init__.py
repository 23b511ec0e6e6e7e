"""Training in less memory: blocks recomputed in the backward pass, or kept in the CPU's memory between uses."""
