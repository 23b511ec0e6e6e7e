"""Photos of people to what the network knows of each face: aligned crops and their features."""
