"""One run: loop, state, what is kept of it; and gestures taught by a few clips."""
