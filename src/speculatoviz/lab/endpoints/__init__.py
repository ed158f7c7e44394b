"""Two OpenAI-compatible endpoints of one model, compared: is a different text a near tie, or a wrong verifier?"""
