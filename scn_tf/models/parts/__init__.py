"""Parts of the networks: layers that Keras lacks, and blocks that several networks share."""
