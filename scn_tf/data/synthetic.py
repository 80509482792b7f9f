def ensure(p): raise NotImplementedError
