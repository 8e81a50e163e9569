"""Published claims about loss landscapes, reproduced from scratch on data that comes with scikit-learn."""
