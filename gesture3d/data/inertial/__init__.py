"""Inertial recordings: from files to windows."""
