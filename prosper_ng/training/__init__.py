"""The EM loop, and what changes or ends it."""
