"""The main job on this machine, by HTTP like any client. Read it as an example: it knows a base URL and a token."""
