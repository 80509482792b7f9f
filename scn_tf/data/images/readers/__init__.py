"""One module per family of image formats, each with its rows.

A reader gives pixels as stored (:class:`scn_tf.data.images.Stored`). It imports slow libraries only when it reads.
"""
