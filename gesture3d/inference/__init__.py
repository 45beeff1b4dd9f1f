"""Files and streams → classes and events, with a trained network."""
