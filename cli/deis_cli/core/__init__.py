"""The client as a library: coroutines over HTTP that give typed data and print nothing."""
