"""Embedding matrices of any model: what files hold them, and which of their rows stand out.

`open` finds a model's matrices by their names; `safetensors_file`, `gguf` and `torch_file` read
what a file of each kind says of its tensors, and `stored` maps the rows from there. `matrix` is
what an examination sees of all this.
"""
