"""From the answers of the API to rows and texts: pure functions, which know no Textual."""
