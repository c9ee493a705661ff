"""Suites of cases: what an agent is expected to do, run as rehearsals and compared with what was accepted before."""
