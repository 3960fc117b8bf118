"""Occasions to words, words to choice probabilities: language models as choice models."""
