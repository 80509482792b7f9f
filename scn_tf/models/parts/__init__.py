"""What the networks are built of: layers that Keras lacks, and blocks that several networks share."""
