"""How far an answer can be trusted: expected errors, radii that contain the truth, presence, and images of another kind.

``peak_statistics`` is what maps show of a point. ``error_model`` turns it into an expected error, ``conformal`` into a radius.
``calibration`` is what a model file stores, ``fitting`` makes it from annotated images, ``estimates`` applies it to maps.
``units`` gives the estimates of an image in mm or pixels.
"""
