"""Texts larger than memory: written to the disk once as ids, and read from there in blocks, ahead of the device.

sources      the files that a text is made of: one, a folder's, a list's
pieces       a file read piece by piece, decoded as strictly as a whole one
cache        where ids are kept, by the hash of their text
tokenising   from files to ids: once, and after an interruption from where it was
stream       a stretch of a text on the disk, as the ids of a vocabulary
feeding      the batches of the next steps, read while the device computes
"""
