"""The paper, and what the jobs took.

REQUIRED INPUTS:

    results/claims/claims.json
    the derived files and figures that the paper shows: see deadtokens.paper.sources
    workflow/paper/: the template

OUTPUTS:

    results/paper/paper.pdf, paper.json
    results/jobs/jobs.csv, jobs.html
"""


rule build_paper:
    """Write the paper: every number from a derived file, wording by what holds."""
    input:
        **reads(claims="results/claims/claims.json", files=paper_inputs),
        figures=ancient(paper_pictures()),
    output:
        **sealed(
            pdf=report(
                "results/paper/paper.pdf",
                caption="../report/paper.rst",
                category="Paper",
                labels={"document": "paper"},
            )
        ),
        json="results/paper/paper.json",
    log:
        "logs/build_paper/paper.log",
    benchmark:
        "logs/build_paper/paper.tsv"
    group:
        "paper"
    conda:
        ENVIRONMENT
    params:
        study=whole_study,
        template=template_folder,
        version=template_digest(),
        drawn=codes_of_paper_figures(),
        code=code("paper.paper"),
    shell:
        """
        deadtokens paper --study={params.study:q} \
            --results results \
            --claims {input.claims:q} \
            --template {params.template:q} \
            --output {output.pdf:q} \
            --log {log:q}
        """


rule collect_jobs:
    """Collect time and memory of every rule, when everything else is done."""
    input:
        **reads(paper="results/paper/paper.pdf"),
        figures=ancient(all_figures()),
        outcomes=ancient(all_outcomes()),
        films=ancient(all_animations()),
    output:
        csv="results/jobs/jobs.csv",
        html=report(
            "results/jobs/jobs.html",
            caption="../report/jobs.rst",
            category="Times and memory",
            labels={"table": "rules"},
        ),
    log:
        "logs/collect_jobs/jobs.log",
    benchmark:
        "logs/collect_jobs/jobs.tsv"
    group:
        "paper"
    conda:
        ENVIRONMENT
    params:
        code=code("jobs"),
    shell:
        """
        deadtokens jobs logs --output {output.csv:q} --log {log:q}
        """
