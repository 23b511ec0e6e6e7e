"""From a video to the files of its shots: cuts, slow transitions, what becomes a clip, and writing it."""
