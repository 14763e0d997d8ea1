"""Looking into a trained model: what its units do, what they track, how far back it looks, and a page of all that.

| room           | what is in it                                                      |
|----------------|--------------------------------------------------------------------|
| `activity.py`  | every unit's state and gates at each character of a text           |
| `lookback.py`  | how much an earlier state matters for a prediction                 |
| `readable.py`  | what a reader sees in a text, and the units that follow it         |
| `packing.py`   | activities in few bits                                             |
| `page.py`      | one HTML file of all that, from `page.html`, `page.css`, `page.js` |
"""

from jaxrnn.inspection.page import inspect as inspect
from jaxrnn.inspection.page import render as render
