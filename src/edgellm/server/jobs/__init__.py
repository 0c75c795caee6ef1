"""Long work beside the answers: packs, pulls, imports and their like, as child processes of the command line."""
