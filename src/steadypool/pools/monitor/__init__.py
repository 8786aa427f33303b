"""Floor 4, above `pools.inspect`: a pool seen from outside its program. The socket, its questions and answers."""
