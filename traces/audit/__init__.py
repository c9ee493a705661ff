"""The audit log that can be proven: events sealed in batches into a signed hash chain, exported, and verified anywhere.

`forms` says what is hashed, `tree` how many events become one hash, `sealer` writes seals, `keys` signs them,
`export` writes files, and `verification` reads them again; of these, `forms`, `tree` and `verification` need neither
database nor settings.
"""
