"""The convolutional network on handwritten digits."""
