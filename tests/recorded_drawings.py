"""One drawing of each digit, as mouse strokes on a canvas of 280 x 280 pixels."""

import math


def arc(x, y, width, height, start, end, count=16):
    """Points on an ellipse around (x, y). Angles are in degrees: 0 is right, 90 is down."""
    angles = [math.radians(start + (end - start) * step / count) for step in range(count + 1)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


DRAWINGS = {
    0: [arc(140, 140, 50, 80, -90, 275)],
    1: [[(150, 55), (143, 140), (137, 225)]],
    2: [[*arc(135, 100, 48, 42, 190, 395), (90, 215), (200, 215)]],
    3: [[*arc(130, 98, 48, 38, 200, 450), *arc(130, 176, 52, 42, -90, 160)]],
    4: [[(120, 60), (85, 150), (195, 150)], [(175, 65), (165, 225)]],
    5: [[(190, 65), (110, 65), (102, 130), *arc(135, 170, 50, 46, -120, 150)]],
    6: [[(170, 60), (120, 110), *arc(138, 178, 40, 42, 200, 560)]],
    7: [[(80, 70), (190, 70), (120, 220)]],
    8: [[*arc(140, 100, 36, 36, 60, -240), *arc(140, 178, 42, 42, -120, 240)]],
    9: [[*arc(135, 105, 40, 40, 0, -350), (175, 105), (168, 150), (155, 225)]],
}
