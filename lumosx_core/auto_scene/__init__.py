"""From ordinary photos to a scene: faces, clothes, objects and background found, cut out and given to their owner.

The way through this room: a plan (who is there, who wears what) and photos -> faces and boxes (detectors) ->
regions (segmenter) -> owners -> cutouts -> Scene.
"""
