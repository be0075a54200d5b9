"""A small MCP server over stdin and stdout for tests; the first argument says how it behaves."""
import json
import os
import subprocess
import sys

MODE = sys.argv[1] if len(sys.argv) > 1 else "good"


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def text(value, **more):
    return {"content": [{"type": "text", "text": value}], **more}


def tool(name, description, properties=None, required=(), **more):
    schema = {"type": "object", "properties": properties or {}, "required": list(required), "additionalProperties": False}
    return {"name": name, "description": description, "inputSchema": schema, **more}


NUMBER, TEXT = {"type": "number"}, {"type": "string"}
TOOLS = [
    tool("add", "Add two numbers.", {"a": NUMBER, "b": {"type": "number", "default": 1}}, ["a"],
         outputSchema={"type": "object", "properties": {"sum": NUMBER}}),
    tool("echo-arguments", "Say what came.", {"from": TEXT, "unit": {"enum": ["c", "f"]}}, ["from"]),
    tool("print", "Not the one of Python."),
    tool("fail", "Never works."),
    tool("picture", "Draw.", {"count": {"type": "integer"}}),
    tool("big", "Many letters.", {"bytes": {"type": "integer"}}, ["bytes"]),
    tool("die", "End the server."),
    tool("hang", "Never answer."),
    tool("variables", "Names and one value of the environment."),
    tool("spawn", "Start a process that outlives a careless host."),
]


def call(name, given):
    if name == "add":
        return text("see below", structuredContent={"sum": given["a"] + given["b"]})
    if name == "echo-arguments":
        return text(json.dumps(given, sort_keys=True))
    if name == "fail":
        return text("no luck \x1b[31mtoday", isError=True)
    if name == "picture":
        image = {"type": "image", "mimeType": "image/png", "data": "aGk="}
        return {"content": [{"type": "text", "text": "drawn"}] + [image] * given.get("count", 1)}
    if name == "big":
        return text("x" * given["bytes"])
    if name == "die":
        os._exit(3)
    if name == "variables":
        return text(" ".join(sorted(os.environ)) + " | " + os.environ.get("GIVEN", ""))
    if name == "spawn":
        return text(str(subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid))
    return text(f"{name} was called")


def page(cursor):
    if MODE == "many":
        start = int(cursor or 0)
        tools = [tool(f"tool_{index}", "One of many.") for index in range(start, start + 2000)]
        return {"tools": tools, "nextCursor": str(start + 2000)}
    if MODE == "endless":
        return {"tools": [], "nextCursor": "again"}
    if MODE == "broken":
        return {"tools": [{"name": 7}]}
    return {"tools": TOOLS}


def answer(message):
    method, given = message["method"], message.get("params") or {}
    if method == "initialize":
        about = {"name": "small", "version": "1"}
        return {"protocolVersion": given["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return page(given.get("cursor"))
    if method == "tools/call":
        return call(given["name"], given.get("arguments") or {})
    return {}


def main():
    if MODE == "silent":
        sys.stdin.read()
    if MODE == "quits":
        sys.exit("cannot find my files")
    if MODE == "flood":
        while True:
            sys.stdout.write("x" * 65536)
    for line in sys.stdin:
        message = json.loads(line)
        if MODE == "garbage":
            print("Hello! I am a server.\n\n{\"half\": \n[1, 2]\n\x00\xff\x1b[2J", flush=True)
        if "id" not in message or "method" not in message:
            continue
        if message["method"] == "tools/call" and message["params"]["name"] == "hang":
            continue
        send({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)})


if __name__ == "__main__":
    main()
