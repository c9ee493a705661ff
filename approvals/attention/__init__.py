"""Who looks after a request: who holds it, who has seen it, what is said about it, who is next when nobody comes."""
