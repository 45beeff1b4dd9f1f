"""Video: from files to clips."""
