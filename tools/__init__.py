"""Generators: what is committed but written by a program."""
