# Unit tests: one program a module, linked only with the layers its module may use.
