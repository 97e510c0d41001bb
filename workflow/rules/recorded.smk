"""Recordings of other trainings: the analyses of a run, of somebody else's.

REQUIRED INPUTS:

    the folders that the configuration names under `recorded`: segment-{segment}.nc, recording.json

OUTPUTS:

    results/recorded/{recording}/scalars.nc, freezing.nc, sharpening.nc, drift.nc, indicators.nc,
        audit.json, attribution.nc, stillness.nc: as far as the recording can give them

They are only read: no rule removes or changes them.
"""


use rule collect_scalars as collect_scalars_of_recording with:
    input:
        **reads(segments=recorded_segments),
    output:
        **sealed(scalars="results/recorded/{recording}/scalars.nc"),
    log:
        "logs/collect_scalars_of_recording/{recording}.log",
    benchmark:
        "logs/collect_scalars_of_recording/{recording}.tsv"
    priority: priority_of_recordings
    group:
        one_submission("analyses", "recording")
    resources:
        runtime=minutes_of_recording("scalars"),


use rule measure_freezing as measure_freezing_of_recording with:
    input:
        **reads(segments=recorded_segments),
    output:
        **sealed(freezing="results/recorded/{recording}/freezing.nc"),
    log:
        "logs/measure_freezing_of_recording/{recording}.log",
    benchmark:
        "logs/measure_freezing_of_recording/{recording}.tsv"
    priority: priority_of_recordings
    group:
        one_submission("analyses", "recording")
    resources:
        runtime=minutes_of_recording("freezing"),


use rule measure_sharpening as measure_sharpening_of_recording with:
    input:
        **reads(segments=recorded_segments),
    output:
        **sealed(sharpening="results/recorded/{recording}/sharpening.nc"),
    log:
        "logs/measure_sharpening_of_recording/{recording}.log",
    benchmark:
        "logs/measure_sharpening_of_recording/{recording}.tsv"
    priority: priority_of_recordings
    group:
        one_submission("analyses", "recording")
    resources:
        runtime=minutes_of_recording("sharpening"),


use rule measure_drift as measure_drift_of_recording with:
    input:
        **reads(segments=recorded_segments),
    output:
        **sealed(drift="results/recorded/{recording}/drift.nc"),
    log:
        "logs/measure_drift_of_recording/{recording}.log",
    benchmark:
        "logs/measure_drift_of_recording/{recording}.tsv"
    priority: priority_of_recordings
    group:
        one_submission("analyses", "recording")
    resources:
        runtime=minutes_of_recording("drift"),


use rule follow_indicators as follow_indicators_of_recording with:
    input:
        **reads(segments=recorded_segments),
    output:
        **sealed(indicators="results/recorded/{recording}/indicators.nc"),
    log:
        "logs/follow_indicators_of_recording/{recording}.log",
    benchmark:
        "logs/follow_indicators_of_recording/{recording}.tsv"
    priority: priority_of_recordings
    group:
        one_submission("analyses", "recording")
    resources:
        runtime=minutes_of_recording("indicators"),


use rule run_audit as run_audit_of_recording with:
    input:
        **reads(segments=recorded_segments),
    output:
        **sealed(audit="results/recorded/{recording}/audit.json"),
    log:
        "logs/run_audit_of_recording/{recording}.log",
    benchmark:
        "logs/run_audit_of_recording/{recording}.tsv"
    priority: priority_of_recordings
    group:
        one_submission("analyses", "recording")
    resources:
        runtime=minutes_of_recording("audit"),


use rule compute_attribution as compute_attribution_of_recording with:
    input:
        **reads(segments=recorded_segments),
    output:
        **sealed(attribution="results/recorded/{recording}/attribution.nc"),
    log:
        "logs/compute_attribution_of_recording/{recording}.log",
    benchmark:
        "logs/compute_attribution_of_recording/{recording}.tsv"
    priority: priority_of_recordings
    group:
        one_submission("analyses", "recording")
    resources:
        runtime=minutes_of_recording("attribution"),


use rule explain_stillness as explain_stillness_of_recording with:
    input:
        **reads(segments=recorded_segments),
    output:
        **sealed(stillness="results/recorded/{recording}/stillness.nc"),
    log:
        "logs/explain_stillness_of_recording/{recording}.log",
    benchmark:
        "logs/explain_stillness_of_recording/{recording}.tsv"
    priority: priority_of_recordings
    group:
        one_submission("analyses", "recording")
    resources:
        runtime=minutes_of_recording("stillness"),
