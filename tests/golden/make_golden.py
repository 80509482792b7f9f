"""Write golden warps and blurs with tensorflow-addons: run by `make golden`, in an environment of its own."""

import sys

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa


def main(path):
    rng = np.random.default_rng(7)
    images = tf.constant(rng.normal(size=(2, 23, 31, 3)).astype("float32"))
    # Smooth displacements in pixels, (y, x); the output at p is the input at p - flow(p).
    y, x = np.meshgrid(np.arange(23.0), np.arange(31.0), indexing="ij")
    flow = np.stack(
        [
            np.stack([2.5 * np.sin(x / 5) + 0.3, 1.75 * np.cos(y / 4)], axis=-1),
            np.stack([0.12 * (x - 15), -0.12 * (y - 11)], axis=-1),
        ]
    ).astype("float32")
    sigmas = np.array([0.7, 1.6], dtype="float32")
    blurred = [
        tfa.image.gaussian_filter2d(images[i : i + 1], filter_shape=(11, 11), sigma=float(sigma), padding="REFLECT")
        for i, sigma in enumerate(sigmas)
    ]
    np.savez_compressed(
        path,
        images=images.numpy(),
        flow=flow,
        warped=tfa.image.dense_image_warp(images, tf.constant(flow)).numpy(),
        sigmas=sigmas,
        blurred=np.concatenate([b.numpy() for b in blurred]),
        versions=np.array([tf.__version__, tfa.__version__]),
    )


if __name__ == "__main__":
    main(sys.argv[1])
