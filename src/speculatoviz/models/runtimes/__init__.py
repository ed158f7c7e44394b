"""One file a runtime: each makes a library's models into `LanguageModel`."""
