"""Landmarks of images: the steps of one image, streams of many, and the files that they fill.

``steps`` prepares one image and turns the network's answer back. ``streaming`` does this for many, with reading ahead and batches.
``files`` writes tables, pictures and files of other tools; ``journal`` remembers what is done, ``tables`` are written from it.
``review`` shows the images that need a human, ``selection`` those to annotate next.
"""
