"""Skeletons: from files to sequences of joints."""
