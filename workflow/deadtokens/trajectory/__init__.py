"""What is recorded of W, its gradient and its moments, and how it is read back.

What a record holds is named in `run.layout`. A segment is written by `writer` (blocks of steps wait
in `staging`; `chunks` are shuffled and deflated; `proof` takes checksums of what is not kept).
Files are found and checked by `segments`; `source` gives a tensor, inflated by `inflate` or
replayed by `replay`; `tensors` has it as torch does. Which reader when:

- `reader.open_run`: the whole run as one lazy, labelled dataset (`lazy`); for people, notebooks,
  and the small variables
- `blocks.read_blocks`, `load_tensor`: tensors as float32 (tokens, components, steps), a chunk of
  steps after the other; for all tokens at every state
- `pieces.read_pieces`: the same as bare bits, few tokens and many updates at a time; for what
  looks at every bit
- `updates.read_updates`: everything of chosen tokens, update by update, in its own format
- `tiles.read_tiles`: everything of some tokens over a whole segment, in its own format; for replays
  and attribution

Of an opened run: `origin` says what a derived file carries of it, `populations` which tokens are
dead, live and never sampled, `scalars` (a command) loss and learning rate.
"""
