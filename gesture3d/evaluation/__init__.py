"""What trained networks are worth: predictions, metrics, intervals, fusion, rejection."""
