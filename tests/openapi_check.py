#!/usr/bin/env python3
"""Check the server against its own description: schemathesis makes requests out of /openapi.json, valid ones and others.

usage: python tests/openapi_check.py [--seconds 120]

Packages: tests/api-requirements.txt. No answer may be a failure of the server, and each must have a status, a content
type and a body that the description allows. schemathesis also imports this file, for its hooks. Exit code: that of
schemathesis."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Pythons enough that sessions get to start, and gone soon enough that others do.
SETTINGS = """
[limits]
sessions_max = 24
[agent]
idle_seconds = 2.0
sessions_per_key_max = 200
"""


def main():
    from agent_server import Server

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args()
    with Server(settings=SETTINGS, options=["--preimport=", "--cell-seconds", "2"]) as server:
        status, session = server.ask("POST", "/v1/agent/sessions", {"title": "of the check"})
        assert status == 201, session
        assert server.ask("PUT", f"/v1/agent/sessions/{session['id']}/files/data.txt", b"content")[0] == 201
        command = [Path(sys.executable).with_name("schemathesis"), "run", server.url + "/openapi.json"]
        command += ["--header", f"Authorization: Bearer {server.key}", "--checks", CHECKS, "--seed", 1, "--workers", 2]
        command += ["--max-time", options.seconds, "--request-timeout", 30, "--continue-on-failure"]
        command += ["--phases", "examples,fuzzing", "--suppress-health-check", "all", "--warnings", "off"]
        environment = os.environ | {"SCHEMATHESIS_HOOKS": "openapi_check", "PYTHONPATH": str(HERE)}
        environment |= {"CODEACT_SESSION": session["id"]}
        code = subprocess.run([str(part) for part in command], env=environment, cwd=server.folder.name).returncode
        status, after = server.ask("GET", "/ready")
        assert status == 200, after
    sys.exit(code)


if "CODEACT_SESSION" in os.environ:
    import schemathesis

    SESSION = os.environ["CODEACT_SESSION"]

    @schemathesis.hook
    def map_path_parameters(context, path_parameters):
        """Ids that are drawn name nothing; most are of the session that is there."""
        if path_parameters and "id" in path_parameters and len(str(path_parameters["id"])) == 32:
            path_parameters["id"] = SESSION
        return path_parameters

    @schemathesis.hook
    def map_query(context, query):
        """Readers that follow would wait for ever."""
        if context.operation.path.endswith("/events"):
            query = dict(query or {}) | {"follow": "false"}
        return query

    @schemathesis.hook
    def filter_case(context, case):
        """The session has to be there to the end."""
        return not (case.method.upper() == "DELETE" and (case.path_parameters or {}).get("id") == SESSION)


if __name__ == "__main__":
    main()
