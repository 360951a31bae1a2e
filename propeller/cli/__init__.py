"""One file a verb. The only room, with `proplet/__main__`, that reads argv and the environment."""
