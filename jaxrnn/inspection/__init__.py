"""Inspection of a trained model: activations, gate saturation, gradient flow, and a page that shows them.

| file            | content                                                            |
|-----------------|--------------------------------------------------------------------|
| `activity.py`   | every unit's state and gates at each character of a text           |
| `lookback.py`   | how much an earlier state matters for a prediction                 |
| `saliency.py`   | which earlier characters a probability depends on                  |
| `ablation.py`   | how much worse a model predicts without a unit                     |
| `comparison.py` | the surprisal of another model on the same text                    |
| `readable.py`   | features of the text, and the units that correlate with them       |
| `packing.py`    | activities as text of a bounded size                               |
| `page.py`       | one HTML file of all that, from `page.html`, `page.css`, `*.js`    |
"""

from jaxrnn.inspection.packing import Levels as Levels
from jaxrnn.inspection.page import inspect as inspect
from jaxrnn.inspection.page import render as render
