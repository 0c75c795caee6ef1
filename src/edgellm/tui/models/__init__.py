"""What screens show, made of what the server says: plain functions, which know no Textual."""
