"""The tools of mcp_server.py over HTTP, for whoever sends the right header. Prints the port that it listens on."""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mcp_server import answer

SESSION = "s1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, kind="text/plain", content=b"", **fields):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(content), **fields}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        self.reply(405)

    def do_DELETE(self):
        self.reply(200)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("X-Secret") != "open sesame":
            return self.reply(401)
        if message.get("method") == "initialize":
            return self.say(message, kind="application/json", Mcp_Session_Id=SESSION)
        if self.headers.get("Mcp-Session-Id") != SESSION:
            return self.reply(400)
        if "id" not in message:
            return self.reply(202)
        is_call = message["method"] == "tools/call"
        if is_call and message["params"]["name"] == "die":
            return self.reply(500, content=b"broken")
        return self.say(message, kind="text/event-stream" if is_call else "application/json")

    def say(self, message, kind, **fields):
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)})
        if kind == "text/event-stream":
            text = f"event: message\ndata: {text}\n\n"
        self.reply(200, kind, text.encode(), **fields)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
sys.stdout.close()
server.serve_forever()
