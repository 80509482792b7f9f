"""The machine and the libraries: Keras, devices, optional extras, suppressed messages."""
