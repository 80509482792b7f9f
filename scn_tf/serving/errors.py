"""What can go wrong while a model changes its form."""

from scn_tf.errors import Error


class ConversionError(Error, ValueError):
    """A network or file that cannot be turned into, or read in, the form that was asked for."""
