"""Is a description of an API valid OpenAPI, and is what a server answers what it describes?

Reads a JSON object from stdin: `document`, the description, and `exchanges`, a list of `method`, `path` (as the
description has it, with its placeholders), `status`, `type` (of the content) and `body` (JSON, or null).
Prints what is wrong, a line each; the exit code is 0 where nothing is.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator


def resolved(document, part):
    """The part itself where it is a reference."""
    while isinstance(part, dict) and "$ref" in part:
        found = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        part = found
    return part


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", path, operation


def incomplete(document):
    """What the specification leaves open, and those who read a description look for."""
    for name, path, operation in operations(document):
        declared = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"]
        for placeholder in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
            if placeholder not in declared:
                yield f"{name}: `{placeholder}` of the path is not declared"
        for status, response in operation["responses"].items():
            if not resolved(document, response).get("description"):
                yield f"{name}: {status} has no description"
        takes_token = {} not in operation.get("security", document.get("security", []))
        for status in ["401", "403", "429"] if takes_token else []:
            if status not in operation["responses"]:
                yield f"{name}: {status} is missing"
        if "requestBody" in operation and "400" not in operation["responses"]:
            yield f"{name}: 400 is missing"


def undescribed(document, exchange):
    """What of an answer is not as the description has it."""
    name = f"{exchange['method'].upper()} {exchange['path']}: {exchange['status']}"
    operation = document["paths"][exchange["path"]][exchange["method"]]
    if str(exchange["status"]) not in operation["responses"]:
        yield f"{name} is not described: {exchange['body']}"
        return
    content = resolved(document, operation["responses"][str(exchange["status"])]).get("content", {})
    if not content:
        if exchange["body"] is not None:
            yield f"{name} has a body that is not described"
        return
    kind = (exchange["type"] or "").split(";")[0]
    if kind not in content:
        yield f"{name} is of type `{kind}`, and described as {', '.join(content)}"
        return
    if kind.endswith("json"):
        schema = {**content[kind]["schema"], "components": document["components"]}
        for error in Draft202012Validator(schema).iter_errors(exchange["body"]):
            yield f"{name}: {error.json_path}: {error.message}"


def main():
    asked = json.load(sys.stdin)
    document = asked["document"]
    wrong = [str(error.message) for error in OpenAPIV31SpecValidator(document).iter_errors()]
    if not wrong:
        wrong += incomplete(document)
        for exchange in asked["exchanges"]:
            wrong += undescribed(document, exchange)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
