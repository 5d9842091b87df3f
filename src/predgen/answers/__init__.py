"""Answer spaces: which answers exist, how each is written, and the token trie of a space under a tokenizer."""

from __future__ import annotations
