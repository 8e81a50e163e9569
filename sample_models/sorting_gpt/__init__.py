"""The small transformer that puts digits in order."""
