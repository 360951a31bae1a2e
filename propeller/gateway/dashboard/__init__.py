"""Pages for people: what is live, what is not as it should be and why, who is silent.

Server-rendered HTML that reads the store and changes nothing; a script of a few lines swaps the
page's content when something moved. Works without it.
"""
