"""Embedding matrices of any model: what files hold them, and which of their rows stand out."""
