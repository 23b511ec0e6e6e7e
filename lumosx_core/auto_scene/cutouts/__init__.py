"""Parts of photos cut out: regions with an edge, faces, cleaned masks, the filled background, and their quality."""
