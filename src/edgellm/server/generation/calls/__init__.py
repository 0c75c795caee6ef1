"""Calls of tools as models write them: one file per form, how it is read and which grammar forces it."""
