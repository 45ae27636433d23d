# What is known for certain of texts, for any figure, where the evaluation has a classifier.


use rule truth as paper_truth with:
    input:
        classifier=literal(settings.evaluation.classifier or []),
        answers="<results>/paper/{texts}.jsonl",
    output:
        data="<results>/paper/truth/{texts}.jsonl",
        ledger="<results>/paper/truth/{texts}.ledger.json",
    log:
        "<results>/logs/paper_truth/{texts}.log",
    localrule: True
    conda:
        "../../envs/controller.yaml"
