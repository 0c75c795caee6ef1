"""The OpenAPI document, made from the route tables of all dialects and the types of their handlers."""
