"""Pictures for TensorBoard as PNG files, drawn with Pillow in a few milliseconds each. Matplotlib takes some 60 ms for
a picture, which would be most of the time of a small run.

TensorBoard shows a picture at most some 250 pixels high, so the pictures are about 350 pixels high and their letters 15
pixels.
"""

import io
import math
import textwrap
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int64, UInt8
from PIL import Image, ImageDraw, ImageFont

from utils.predictions import Predictions

WIDTH = 360
MARGIN = 10
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 16, 15, 12
INK, GRID = (31, 41, 51), (220, 224, 228)
BLUE, PALE_BLUE, ORANGE, WHITE = (0, 114, 178), (219, 234, 247), (230, 110, 0), (255, 255, 255)
MAX_NAME = 12  # characters of a class name
NUM_BINS = 10  # of the reliability picture
FEW_IMAGES = 20  # bins with fewer images are pale


def confusion_picture(counts: Int64[np.ndarray, "classes classes"], class_names: Sequence[str], title: str) -> bytes:
    """True classes as rows, predicted classes as columns. The colour shows the mistakes: the darkest cell is the most
    frequent one."""
    num_classes = len(counts)
    cell, size = (29, TEXT_SIZE) if num_classes <= 12 else (24, SMALL_SIZE)
    names = [short(name) for name in class_names]
    label_width = max(int(font(size).getlength(name)) for name in names) + 8
    vertical = label_width > cell
    canvas = Canvas(title, 2 * MARGIN + 24 + label_width + num_classes * cell)
    left = MARGIN + 24 + label_width
    top = canvas.top + 24 + (label_width if vertical else 22)
    canvas.resize(top + num_classes * cell + MARGIN)
    most = max(1, int((counts - np.diag(np.diag(counts))).max()))
    canvas.text((left + num_classes * cell / 2, canvas.top + 10), "predicted", size, anchor="mm")
    canvas.vertical_text((MARGIN + 10, top + num_classes * cell / 2), "true", size)
    for number, name in enumerate(names):
        middle = (number + 0.5) * cell
        canvas.text((left - 6, top + middle), name, size, anchor="rm")
        if vertical:
            canvas.vertical_text((left + middle, top - label_width / 2), name, size)
        else:
            canvas.text((left + middle, top - 11), name, size, anchor="mm")
    for row, column in np.ndindex(counts.shape):
        share = counts[row, column] / most
        colour = PALE_BLUE if row == column else blend(WHITE, ORANGE, math.sqrt(share))
        x, y = left + column * cell, top + row * cell
        canvas.draw.rectangle((x, y, x + cell, y + cell), colour, GRID)
        if counts[row, column]:
            count = str(counts[row, column])
            canvas.text((x + cell / 2, y + cell / 2), count, size if len(count) <= 3 else SMALL_SIZE, anchor="mm")
    return canvas.png()


