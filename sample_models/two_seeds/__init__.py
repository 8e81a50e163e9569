"""One perceptron on handwritten digits, trained from two seeds."""
