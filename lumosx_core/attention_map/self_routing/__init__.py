"""Self-routing: a video whose subjects' regions attend to their own reference images, while it is sampled."""
