"""Tokenisation, chat templates and control tokens."""
