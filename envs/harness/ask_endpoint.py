"""lm-evaluation-harness with one kind of model more: one at our endpoint, which scores texts, too.

Its ``local-chat-completions`` generates alone, and its ``local-completions`` cannot render the chat
template of a server. Tasks of both kinds are asked here in the model's own template: what is
generated as there, choices by the log-probabilities of their tokens. Run it as ``lm_eval``, with
``--model endpoint``.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import requests
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.registry import register_model
from lm_eval.models.openai_completions import LocalChatCompletion
from tqdm import tqdm

CHAT = "/v1/chat/completions"


@register_model("endpoint")
class Endpoint(LocalChatCompletion):
    """A model at an endpoint of ``scripts/serve.py``."""

    def loglikelihood(self, requests: Any, **_: object) -> list[tuple[float, bool]]:
        """The log-probability (nats) of each continuation.

        Whether it is the most probable one is not known: False.
        """
        asked = [request.args for request in requests]
        with ThreadPoolExecutor(self._concurrent) as pool:
            found = pool.map(lambda pair: self._score(*pair), asked)
            return [(score, False) for score in tqdm(found, "Requesting API", len(asked))]

    def _score(self, context: Any, continuation: str) -> float:
        """That of the whole text less that of what is before, both by the same model."""
        begun = self._rendered(context.prompt) if context else ""
        prompts = [text for text in (begun + continuation, begun) if text]
        scores = {"echo": True, "logprobs": 1, "max_tokens": 0}
        answer = self._post("/v1/completions", {"prompt": prompts, "model": self.model, **scores})
        sums = [
            sum(value for value in choice["logprobs"]["token_logprobs"] if value is not None)
            for choice in answer["choices"]
        ]
        return sums[0] - sum(sums[1:])

    @lru_cache(maxsize=4096)  # noqa: B019 - one object, as long as the program
    def _rendered(self, messages: str) -> str:
        return self._post("/apply-template", {"messages": json.loads(messages)})["prompt"]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        url = self.base_url.removesuffix(CHAT) + path
        answer = requests.post(url, json=body, timeout=self.timeout)
        if not answer.ok:
            raise RuntimeError(answer.json()["error"]["message"])
        return answer.json()


if __name__ == "__main__":
    cli_evaluate()
