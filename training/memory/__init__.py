"""Training in less memory: blocks computed again on the way back, or kept in the computer's memory between uses."""
