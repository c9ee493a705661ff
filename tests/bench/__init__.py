"""What the engine costs and how fast it is, beside a hand-written loop and, where asked for, LangGraph: `make bench`."""
