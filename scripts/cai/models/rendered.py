"""From the text that a template has made back to the conversation."""

from cai.models.templates import Message, Template


def read_back(text: str, template: Template) -> list[Message] | None:
    """The conversation whose rendering by the template is this text, or None if there is none.

    The text is a closed conversation, or a prompt that ends where an answer begins. Turns hold no
    mark of the template (:func:`cai.data.dialogues.refuse_marks`), so each ends at the first one.
    What is returned gives the same text again.
    """
    before_user, after_user = template.user.split("{content}")
    messages, rest = _system_turn(text, template, before_user)
    before_answer, after_answer = template.assistant.split("{content}")
    answer_begins = after_user + before_answer
    next_begins = after_answer + template.between + before_user
    while answer_begins and next_begins:
        question, found, rest = rest.partition(answer_begins)
        if not found:  # a prompt, whose last spaces are left off
            question = question.removesuffix(answer_begins.rstrip(" "))
        messages.append({"role": "user", "content": question})
        if not rest:
            break
        answer, found, rest = rest.partition(next_begins)
        if not found:
            answer = answer.removesuffix(after_answer + template.close)
        messages.append({"role": "assistant", "content": answer})
        if not found:
            break
    return messages if messages and _rendered(messages, template) == text else None


def _system_turn(text: str, template: Template, before_user: str) -> tuple[list[Message], str]:
    """The system's turn, unless it is empty, and what follows the beginning of the user's."""
    if not template.system:
        return [], text.removeprefix(before_user)
    before, after = template.system.split("{content}")
    content, _, rest = text.removeprefix(before).partition(after + before_user)
    messages: list[Message] = [{"role": "system", "content": content}] if content else []
    return messages, rest


def _rendered(messages: list[Message], template: Template) -> str:
    is_closed = messages[-1]["role"] == "assistant"
    return template.closed(messages) if is_closed else template.prompt(messages)
