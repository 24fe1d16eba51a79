"""Recurrent against all-at-once human pose estimation on MPII."""
