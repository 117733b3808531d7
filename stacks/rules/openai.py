"""Rules of the OpenAI API, which a pod beside the server's answers."""

from collections.abc import Iterator

from ft_serving.core.protocol import InferenceProtocol
from stacks.errors import Problem
from stacks.sections import AccessMode, Model, Serving, StorageSettings, Tokenizer


def _protocol(serving: Serving) -> Iterator[Problem]:
    if serving.openai and serving.protocol is not InferenceProtocol.HTTP:
        yield Problem(
            "serving.openai",
            f"must be false with protocol {serving.protocol}, because the API asks the server over "
            "http and a service has one port",
            "true",
            "false, or serving.protocol http",
        )


def _volume(serving: Serving, storage: StorageSettings) -> Iterator[Problem]:
    if serving.openai and storage.access_mode is AccessMode.READ_WRITE_ONCE:
        yield Problem(
            "serving.openai",
            "must be false with a volume that only one node can mount, because the API's pod reads "
            "the release's tokenizer and may land on another node than the server",
            "true",
            "false, or storage.accessMode ReadWriteMany",
        )


def _tokenizer(serving: Serving, model: Model, tokenizer: Tokenizer | None) -> Iterator[Problem]:
    if not serving.openai or tokenizer is None:
        return
    given = (tokenizer.repository, tokenizer.revision)
    if given != (model.repository, model.revision):
        yield Problem(
            "tokenizer",
            "must be left out with serving.openai, which reads the tokenizer from the release, and "
            "that has the model's own",
            f"{tokenizer.repository}@{tokenizer.revision}",
            "no tokenizer, and a model.repository that has one; or serving.openai false",
        )


def _chat_template(serving: Serving) -> Iterator[Problem]:
    if serving.chat_template is not None and not serving.openai:
        rule = "must be left out without serving.openai, which is all that reads it"
        yield Problem(
            "serving.chatTemplate", rule, "one", "no chatTemplate, or serving.openai true"
        )


RULES = (_protocol, _volume, _tokenizer, _chat_template)
