"""Texts larger than memory: written to the disk once as ids, and read from there in blocks, ahead of the device.

sources      the files that a text is made of: one, a folder's, a list's
pieces       a file read piece by piece, decoded as strictly as a whole one
numbering    characters as numbers, in the order in which they first occur
cache        where ids are kept, by the hash of their text
tokenising   from files to ids: once, and after an interruption from where it was
finding      the text of a run, wherever it is now
stream       a stretch of a text on the disk, as the ids of a vocabulary
covering     how much of a text a model knows, from what was counted
excerpts     parts of a text, as text again
feeding      the batches of the next steps, read while the device computes
"""
