"""Limits of requests to an exported network, in a module that clients import without TensorFlow."""

ENCODED = "PNG, JPEG or BMP"  # formats of encoded images
MAX_BATCH = 8  # images per request; max_batch_size of serving/deployment/batching.config
