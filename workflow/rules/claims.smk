"""What was claimed before the study was run: which of it holds.

REQUIRED INPUTS:

    config/claims.yaml, or the file that the configuration names
    the derived files of which its claims speak: see claimed_files in deadtokens.study.claims

OUTPUTS:

    results/claims/claims.csv, claims.json
"""


rule evaluate_claims:
    """Hold every claim against the derived files; one that fails is a result."""
    input:
        **reads(files=claimed_results),
    output:
        **sealed(json="results/claims/claims.json"),
        csv=report(
            "results/claims/claims.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"table": "claims"},
        ),
    log:
        "logs/evaluate_claims/claims.log",
    benchmark:
        "logs/evaluate_claims/claims.tsv"
    group:
        "paper"
    conda:
        ENVIRONMENT
    params:
        study=whole_study,
        claims=claims_digest(),
        code=code("claims.claims"),
    shell:
        """
        deadtokens claims --study={params.study:q} \
            --results results \
            --output {output.csv:q} \
            --json {output.json:q} \
            --log {log:q}
        """
