"""The multilayer perceptron on handwritten digits."""
