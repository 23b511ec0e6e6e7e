"""The nodes that compare videos with their scene: scores of a finished one, and the best of several seeds."""
