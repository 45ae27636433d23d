"""What the task demo_choices asks: a request, a better and a worse answer to it."""

from typing import Any

HUMAN, ASSISTANT = "\n\nHuman: ", "\n\nAssistant: "


def pairs(rows: Any) -> Any:
    """The request and both answers of each dialogue, of a dataset of the Hugging Face library."""
    return rows.map(_pair)


def _pair(row: dict[str, str]) -> dict[str, str]:
    request, _, better = row["text_correct"].removeprefix(HUMAN).partition(ASSISTANT)
    return {
        "request": request,
        "better": better,
        "worse": row["text_incorrect"].partition(ASSISTANT)[2],
    }
