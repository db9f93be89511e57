"""What conversions between colour spaces give; expected values stay outside.

The calls follow CPython's Lib/test/test_colorsys.py, PSF licence.
"""

import colorsys
from itertools import product

from observe import outcome

_LEVELS = (0.0, 0.2, 0.6, 1.0)
_HUES = (0.0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.9)
_CHROMAS = (-0.08, 0.0, 0.12)


def _rows(convert, first, second, third):
    for one in first:
        yield [outcome(convert, one, two, three) for two, three in product(second, third)]


def hsv_of_rgb():
    yield from _rows(colorsys.rgb_to_hsv, _LEVELS, _LEVELS, _LEVELS)


def rgb_of_hsv():
    yield from _rows(colorsys.hsv_to_rgb, _HUES, (0.0, 0.4, 1.0), (0.0, 0.5, 1.0))


def hls_of_rgb():
    yield from _rows(colorsys.rgb_to_hls, _LEVELS, _LEVELS, _LEVELS)


def rgb_of_hls():
    yield from _rows(colorsys.hls_to_rgb, _HUES, (0.0, 0.3, 0.5, 0.8, 1.0), (0.0, 0.4, 1.0))


def hls_near_white():
    almost = 0.9999999999999999
    for rgb in ((almost, 1, 1), (1, almost, almost)):
        yield outcome(colorsys.rgb_to_hls, *rgb)
        yield outcome(lambda rgb=rgb: colorsys.hls_to_rgb(*colorsys.rgb_to_hls(*rgb)))


def yiq_of_rgb():
    yield from _rows(colorsys.rgb_to_yiq, _LEVELS, _LEVELS, _LEVELS)


def rgb_of_yiq():
    yield from _rows(colorsys.yiq_to_rgb, (0.3, 0.5, 0.7), _CHROMAS, _CHROMAS)


def rgb_by_way_of_yiq():
    for red in (0.0, 0.6, 1.0):
        colours = product((red,), (0.0, 0.6, 1.0), (0.0, 0.6, 1.0))
        yield [outcome(lambda c=c: colorsys.yiq_to_rgb(*colorsys.rgb_to_yiq(*c))) for c in colours]
