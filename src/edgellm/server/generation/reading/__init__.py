"""The streamed text of an answer taken apart: what is thought, what is said, which tools are called."""
