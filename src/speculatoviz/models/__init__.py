"""One file per runtime: a causal language model that can be extended and rewound."""
