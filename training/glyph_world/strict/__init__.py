"""A strict examination of clips: every frame, the background, the object, and that nobody is there who should not be.

- `tracking.py`: where people and the object are in each frame
- `composition.py`: the frames that the scene should show there
- `evidence.py`, `surroundings.py`: how far a frame leans towards something else, person by person and around them
- `measuring.py`, `verdict.py`: all of it over a clip, and what is accepted
- `faults.py`: faults that must be refused, to plant into true clips
"""

from .verdict import StrictVerdict, judge_strictly

__all__ = ["StrictVerdict", "judge_strictly"]
