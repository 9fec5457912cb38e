"""The use cases: what each endpoint does, by the rules of api.md and client-facts.md."""
