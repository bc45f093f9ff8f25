"""Docker engines: connecting, building, running, cleaning up; all use of the Docker SDK is here."""
