"""What is drawn, as boxes of words; and materials of simulated studies."""

import functools
import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.inference.estimate import generator
from analysis.material import Material
from analysis.simulate.effects import Effects
from analysis.simulate.memory import results
from analysis.simulate.world import draw
from tests.analysis.simulate.plans import paper

TROUBLE = Effects(diverged=0.15, failed=0.1, nonfinite=0.1)


@functools.cache
def simulated(*names, trouble=False):
    """Shipped studies of the paper, on up to three tasks; with `trouble` some runs diverge, fail, or have no error."""
    world = paper(*names).world()
    drawn = draw(world, TROUBLE if trouble else Effects(), generator("figures", *names))
    return results(world, drawn, "figures", *names)


@functools.cache
def material(*names, trouble=False, width="auto"):
    return Material(simulated(*names, trouble=trouble), width)


def boxes(figure):
    """Text and box, in pixels, of all words that are drawn; slanted ones, whose boxes say little, are left out."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    texts += [text for text in (figure._supxlabel, figure._supylabel) if text is not None]
    for axes in figure.axes:
        texts += axes.texts
        if axes.axison:
            texts += [axes.title, axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label]
            ticks = [tick for axis in (axes.xaxis, axes.yaxis) for tick in axis._update_ticks()]
            texts += [label for tick in ticks for label in (tick.label1, tick.label2)]
    drawn = [text for text in texts if text.get_visible() and text.get_text().strip()]
    upright = [text for text in drawn if text.get_rotation() % 90 == 0]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in upright]


def overlap(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1.0 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1.0


def faults(figure):
    """Words that leave the figure, and pairs of words that overlap."""
    words = boxes(figure)
    width, height = figure.canvas.get_width_height()
    outside = [
        word for word, box in words if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    pairs = [(a, b) for (a, p), (b, q) in itertools.combinations(words, 2) if overlap(p, q)]
    return outside, pairs
