"""Many runs as tables: what `tools/ablate.py` plans, compares and writes."""
