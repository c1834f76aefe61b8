"""The verbs: what the server does. The only place where transactions begin."""
