"""The metrics, one module each, on top of the network interfaces of `evaluation.networks`."""
