"""Label maps instead of landmarks: SpatialConfiguration-Net as an extension (Payer et al. 2018), same data folder, same command line.

A set has label maps if ``dataset.yaml`` names its ``labels`` (background first) and ``labels/ID.EXT`` holds one integer a pixel.
"""
