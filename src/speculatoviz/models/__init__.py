"""Causal language models that can be extended and rewound: runtimes, tokenizers, files."""
