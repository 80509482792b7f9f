"""Image files and annotations to training examples."""
