"""What is prepared once from a set of clips: cache, optical flow, manifest."""
