"""The layers: equations, parameters, forward and hand-derived backward passes, one file each."""
