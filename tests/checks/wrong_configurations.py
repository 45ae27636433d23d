"""Wrong configurations, as users have written them: what each is, and what is told of it.

Each lies over the demo's configuration, or over that of Mistral-7B on the cluster, and has one
mistake. What is told is one line with the file, the field, what was found and what is accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Wrong:
    """A configuration with a mistake.

    Attributes:
        name: of the test.
        told: what the line must hold, in this order.
        change: fields that lie over the configuration, as YAML text or as a mapping; {} none.
        over: the configuration below it: ``demo`` or ``mistral``.
        config: what ``--config`` gives.
        files: further files of the run's folder by their names, which stand as {here}/NAME.
        rules: resources that the slurm profile gives rules, in place of its own.
    """

    name: str
    told: tuple[str, ...]
    change: Any = field(default_factory=dict)
    over: str = "demo"
    config: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)


def wrong(name: str, value: Any, *told: str, at: str = "", **more: Any) -> Wrong:
    """One field with a wrong value; the line names it (or the section ``at``) and its file."""
    change = value
    for part in reversed(name.split(".")):
        change = {part: change}
    return Wrong(f"{name}={str(value)[:40]}", ("overlay.yaml: ", at or name, *told), change, **more)


def override(program: str, key: str, value: Any, *told: str, **more: Any) -> Wrong:
    """One override of NeMo."""
    change = {"nemo": {"overrides": {program: {key: value}}}}
    where = ("overlay.yaml: ", f"nemo.overrides.{program}: ")
    return Wrong(f"{program} {key}={value}", (*where, *told), change, **more)


def constitution(name: str, text: str, *told: str) -> Wrong:
    """A constitution of this text."""
    here = {"constitution": "{here}/constitution.yaml"}
    files = {"constitution.yaml": text}
    return Wrong(f"constitution {name}", ("constitution.yaml", *told), here, files=files)


def few_shot(name: str, text: str, *told: str) -> Wrong:
    """Few-shot dialogues of this text."""
    here = {"few_shot": "{here}/few_shot.yaml"}
    return Wrong(f"few_shot {name}", ("few_shot.yaml", *told), here, files={"few_shot.yaml": text})


def model(name: str, config: str, *told: str, **files: str) -> Wrong:
    """A local model whose config.json has this text."""
    change = {"models": {"base": {"source": "{here}/model/"}}}
    files = {"model/config.json": config, "model/tokenizer.model": "x", **files}
    return Wrong(f"model {name}", ("model/config.json", *told), change, files=files)


def given(rule: str, resources: dict[str, Any], *told: str, **more: Any) -> Wrong:
    """A rule's resources in the profile."""
    name = ", ".join(f"{key}={value}" for key, value in resources.items())
    return Wrong(
        f"{rule}: {name}", ("profile", rule, *told), {}, "mistral", rules={rule: resources}, **more
    )


def experiment(name: str, text: str, *told: str) -> Wrong:
    """An experiment of this text."""
    return Wrong(
        f"experiment {name}",
        ("config/experiments/mine.yaml", *told),
        config=("experiment=mine",),
        files={"config/experiments/mine.yaml": text},
    )


TURNS = "[{role: user, content: a}, {role: assistant, content: b}, {role: user, content: c}, "
MISTRAL_CONFIG = (
    '{"model_type": "mistral", "hidden_size": 128, "num_hidden_layers": 4, '
    '"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 352, '
    '"vocab_size": 768, "max_position_embeddings": 512}'
)

