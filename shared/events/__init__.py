"""CloudEvents: commands that come in, events that go out, and where they go."""
