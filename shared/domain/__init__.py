"""The pure part: wire types, names and ids, rules, errors, and the ports that adapters fill."""
