"""The multilayer perceptron on spirals."""
