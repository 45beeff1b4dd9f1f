"""Pictures: curves, timelines, what a video network looks at."""
