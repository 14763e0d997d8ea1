"""Writing with a model in a browser: `writing.py` makes the characters, `server.py` streams them to `play.html`."""
