"""One module per family of image formats, each with its rows.

A reader gives pixels as stored (:class:`scn_tf.data.images.Stored`). It imports libraries that take long when it reads, not before.
"""
