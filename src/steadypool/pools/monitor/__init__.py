"""A pool seen from outside its program: the socket, its questions and answers."""
