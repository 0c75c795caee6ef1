"""Conversations: on the disk, with a model, in lines; and, in ``view`` alone, on a screen."""
