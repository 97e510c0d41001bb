"""Texts and vocabularies: what the tokenizer and the model see, and which tokens are dead.

REQUIRED INPUTS:

    the pinned packages of envs/requirements.txt, or a text file named in the configuration

OUTPUTS:

    results/corpora/{corpus}/text.txt, corpus.json
    results/vocabularies/{vocabulary}/tokenizer.json, stream.nc, census.nc, census.csv
"""


rule read_corpus:
    """Read a text out of a pinned package or the user's file."""
    output:
        **sealed(text="results/corpora/{corpus}/text.txt"),
        about="results/corpora/{corpus}/corpus.json",
    log:
        "logs/read_corpus/{corpus}.log",
    benchmark:
        "logs/read_corpus/{corpus}.tsv"
    group:
        "texts"
    conda:
        ENVIRONMENT
    params:
        origin=corpus_arguments,
        code=code("text.corpus"),
    shell:
        """
        deadtokens corpus {params.origin:q} \
            --text {output.text:q} \
            --about {output.about:q} \
            --log {log:q}
        """


rule train_vocabulary:
    """Train a byte-level BPE vocabulary."""
    input:
        **reads(texts=tokenizer_texts),
    output:
        **sealed(tokenizer="results/vocabularies/{vocabulary}/tokenizer.json"),
    log:
        "logs/train_vocabulary/{vocabulary}.log",
    benchmark:
        "logs/train_vocabulary/{vocabulary}.tsv"
    group:
        "texts"
    conda:
        ENVIRONMENT
    params:
        size=lambda wildcards: study.vocabularies[wildcards.vocabulary].size,
        unused=lambda wildcards: study.vocabularies[wildcards.vocabulary].unused,
        code=code("text.vocabulary"),
    shell:
        """
        deadtokens vocabulary {input.texts:q} \
            --size {params.size} \
            --unused {params.unused} \
            --output {output.tokenizer:q} \
            --log {log:q}
        """


rule encode_stream:
    """Encode the training text as token ids."""
    input:
        **reads(
            tokenizer="results/vocabularies/{vocabulary}/tokenizer.json",
            text=training_text,
        ),
    output:
        **sealed(stream="results/vocabularies/{vocabulary}/stream.nc"),
    log:
        "logs/encode_stream/{vocabulary}.log",
    benchmark:
        "logs/encode_stream/{vocabulary}.tsv"
    group:
        "texts"
    conda:
        ENVIRONMENT
    params:
        code=code("text.stream"),
    shell:
        """
        deadtokens stream \
            --tokenizer {input.tokenizer:q} \
            --text {input.text:q} \
            --output {output.stream:q} \
            --log {log:q}
        """


rule take_census:
    """Count every token: which are dead, and why."""
    input:
        **reads(
            tokenizer="results/vocabularies/{vocabulary}/tokenizer.json",
            text=training_text,
            stream="results/vocabularies/{vocabulary}/stream.nc",
        ),
    output:
        **sealed(census="results/vocabularies/{vocabulary}/census.nc"),
        csv="results/vocabularies/{vocabulary}/census.csv",
    log:
        "logs/take_census/{vocabulary}.log",
    benchmark:
        "logs/take_census/{vocabulary}.tsv"
    group:
        "texts"
    conda:
        ENVIRONMENT
    params:
        code=code("text.census"),
    shell:
        """
        deadtokens census \
            --tokenizer {input.tokenizer:q} \
            --text {input.text:q} \
            --stream {input.stream:q} \
            --output {output.census:q} \
            --csv {output.csv:q} \
            --log {log:q}
        """
