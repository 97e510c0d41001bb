"""What is recorded of W, its gradient and its moments, and how it is read back.

What a record holds is named in `run.layout`. A segment is written by `writer` (blocks of steps wait
in `staging`; `chunks` are shuffled and deflated; `proof` takes checksums of what is not kept).
Files are found and checked by `segments`. What tensors it has a segment says in its `contents`; a
`source` gives them, inflated by `inflate` or replayed by `replay`; on it stand the readers, which
read `ahead`. Which reader when:

======================  ==========================  =============  ==============================
reader                  in memory                   values         for
======================  ==========================  =============  ==============================
`reader.open_run`       what is computed (`lazy`)   float32        people, notebooks, and the
                                                                   small variables
`parts.load_tensor`     a part, `load_steps` steps  float32        a few tokens or steps
`blocks.read_blocks`    all tokens, a chunk long    float32        all tokens at every state, or
                                                                   at wanted ones
`pieces.read_pieces`    a chunk of tokens, a        bare bits      every bit, from update to
                        window of updates                          update
`updates.read_updates`  chosen tokens, a chunk      own format     all of one update after the
                        long                                       other
`tiles.read_tiles`      some tokens, a segment      own format     replays, and attribution
======================  ==========================  =============  ==============================

Arrays of blocks and pieces are (tokens, components, steps), as on disk: what follows a weight from
update to update finds its values side by side. Those of updates and tiles are torch's, (tokens,
components) of each step in one piece of memory, as the optimizer's loops take them. Chunks are put
into either order while they are inflated. A labelled run is (step, token, component).

Of an opened run: `origin` says what a derived file carries of it, `populations` which tokens are
dead, live and never sampled, `rule` how W was moved, `spans` how many updates lie between recorded
states, `optional` what a recording of another training may lack; `scalars` (a command) has loss and
learning rate. `release` (a command) removes a record that was read. Of what a recording does not
say, `refusal` makes a result.
"""