def digits_picture(images: UInt8[np.ndarray, "n 28 28"], captions: Sequence[str], title: str) -> bytes:
    """Digits row by row, dark on white, each with a caption of one or two lines below."""
    longest = max(font(SMALL_SIZE).getlength(line) for caption in captions for line in caption.split("\n"))
    scale = 2
    tile = max(28 * scale, math.ceil(longest)) + 8
    columns = max(1, (WIDTH - 2 * MARGIN) // tile)
    num_lines = max(caption.count("\n") + 1 for caption in captions)
    height = 28 * scale + num_lines * (SMALL_SIZE + 3) + 12
    canvas = Canvas(title, WIDTH)
    canvas.resize(canvas.top + math.ceil(len(images) / columns) * height + MARGIN)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x = MARGIN + (number % columns) * tile + (tile - 28 * scale) // 2
        y = canvas.top + (number // columns) * height
        canvas.paste(255 - image.repeat(scale, 0).repeat(scale, 1), (x, y))
        place = (x + 14 * scale, y + 28 * scale + 2)
        canvas.draw.multiline_text(place, caption, INK, font(SMALL_SIZE), anchor="ma", align="center", spacing=1)
    return canvas.png()


def digit_table_picture(images: UInt8[np.ndarray, "rows columns 28 28"], row_names: Sequence[str], title: str) -> bytes:
    """Rows of digits in their own size, dark on white, each with its name on the left."""
    step = 28 + 4
    left = MARGIN + max((int(font(TEXT_SIZE).getlength(name)) + 10 for name in row_names), default=0)
    num_rows, num_columns = images.shape[:2]
    canvas = Canvas(title, left + num_columns * step + MARGIN)
    canvas.resize(canvas.top + num_rows * step + MARGIN)
    for row, name in enumerate(row_names):
        canvas.text((left - 10, canvas.top + row * step + 14), name, TEXT_SIZE, anchor="rm")
    for row, column in np.ndindex(num_rows, num_columns):
        canvas.paste(255 - images[row, column], (left + column * step, canvas.top + row * step))
    return canvas.png()


def filters_picture(filters: Float[np.ndarray, "n height width"], title: str) -> bytes:
    """First-layer weights, one tile per filter on one colour scale: blue is negative, white zero, orange positive."""
    limit = float(np.abs(filters).max()) or 1.0
    num_filters, height, width = filters.shape
    scale = max(2, 52 // width)
    step = width * scale + 8
    columns = (WIDTH - 2 * MARGIN) // step
    canvas = Canvas(f"{title}\nblue {-limit:.2g}, white 0, orange {limit:.2g}", WIDTH)
    canvas.resize(canvas.top + math.ceil(num_filters / columns) * (height * scale + 8) + MARGIN)
    strength = np.abs(filters / limit)[..., None]
    ends = np.where(filters[..., None] < 0, np.array(BLUE), np.array(ORANGE))
    colours = (255 + strength * (ends - 255)).astype(np.uint8).repeat(scale, 1).repeat(scale, 2)
    for number, tile in enumerate(colours):
        x = MARGIN + (number % columns) * step
        canvas.paste(tile, (x, canvas.top + (number // columns) * (height * scale + 8)))
    return canvas.png()


def reliability_picture(predictions: Predictions, set_name: str) -> bytes:
    """The accuracy of the predictions in ten intervals of confidence, with their numbers of images."""
    confidence, accuracy = predictions.confidence, predictions.accuracy
    canvas = Canvas(f"{set_name}: {accuracy:.2%} correct, {confidence.mean():.2%} mean confidence", WIDTH)
    left, right, height = 74, WIDTH - 24, 210
    bottom = canvas.top + 20 + height
    canvas.resize(bottom + 60)
    for percent in range(0, 101, 20):
        y = bottom - height * percent / 100
        canvas.draw.line((left, y, right, y), GRID)
        canvas.text((left - 8, y), f"{percent}%", SMALL_SIZE, anchor="rm")
        canvas.text((left + (right - left) * percent / 100, bottom + 14), f"{percent}%", SMALL_SIZE, anchor="mm")
    canvas.text(((left + right) / 2, bottom + 40), "confidence", TEXT_SIZE, anchor="mm")
    canvas.vertical_text((18, bottom - height / 2), "accuracy", TEXT_SIZE)
    places = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    step = (right - left) / NUM_BINS
    for number in range(NUM_BINS):
        is_correct = predictions.is_correct[places == number]
        if len(is_correct):
            x, top = left + number * step, bottom - height * float(is_correct.mean())
            colour = BLUE if len(is_correct) >= FEW_IMAGES else blend(WHITE, BLUE, 0.4)
            canvas.draw.rectangle((x + 2, top, x + step - 2, bottom), colour)
            canvas.text((x + step / 2, min(top, bottom) - 9), f"{len(is_correct):,}", SMALL_SIZE, anchor="mm")
    canvas.draw.line((left, bottom, right, bottom - height), ORANGE, 2)
    return canvas.png()


class Canvas:
    """A white picture with a title."""

    def __init__(self, title: str, width: int) -> None:
        self.width = max(WIDTH, width)
        characters = int((self.width - 2 * MARGIN) / (TITLE_SIZE * 0.5))
        self.lines = [part for line in title.split("\n") for part in textwrap.wrap(line, characters)]
        self.top = MARGIN + len(self.lines) * (TITLE_SIZE + 5) + 6
        """Where the content begins, below the title."""

    def resize(self, height: float) -> None:
        """Makes the picture, once its height is known, and draws the title."""
        self.image = Image.new("RGB", (self.width, math.ceil(height)), WHITE)
        self.draw = ImageDraw.Draw(self.image)
        for number, line in enumerate(self.lines):
            self.text((MARGIN, MARGIN + number * (TITLE_SIZE + 5)), line, TITLE_SIZE)

    def text(self, place: tuple[float, float], text: str, size: int, anchor: str = "la") -> None:
        self.draw.text(place, text, INK, font(size), anchor=anchor)

    def vertical_text(self, middle: tuple[float, float], text: str, size: int) -> None:
        """Text from the bottom to the top."""
        width, height = math.ceil(font(size).getlength(text)) + 2, size + 6
        part = Image.new("RGB", (width, height), WHITE)
        ImageDraw.Draw(part).text((width / 2, height / 2), text, INK, font(size), anchor="mm")
        turned = part.transpose(Image.Transpose.ROTATE_90)
        self.image.paste(turned, (int(middle[0] - height / 2), int(middle[1] - width / 2)))

    def paste(self, pixels: UInt8[np.ndarray, "..."], place: tuple[int, int]) -> None:
        self.image.paste(Image.fromarray(pixels), place)

    def png(self) -> bytes:
        """With a palette of 64 colours, which makes the file a third as large and as fast to write."""
        content = io.BytesIO()
        colours = self.image.quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        colours.save(content, "PNG", compress_level=4)
        return content.getvalue()


def short(name: str) -> str:
    """A class name for a label."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


@lru_cache(None)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font."""
    return ImageFont.load_default(size)  # type: ignore[return-value]


def blend(first: tuple[int, int, int], second: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """The colour between two colours; `share` 1 is the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
