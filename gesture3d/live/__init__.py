"""The local page that knows gestures and learns yours, see README.md."""
