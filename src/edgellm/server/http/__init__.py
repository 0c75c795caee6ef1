"""Requests in and responses out, for all dialects alike."""