CASES = [
    # ------------------------------------------------------------------ values of single fields
    wrong("seed", 5_000_000_000, "4294967295", "found 5000000000"),
    wrong("seed", -1, "0", "found -1"),
    wrong("seed", 1.5, "integer", "found 1.5"),
    wrong("seed", True, "integer", "found 'true'"),
    wrong("results", "", "accepted", "found ''"),
    wrong("results", " ", "accepted", "found ' '"),
    wrong("results", "/", "accepted", "found '/'"),
    *(
        wrong("results", name, "accepted", f"the project's own files in {own},")
        for name, own in (
            *(("config", "config"), ("./demo", "demo"), ("scripts/x", "scripts")),
            *(("results/../docs", "docs"), (".git", ".git")),
        )
    ),
    wrong("results", "x" * 300, "accepted: the name of a folder", "file name too long"),
    Wrong("a constitution's long name", ("xxx: File name too long",), {"constitution": "x" * 300}),
    wrong("results", "Snakefile", "accepted", "Snakefile is a file"),
    wrong("results", "a\nb", "accepted", "found 'a\\nb'"),
    wrong("constitution", "", "1 character", "found ''"),
    wrong("few_shot", "", "1 character", "found ''"),
    Wrong(
        "more shards than prompts",
        ("overlay.yaml: shards", "found 999", "accepted: up to 7"),
        {"shards": 999, "datasets": {"test_fraction": 0.5}},
    ),
    wrong("results", 5, "string", "found 5"),
    wrong("shards", 0, "1", "found 0"),
    wrong("shards", 100_000, "1000", "found 100000"),
    wrong("shards", "two", "integer", "found 'two'"),
    Wrong("shards null", ("overlay.yaml: shards: ", "found None"), "shards: null"),
    Wrong(
        "an unknown field",
        ("overlay.yaml: supervized", "did you mean 'supervised'"),
        "supervized: {}",
    ),
    Wrong(
        "an unknown field within",
        ("overlay.yaml: supervised.roundz", "did you mean 'rounds'"),
        {"supervised": {"roundz": 2}},
    ),
    wrong("supervised.rounds", 0, "1", "found 0"),
    wrong("supervised.rounds", 2_000_000, "found 2000000"),
    wrong("supervised.helpful_ratio", float("inf"), "finite", "found inf"),
    wrong("supervised.helpful_ratio", float("nan"), "found nan"),
    wrong("supervised.helpful_ratio", -1, "0", "found -1"),
    wrong("supervised.train_on", "last", "'final' or 'all'", "found 'last'"),
    wrong("supervised.validation_size", 0, "1", "found 0"),
    wrong("supervised.validation_size", 23, "24", "found 23"),
    wrong("supervised.validation_size", 1_000_000, "found 1000000"),
    wrong("supervised.response", None, "found None"),
    wrong("supervised.response.temperature", 0, "greater than 0", "found 0"),
    wrong("supervised.response.top_p", 1.5, "1", "found 1.5"),
    wrong("supervised.response.top_k", -1, "0", "found -1"),
    wrong("supervised.response.max_tokens", 512, "512", "lengths.context"),
    wrong("supervised.response.repetition_penalty", float("inf"), "finite", "found inf"),
    Wrong(
        "min_tokens above max_tokens",
        ("overlay.yaml: supervised.response", "min_tokens", "max_tokens (44)", "found 45"),
        {"supervised": {"response": {"min_tokens": 45}}},
    ),
    wrong("supervised.critique.max_tokens", 512, "found 512", "lengths.context (512)"),
    wrong("preferences.temperatures", [1.0], "2"),
    wrong("preferences.temperatures", [1.0, -1.0], "0", "found -1.0"),
    wrong("preferences.temperatures", [1.0, float("inf")], "found inf"),
    wrong("preferences.temperatures", [1.0] * 27, "at most 26"),
    wrong("preferences.judge", "mixtral", "'logprob', 'chat'", "found 'mixtral'"),
    Wrong(
        "no settings of the judge",
        ("overlay.yaml: preferences.judge", "preferences.judges.chat"),
        {"preferences": {"judge": "chat", "judges": {"chat": None}}},
    ),
    wrong("preferences.draws", 0, "1", "found 0"),
    wrong("preferences.helpful_ratio", float("inf"), "finite", "found inf"),
    wrong("preferences.helpful_prompt_ratio", float("nan"), "found nan"),
    wrong("preferences.candidate.max_tokens", 128, "found 128", "lengths.rl (72)"),
    wrong(
        "preferences.candidate.greedy", True, "greedy: true", "accepted", at="preferences.candidate"
    ),
    wrong("preferences.judges.logprob.question", "Which? {a} {b} {principle}", "{prompt}"),
    wrong("preferences.judges.logprob.pairs", 0, "1", "found 0"),
    wrong(
        "preferences.judges.logprob.samples",
        2,
        "samples must be 1",
        "found 2",
        at="preferences.judges.logprob",
    ),
    Wrong(
        "a judge's whole constitution and several principles",
        ("overlay.yaml: preferences.judges.logprob", "principles_per_comparison", "found 4"),
        {
            "preferences": {
                "judges": {"logprob": {"constitution": "whole", "principles_per_comparison": 4}}
            }
        },
    ),
    *(
        wrong("preferences.judges.chat.url", url, "http", f"found '{url}'", over="mistral")
        for url in ("localhost:8000/v1", "ftp://judge/v1", "http://", "")
    ),
    *(
        wrong("preferences.judges.chat.url", url, f"nothing is filled in ({part})", over="mistral")
        for url, part in (
            ("https://$HOST/v1", "$HOST"),
            ("https://{host}/v1", "{host}"),
            ("https://${HOST}/v1", "${HOST}"),
            ("https://<your-host>/v1", "<your-host>"),
            ("https://h/{name}/v1", "{name}"),
        )
    ),
    *(
        wrong("preferences.judges.chat.model", name, "without spaces", over="mistral")
        for name in (" ", "a ", "a\nb")
    ),
    wrong(
        "preferences.judges.chat.key_variable",
        "gsk_0123456789abcdefghij",
        "key_variable must be the name",
        at="preferences.judges.chat",
        over="mistral",
    ),
    wrong("preferences.judges.chat.model", "", "1 character", over="mistral"),
    wrong("preferences.judges.chat.orders", 3, "1 or 2", "found 3", over="mistral"),
    wrong("preferences.judges.chat.client.timeout", 0, "0", "found 0", over="mistral"),
    wrong("preferences.judges.chat.client.timeout", float("inf"), "found inf", over="mistral"),
    wrong("lengths.answer", 99, "answer (99)", "rl (72)", at="lengths"),
    wrong("lengths.sft", 8, "16", "found 8"),
    wrong("lengths.sft", 4096, "found 4096", "512"),
    wrong("lengths.context", 1024, "found 1024", "512"),
    wrong("evaluation.answer.max_tokens", 128, "found 128", "lengths.rl (72)"),
    wrong("evaluation.limit", 0, "1", "found 0"),
    wrong("evaluation.classifier", "nowhere.py", "nowhere.py", "no such file"),
    wrong("evaluation.classifier", "demo", "found demo, a folder", "accepted: a Python file"),
    wrong(
        "evaluation.classifier",
        "{here}/score.py",
        "score: found score(prompt, answer)",
        "score(prompt, answer, finished)",
        files={"score.py": "def score(prompt, answer): return {}"},
    ),
    wrong("models.instruct.vocabulary", "demo", "found demo, a folder", "accepted: a text"),
    wrong("models.base.source", "./Snakefile", "found a file", "accepted: a Hugging Face folder"),
    wrong("evaluation.harness_tasks", "demo/harness", "found 'demo/harness'", at="evaluation"),
    wrong("evaluation.harness_limit", 5, "found 5", "null", at="evaluation"),
    wrong("client.batch_size", 500, "128", "found 500"),
    wrong("client.timeout", 0, "0", "found 0"),
    wrong("client.timeout", float("inf"), "finite", "found inf"),
    wrong("client.eos", "", "1 character"),
    wrong("server.kind", "vllm", "'nemo' or 'openai'", "found 'vllm'"),
    wrong(
        "server.command",
        ["vllm", "MODEL", "FREE_PORT"],
        "command: found ['vllm', 'MODEL', 'FREE_PORT'] with kind nemo",
        "accepted: kind openai",
        at="server",
    ),
    wrong("server.kind", "openai", "MODEL and FREE_PORT", "found []", at="server"),
    wrong("estimates.flops", 0, "0", "found 0"),
    wrong(
        "estimates.jobs",
        {"sl_cia": 3},
        "sl_cia: no rule of this name; did you mean sl_cai?",
    ),
    wrong("estimates.jobs.sl_cai", -1, "0", "found -1"),
    wrong("nemo.python", "", "1 character"),
    # ------------------------------------------------------------------ data
    wrong("datasets.red_team.source", "nowhere.jsonl", "nowhere.jsonl", "no such file"),
    *(
        wrong(
            "datasets.red_team.source",
            address,
            f"found '{address}', an address",
            "accepted: files of this machine",
            at="datasets.red_team",
        )
        for address in ("https://h/x.jsonl", "s3://bucket/x.jsonl", "hf://datasets/a/b")
    ),
    wrong("datasets.red_team.source", "a/b", "a/b", "revision", at="datasets.red_team"),
    wrong("datasets.red_team.source", "a//b", "a//b", "owner/name", at="datasets.red_team"),
    wrong("datasets.red_team.source", "./Snakefile", "Snakefile", "accepted", ".jsonl"),
    wrong("datasets.red_team.source", "./demo/data", "demo/data"),
    wrong("datasets.red_team", None, "found None"),
    wrong("datasets.red_team", "demo/data/red_team.jsonl", "found 'demo/data/red_team.jsonl'"),
    wrong(
        "datasets.red_team.source",
        "{here}/empty.jsonl",
        "empty.jsonl",
        "no records",
        files={"empty.jsonl": ""},
    ),
    wrong(
        "datasets.helpful_sft.source", "github:a/b/c.jsonl", "revision", at="datasets.helpful_sft"
    ),
    wrong("datasets.helpful_preferences", [], "at least 1 item"),
    wrong("datasets.test_fraction", 1.0, "less than 1", "found 1"),
    wrong("datasets.test_fraction", 0.999, "found 0.999", "up to 0.5", over="mistral"),
    wrong("datasets.test_fraction", 1.0e-9, "found 1e-09", "at least 2.6e-05", over="mistral"),
    wrong("datasets.limit", 0, "1", "found 0"),
    wrong("datasets.limit", 3, "found 3"),
    wrong("datasets.max_bad_share", 2, "1", "found 2"),
    wrong("evaluation.helpful.source", "nowhere.jsonl", "nowhere.jsonl", "no such file"),
    wrong("evaluations.xstest.source", "nowhere.csv", "nowhere.csv", "no such file"),
    Wrong(
        "a rubric whose grades are one",
        ("rubric.yaml", "scales", "grades", "at least 2 items"),
        {"evaluations": {"rubric": "{here}/rubric.yaml"}},
        files={
            "rubric.yaml": "scales: [{id: a, question: '{prompt} {answer} {grades}', grades: "
            "[{id: b, text: c}]}]"
        },
    ),
    wrong("evaluations.samples", 1, "2", "found 1"),
    wrong("evaluations.unsupported", {"xtest": "why"}, "xtest", "accepted"),
    wrong("paper.harmfulness.ratings.source", "nowhere.jsonl", "nowhere.jsonl", "no such file"),
    # ------------------------------------------------------------------ models
    wrong("models.base.source", "nowhere/", "nowhere/", "no such folder"),
    wrong("models.base.source", "a/b", "revision", "a/b", at="models.base"),
    wrong("models.base.source", "https://host/a/b", "host", "owner/name", at="models.base"),
    wrong("models.base.source", "my model", "my model", "slash at its end", at="models.base"),
    wrong("models.instruct.template.user", "Q: ", "{content} exactly once", "found 'Q: '"),
    wrong(
        "models.instruct.template.user",
        "[INST] {{content}} [/INST]",
        "{content} exactly once, with single braces",
        "found '[INST] {{content}} [/INST]'",
    ),
    wrong("models.instruct.template.system", "<s>", "{content} exactly once", "found '<s>'"),
    wrong("models.instruct.template.stop", [], "at least 1 item"),
    wrong("models.instruct.template.stop", ["<x>"], "found ['<x>']", "accepted"),
    wrong("models.base.template.user", "Q: {content}\n", "NeMo's SFT trains on", "found"),
    wrong(
        "models.base.shape",
        {"hidden": 8, "layers": 2, "heads": 3, "kv_heads": 2, "ffn": 8, "vocab": 8, "context": 8},
        "multiple of kv_heads",
    ),
    Wrong(
        "a shape that the model's files deny",
        ("overlay.yaml: models.base.shape.layers: found 31", "demo/models/base/config.json has 6"),
        {
            "models": {
                "base": {
                    "shape": {
                        "hidden": 128,
                        "layers": 31,
                        "heads": 4,
                        "kv_heads": 2,
                        "ffn": 352,
                        "vocab": 2048,
                        "context": 512,
                        "window": None,
                    }
                }
            }
        },
    ),
    Wrong(
        "models.instruct.template=auto",
        ("demo/models/instruct: template: auto: found no chat_template", "accepted: a model"),
        {"models": {"instruct": {"template": "auto"}}},
    ),
    model(
        "of another family",
        MISTRAL_CONFIG.replace("mistral", "gpt2"),
        "model_type",
        "found 'gpt2'",
        "'llama', 'mistral', 'qwen2'",
        "models that work",
        "Qwen2.5",
    ),
    model(
        "whose positions are scaled",
        MISTRAL_CONFIG[:-1] + ', "rope_scaling": {"type": "yarn"}}',
        "rope_scaling.rope_type",
        "found 'yarn'",
        "accepted: none",
    ),
    model(
        "with another head",
        MISTRAL_CONFIG[:-1] + ', "architectures": ["MistralModel"]}',
        "architectures",
        "found ['MistralModel']",
        "accepted: ['MistralForCausalLM']",
    ),
    model(
        "with a text for yes or no",
        MISTRAL_CONFIG[:-1] + ', "tie_word_embeddings": "false"}',
        "tie_word_embeddings",
        "found 'false'",
        "accepted: true or false",
    ),
    Wrong(
        "a tokenizer that is none",
        ("model/tokenizer.model: not a sentencepiece model",),
        {"models": {"base": {"source": "{here}/model/"}}},
        files={"model/config.json": MISTRAL_CONFIG, "model/tokenizer.model": "x"},
    ),
    model("whose file is no JSON", "{", "not JSON"),
    model("without sizes", '{"model_type": "mistral"}', "hidden_size"),
    model(
        "with a text for a size",
        MISTRAL_CONFIG.replace("128", '"wide"'),
        "hidden_size",
        "found 'wide'",
    ),
    Wrong(
        "a folder without a model",
        ("overlay.yaml: models.base.source: ", "model/", "config.json"),
        {"models": {"base": {"source": "{here}/model/"}}},
        files={"model/weights.bin": "x"},
    ),
    # ------------------------------------------------------------------ constitution, few-shot
    Wrong("no constitution", ("nowhere.yaml: no such file",), {"constitution": "nowhere.yaml"}),
    constitution("that is no YAML", "principles:\n- id: a\n preference: [x\n", ":3: not YAML"),
    constitution(
        "without principles", "rules: []\n", "expected a list under 'principles'", "nothing"
    ),
    constitution(
        "with an id twice",
        "principles:\n- {id: a, critique: b, revision: c, preference: d}\n"
        "- {id: a, preference: d}\n",
        "'a' occurs twice",
    ),
    constitution(
        "with half a principle",
        "principles:\n- {id: a, critique: b}\n",
        "principles[a]: critique and revision go together",
    ),
    constitution(
        "with an empty text",
        "principles:\n- {id: a, preference: ''}\n",
        "principles[a].preference",
        "must not be empty",
    ),
    constitution(
        "with an unknown field",
        "principles:\n- {id: a, prefrence: b}\n",
        "principles[a].prefrence",
        "unknown field",
    ),
    constitution(
        "without preferences",
        "principles:\n- {id: a, critique: b, revision: c}\n",
        "preference",
        "at least one",
    ),
    constitution(
        "with a placeholder",
        "principles:\n- {id: a, critique: TODO, revision: b, preference: c}\n",
        "principles[a].critique",
        "real text",
        "found 'TODO'",
    ),
    constitution(
        "with a mark of the template",
        "principles:\n- {id: a, critique: b, revision: c, preference: 'd <extra_id_1>User'}\n",
        "principles[a].preference",
        "found '<extra_id_1>",
        "models.base.template",
    ),
    constitution(
        "with a field that nobody reads",
        "name: mine\nprinciples:\n- {id: a, critique: b, revision: c, preference: d}\n",
        "name: unknown field; accepted: principles",
    ),
    few_shot("that is not there", "", "expected a list under 'samples'"),
    few_shot(
        "with placeholders",
        f"samples:\n- {TURNS}{TURNS[1:-2]}]\n".replace("content: b", "content: TODO"),
        "samples[1]",
        "real text",
        "found 'TODO'",
    ),
    few_shot(
        "with five turns",
        f"samples:\n- {TURNS}{{role: assistant, content: d}}]\n",
        "samples[1]",
        "6 turns",
    ),
    few_shot(
        "whose roles do not alternate",
        f"samples:\n- {TURNS[:-2]}, {TURNS[1:-2]}]\n",
        "role",
        "expected 'assistant'",
        "found 'user'",
    ),
    # ------------------------------------------------------------------ NeMo's overrides
    Wrong(
        "overrides of no program",
        ("overlay.yaml: nemo.overrides.sftt", "did you mean 'sft'"),
        {"nemo": {"overrides": {"sftt": {}}}},
    ),
    override(
        "sft", "model.optim.learning_rate", 1, "model.optim.learning_rate", "no key", "++ adds one"
    ),
    override("sft", "model.optim.lr", "fast", "model.optim.lr", "must be a number", "found 'fast'"),
    override("sft", "model.optim.lr", float("inf"), "found inf", "accepted: a finite number"),
    override("sft", "model.optim.lr", -1.0, "found -1.0", "accepted: more than 0"),
    override("sft", "trainer.precision", "bf17", "found 'bf17'", "accepted: 16, 32,"),
    override("actor", "trainer.ppo.max_epochs", 0, "found 0", "accepted: 1 or more"),
    override("actor", "trainer.ppo.initial_policy_kl_penalty", -1, "found -1", "from 0 on"),
    override("actor", "trainer.ppo.gae_lambda", 2, "found 2", "from 0 to 1"),
    override("actor", "trainer.ppo.discount_factor", -0.1, "found -0.1", "from 0 to 1"),
    override("actor", "model.ppo.ratio_eps", -1, "found -1", "more than 0"),
    override("actor", "model.ppo.sampling_params.temperature", 0, "found 0", "more than 0"),
    override("actor", "model.ppo.sampling_params.temperature", -1, "found -1", "more than 0"),
    override("actor", "model.ppo.sampling_params.top_p", 5, "found 5", "from 0 to 1"),
    override("critic", "trainer.ppo.inference_micro_batch_size", 0, "found 0", "above 0"),
    override("critic", "trainer.ppo.inference_micro_batch_size", [4, 0], "found [4, 0]", "list"),
    override("sft", "++trainer.sft.limit_train_batches", 0, "found 0", "1 or more, or a share"),
    override("sft", "trainer.sft.limit_val_batches", -1, "found -1", "from 0 on"),
    override("sft", "trainer.sft.max_epochs", 1.5, "found 1.5", "a whole number"),
    override("sft", "trainer.sft.max_steps", -2, "found -2", "or -1"),
    override("sft", "trainer.sft.val_check_interval", 0, "found 0", "more than 0"),
    override("sft", "trainer.sft.save_interval", 0, "found 0", "above 0"),
    override("sft", "trainer.sft.gradient_clip_val", -1, "found -1", "0 for none"),
    override("sft", "trainer.accelerator", "gpuu", "found 'gpuu'", "gpu, cuda, cpu, auto"),
    override("sft", "model.optim.name", "adamww", "found 'adamww'", "adamw"),
    override("sft", "model.optim.sched.name", "Cosine", "found 'Cosine'", "CosineAnnealing"),
    override("sft", "model.optim.sched.warmup_steps", -3, "found -3", "from 0 on"),
    override("sft", "model.optim", {"weight_decay": -1}, "weight_decay: found -1", "from 0 on"),
    override("sft", "model.optim.betas", [0.9], "found [0.9]", "a list of two numbers"),
    override("sft", "model.optim.betas", "x", "found 'x'", "a list of two numbers"),
    override("sft", "model.optim.weight_decay", -1, "found -1", "from 0 on"),
    override("sft", "model.optim.lr", "???", "found '???'", "stands for no value"),
    override("sft", "model.optim.lr", "${oc.env:HOME}", "a number", "found '${oc.env:HOME}'"),
    override(
        "sft", "model.optim.lr", 1.0e-7, "found 1e-07", "at least", "model.optim.sched.min_lr"
    ),
    override(
        "sft", "exp_manager.checkpoint_callback_params.save_top_k", -2, "found -2", "-1 (all)"
    ),
    override(
        "reward_model", "model.reward_model_type", "regresion", "'regresion'", "binary_ranking"
    ),
    override("server", "web_port", 99999, "found 99999", "from 1 to 65535"),
    Wrong(
        "a value of the paper's reward model",
        ("overlay.yaml: paper.reward_model", "weight_decay: found -1", "from 0 on"),
        {"paper": {"reward_model": {"model.optim.weight_decay": -1}}},
    ),
    override("sft", "trainer.devices", 8, "found 8", "accepted: none, it comes from the profile"),
    override("sft", "exp_manager.name", "my_run", "found 'my_run'", "none, the workflow sets it"),
    override("sft", "++exp_manager.name", "my_run", "found 'my_run'", "none, the workflow sets it"),
    override("sft", "exp_manager.name", "null", "found 'null'", "none, the workflow sets it"),
    override("sft", "exp_manager", {"name": "x"}, "exp_manager.name: found 'x'", "accepted: none"),
    override("sft", "~exp_manager", True, "~exp_manager: found True", "accepted: none"),
    override("sft", "exp_manager.explicit_log_dir", "/tmp/x", "found '/tmp/x'", "accepted: none"),
    override(
        "sft",
        "exp_manager.checkpoint_callback_params.save_nemo_on_train_end",
        False,
        "found False",
        "accepted: none",
    ),
    override(
        "sft",
        "++exp_manager.checkpoint_callback_params.dirpath",
        "/tmp",
        "found '/tmp'",
        "accepted: none",
    ),
    override("sft", "exp_manager.resume_if_exists", False, "found False", "accepted: none"),
    override("sft", "model.data.chat", False, "found False", "accepted: none"),
    override("sft", "model.data.train_ds.file_path", "a.jsonl", "found 'a.jsonl'", "none"),
    override("server", "server", False, "found False", "accepted: none"),
    override("server", "port", 5555, "found 5555", "accepted: none"),
    override("instruct_server", "port", 5555, "found 5555", "accepted: none"),
    override("reward_server", "inference.port", 1234, "found 1234", "accepted: none"),
    override("critic", "trainer.ppo.port", 1234, "found 1234", "accepted: none"),
    override("critic", "trainer.ppo.combine_rm_and_critic_server", False, "found False", "none"),
    override("actor", "remote_critic_rm.critic.ip", "host", "found 'host'", "accepted: none"),
    override("actor", "remote_critic_rm.critic.port", 1234, "found 1234", "accepted: none"),
    override(
        "actor", "model.ppo.length_params.max_length", 5, "found 5", "it comes from lengths.answer"
    ),
    override(
        "actor",
        "model.ppo.sampling_params.end_strings",
        ["x"],
        "found ['x']",
        "it comes from models.base.template.stop",
    ),
    override(
        "dpo", "model.dpo.preference_loss", "x", "found 'x'", "it comes from dpo.preference_loss"
    ),
    override("dpo", "model.dpo.ref_policy_kl_penalty", -1, "found -1", "it comes from dpo.beta"),
    Wrong(
        "a name of the paper's reward model",
        ("paper.reward_model: exp_manager.name: found 'x'", "accepted: none"),
        {"paper": {"reward_model": {"exp_manager.name": "x"}}},
    ),
    override("sft", "model.data.train_ds.micro_batch_size", 0, "found 0", "a whole number above 0"),
    override("sft", "model.data.train_ds.global_batch_size", 25, "found 25", "multiples of 24"),
    override("sft", "trainer.sft.save_interval", 81, "found 81", "multiples of"),
    override("actor", "model.ppo.num_val_samples", 33, "found 33", "multiples of 32"),
    override("actor", "trainer.ppo.max_step", 3, "trainer.ppo.max_step", "no key", "did you mean"),
    override("reward_model", "model.seqlen", 3, "model.seqlen", "no key"),
    Wrong(
        "a text for overrides",
        ("overlay.yaml: nemo.overrides.sft", "dictionary"),
        {"nemo": {"overrides": {"sft": "x"}}},
    ),
    Wrong(
        "an override of the paper's reward model",
        ("overlay.yaml: paper.reward_model", "trainer.rm.max_step"),
        {"paper": {"reward_model": {"trainer.rm.max_step": 4}}},
    ),
    wrong("paper.snapshots.steps", [4, 2], "ascending"),
    Wrong(
        "snapshots between saves",
        ("overlay.yaml: paper.snapshots.steps", "multiples of", "found"),
        {"paper": {"snapshots": {"during_run": True, "steps": [9, 12]}}},
    ),
    wrong("paper.revisions.principles", [], "at least 1 item"),
    # ------------------------------------------------------------------ resources of a profile
    given("responses", {"gres": "gpus:8"}, "gres", "gpu:N", "found gpus:8"),
    given("responses", {"gres": "gpu:0"}, "gres", "gpu:0"),
    given("sl_cai", {"gres": None}, "needs gres", "found none"),
    given("sl_cai", {"launcher": "docker"}, "launcher", "'pyxis'", "found 'docker'"),
    Wrong(
        "a launcher without its container",
        ("profile: ", "launcher pyxis needs a container"),
        over="mistral",
        rules={"sl_cai": {"container": None}},
    ),
    given("sl_cai", {"mpi": None}, "needs mpi: srun"),
    given("sl_cai", {"environment": "FAST"}, "environment", "NAME=VALUE"),
    given("sl_cai", {"node_address": "{host}"}, "node_address", "{node}"),
    given("sl_cai", {"nodes": "many"}, "nodes", "found 'many'"),
    given("sl_cai", {"runtime": "long"}, "runtime", "'long'"),
    given("sl_cai", {"gpu_memory_gb": "80G"}, "gpu_memory_gb", "found '80G'"),
    wrong("few_shot", "demo", "found demo, a folder", "accepted"),
    wrong("constitution", "demo", "found demo, a folder", "accepted"),
    given("sl_cai", {"gpu_memroy_gb": 40}, "found gpu_memroy_gb", "accepted: gpu_memory_gb"),
    given("rl_cai", {"critic_node": 1}, "found critic_node", "accepted: critic_nodes"),
    given("sl_cai", {"stop_before": 2000}, "stop_before", "found 2000", "1440"),
    Wrong(
        "nodes that share no batch",
        (
            "nemo.overrides.reward_model: ",
            "found 512",
            "multiples of 24",
            "profile: rule reward_model: 3 x 8 GPUs",
        ),
        over="mistral",
        rules={"reward_model": {"nodes": 3}},
    ),
    given("rl_cai", {"critic_nodes": 2}, "critic_nodes", "from 1 to 1", "found 2"),
    given("rl_cai", {"nodes": 1, "critic_gpus": 8}, "critic_gpus", "from 1 to 7", "found 8"),
    given("preferences", {"gres": "gpu:8"}, "found gres gpu:8", "needs no GPU"),
    given("rl_cia", {"mem_mb": 5}, "no rule", "did you mean rl_cai"),
    # ------------------------------------------------------------------ experiments
    Wrong(
        "an experiment that is not there",
        ("--config: experiment: ", "nowhere", "there are"),
        config=("experiment=nowhere",),
    ),
    Wrong(
        "a name that no experiment may have",
        ("--config: experiment: found 'a--b'", "accepted: letters"),
        config=("experiment=a--b",),
    ),
    Wrong(
        "a comparison with nothing",
        ("--config: against: found no ", "nowhere", "there are"),
        config=("against=nowhere",),
    ),
    experiment("that is no YAML", "seed: [1\n", ":2", "not YAML"),
    experiment("that is a list", "- 1\n", "expected fields", "list"),
    experiment("with results", "results: x\n", "results"),
    experiment("with an unknown field", "sed: 1\n", "sed", "did you mean 'seed'"),
    experiment("with a wrong value", "shards: 0\n", "shards", "found 0"),
    experiment("that holds itself", "supervised: &x\n  response: *x\n", "itself"),
    experiment("with a field twice", "seed: 1\nseed: 2\n", "twice"),
    # ------------------------------------------------------------------ --config
    Wrong(
        "--config with a field twice",
        ("--config: seed: found twice; accepted: once",),
        config=("seed=1", "seed=2"),
    ),
    Wrong(
        "--config with a field within twice",
        ("--config: supervised: 'rounds' occurs twice",),
        config=("supervised={rounds: 1, rounds: 2}",),
    ),
    *(
        Wrong(
            f"--config experiment={name} that is not there",
            (f"--config: experiment: found no config/experiments/{name}/",),
            config=(f"experiment={name}",),
        )
        for name in ("2025_06_01", "007", "1e3", "true")
    ),
    Wrong(
        "--config of no experiment",
        ("--config: experiment: found ''", "accepted: letters"),
        config=("experiment=",),
    ),
    Wrong(
        "--config against nothing",
        ("--config: against: found ''", "accepted: letters"),
        config=("against=",),
    ),
    Wrong("--config of no results", ("--config: results: ", "found ''"), config=("results=",)),
    Wrong("--config seed=-1", ("--config: seed: ", "found -1"), config=("seed=-1",)),
    Wrong("--config seed=x", ("--config: seed: ", "found 'x'"), config=("seed=x",)),
    Wrong("--config sead=1", ("--config: sead: unknown field", "'seed'"), config=("sead=1",)),
    Wrong(
        "--config of a nested field",
        ("--config: supervised.rounds: ", "found '0'"),
        config=("supervised={rounds: 0}",),
    ),
    Wrong(
        "--config of an override",
        ("--config: nemo.overrides.sft: ", "model.optim.learning"),
        config=("nemo={overrides: {sft: {model.optim.learning: 3}}}",),
    ),
    # ------------------------------------------------------------------ the file itself
    Wrong(
        "an overlay that holds itself",
        ("overlay.yaml", "itself"),
        "supervised: &x\n  response: *x\n",
    ),
    Wrong(
        "an overlay with a field twice", ("overlay.yaml:2", "seed", "twice"), "seed: 1\nseed: 2\n"
    ),
    Wrong("an overlay that is no YAML", ("overlay.yaml:3: not YAML",), "seed: 1\nshards: [1\n"),
    Wrong("an overlay with tabs", ("overlay.yaml:2: not YAML",), "supervised:\n\trounds: 1\n"),
    Wrong("an overlay that is a list", ("overlay.yaml: expected fields", "found list"), "- 1\n"),
    Wrong("an empty overlay", ("overlay.yaml: expected fields", "found none"), "# nothing\n"),
    Wrong("--config without a value", ("--config: found 'seed'", "NAME=VALUE"), config=("seed",)),
    Wrong(
        "--config that swallows a target",
        ("--config: found 'results/demo/rl_cai.nemo'", "NAME=VALUE"),
        config=("seed=1", "results/demo/rl_cai.nemo"),
    ),
    Wrong("--config of a field within", ("--config: found 'a.b=1'",), config=("a.b=1",)),
]
