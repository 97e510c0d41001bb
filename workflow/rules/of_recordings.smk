"""What rules of recordings take: their finished segments; and what is said of those at work."""

from deadtokens.study.estimates import minutes_on_slow_core, seconds_of_recording

for name, one in study.recordings.items():
    if one.being_written:
        print(
            f"recorded.{name}: a recorder writes to {one.path} now; what is finished of it is "
            "read, and the rest when snakemake is run again",
            file=sys.stderr,
        )


def recorded_segments(wildcards):
    """Return the finished segments of a recording; none where only what was derived is here."""
    return list(study.recordings[wildcards.recording].segments)


def minutes_of_recording(analysis):
    """Return a function that gives the time limit of an analysis of a recording."""

    def minutes(wildcards, attempt):
        contents = study.recordings[wildcards.recording].contents
        return attempt * minutes_on_slow_core(seconds_of_recording(analysis, contents))

    return minutes


def priority_of_recordings(wildcards):
    """Return the priority of what reads a recording, which must be here.

    Snakemake asks for it when it knows which jobs will run, and of these alone.
    """
    recording = study.recordings[wildcards.recording]
    if recording.is_elsewhere:
        sys.exit(
            f"What is to be made reads the recording {wildcards.recording}, of which no segment is "
            f"here; name its folder as recorded.{wildcards.recording}.path, instead of "
            f"{recording.path}."
        )
    return 0
