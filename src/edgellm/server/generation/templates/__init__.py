"""What a chat template can do, and messages brought into the form that it reads."""
