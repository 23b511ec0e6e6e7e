"""The closer look for faces: tiles, figures, turned photos; and how much work it is at most."""

import pytest
import torch

from lumosx_core.auto_scene.cutouts.faces import crop_face
from lumosx_core.auto_scene.cutouts.regions import Box, Face
from lumosx_core.auto_scene.face_search import (
    MOST_FIGURES,
    MOST_TILES,
    faces_of_figures,
    find_faces,
    new_faces,
    small_faces,
    turned_faces,
)

POINTS = ((0.3, 0.3), (0.7, 0.3), (0.5, 0.55), (0.35, 0.8), (0.65, 0.8))


class RedOverBlue:
    """Sees a face where a red pixel is above a blue one, `least` of the long side apart or more: upright heads only."""

    def __init__(self, least=0.02, score=0.9):
        self.least, self.score, self.parts = least, score, []

    def find(self, image):
        self.parts.append(tuple(image.shape[:2]))
        faces = []
        for y, x in (image[..., 0] == 1).nonzero().tolist():
            below = (image[y:, x, 2] == 1).nonzero()
            if len(below) and int(below[0]) >= self.least * max(image.shape[:2]):
                side = int(below[0])
                points = tuple((x + side * (px - 0.5), y + side * py) for px, py in POINTS)
                faces.append(Face(Box(x - side / 2, y, x + side / 2, y + side), self.score, points))
        return faces


def photo(height, width, *heads):
    """Heads as (x, y, side): red above blue."""
    image = torch.zeros(height, width, 3)
    for x, y, side in heads:
        image[y, x, 0] = image[y + side, x, 2] = 1
    return image


HEADS = [(100 + 450 * i, 120 + 640 * (i % 6), 60) for i in range(12)]


def test_small_faces_of_a_large_photo_are_found_in_tiles_once_each():
    image, finder = photo(4000, 6000, *HEADS), RedOverBlue()
    assert finder.find(image) == []
    faces = small_faces(finder, image, [])
    assert sorted(round(face.box.centre[0]) for face in faces) == [x for x, _, _ in HEADS]


def test_a_photo_no_larger_than_a_tile_is_not_searched_again():
    finder = RedOverBlue()
    assert small_faces(finder, photo(1280, 1280, (100, 100, 10)), []) == [] and finder.parts == []


@pytest.mark.parametrize("size", [(1281, 60), (4000, 6000), (20000, 40), (12000, 16000), (1300, 1300)])
def test_there_are_never_more_tiles_than_the_limit(size):
    finder = RedOverBlue()
    small_faces(finder, torch.zeros(1).expand(*size, 3), [])
    assert 0 < len(finder.parts) <= MOST_TILES


def test_known_faces_are_not_found_again():
    image = photo(2000, 2000, (300, 300, 60), (1500, 1500, 60))
    known = [Face(Box(265, 295, 335, 365))]
    [other] = small_faces(RedOverBlue(), image, known)
    assert other.box.centre == (1500, 1530)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_heads_of_a_turned_photo_are_found_and_cropped_upright(turns):
    upright = photo(400, 600, (200, 100, 80), (400, 150, 60))
    image = upright.rot90(turns, (0, 1))
    expected = [face.turned(turns, 400, 600) for face in RedOverBlue().find(upright)]
    faces = find_faces(RedOverBlue(), image)
    assert {face.box.centre for face in faces} == {face.box.centre for face in expected}
    for face in faces:
        assert face.turns == (-turns) % 4
        crop = crop_face(image, face)
        assert crop.shape[0] > crop.shape[1]  # the margin is above and below the head again


def test_turned_faces_have_to_be_sure():
    image = photo(400, 600, (200, 100, 80)).rot90(1, (0, 1))
    assert turned_faces(RedOverBlue(score=0.55), image, Box(0, 0, 400, 600)) == []


def test_a_figure_whose_face_is_too_small_for_the_photo_is_looked_at_on_its_own():
    image = photo(1000, 1200, (500, 300, 12), (900, 300, 12))
    [face] = faces_of_figures(RedOverBlue(), image, [Box(450, 280, 550, 600)], [])
    assert face.box.centre == (500, 306)


def test_a_figure_that_lies_shows_its_face():
    image = photo(300, 400, (200, 100, 30)).rot90(1, (0, 1))
    [face] = faces_of_figures(RedOverBlue(), image, [Box(50, 100, 390, 290)], [])
    assert face.turns == 3 and Box(95, 180, 135, 220).share_in(face.box) > 0


def test_in_a_crowd_of_backs_only_so_many_figures_are_looked_at():
    finder = RedOverBlue()
    assert (
        faces_of_figures(finder, torch.zeros(400, 4000, 3), [Box(40 * i, 0, 40 * i + 39, 400) for i in range(90)], [])
        == []
    )
    assert len(finder.parts) == 4 * MOST_FIGURES  # upright, to both sides, upside down


def test_a_search_can_be_stopped():
    def stop():
        raise InterruptedError

    for search in (
        lambda: small_faces(RedOverBlue(), torch.zeros(2000, 2000, 3), [], stop),
        lambda: find_faces(RedOverBlue(), torch.zeros(200, 200, 3), stop),
        lambda: faces_of_figures(RedOverBlue(), torch.zeros(200, 200, 3), [Box(0, 0, 99, 99)], [], stop),
    ):
        with pytest.raises(InterruptedError):
            search()


def test_of_faces_found_twice_the_surest_stays():
    twice = [Face(Box(0, 0, 20, 20), 0.6), Face(Box(1, 0, 21, 20), 0.8), Face(Box(0, 10, 20, 20), 0.7)]
    assert new_faces([], twice) == [twice[1]]
