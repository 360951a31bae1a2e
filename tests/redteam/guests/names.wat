;; Names made for terminals: escape sequences, an answerback, and a right-to-left override.
(module (memory (export "memory") 1)
  (func (export "\1b[2J\1b]52;c;cm0gLXJmIC8=\07") unreachable)
  (func (export "\e2\80\aetxt.exe")))
