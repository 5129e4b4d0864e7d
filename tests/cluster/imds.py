"""What answers a spot machine of EC2's: `python imds.py FILE` says what FILE holds, once it is.

It asks for a token as EC2 does where nothing older than IMDSv2 is answered.
"""

import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer

ADDRESS = "169.254.169.254"
TOKEN, TTL = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
NOTICE = Path(sys.argv[-1])


class Answers(BaseHTTPRequestHandler):
    """GET of the notice, PUT of a token."""

    def do_PUT(self):
        right = self.path == "/latest/api/token" and int(self.headers.get(TTL, 0)) > 0
        self._answer(200 if right else 400, "a token")

    def do_GET(self):
        if self.headers.get(TOKEN) != "a token":
            self._answer(401, "")
        elif self.path == "/latest/meta-data/spot/instance-action" and NOTICE.exists():
            self._answer(200, NOTICE.read_text())
        else:
            self._answer(404, "")

    def _answer(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())


# Not an HTTPServer, which looks its own name up before it listens, where no name server answers.
ThreadingTCPServer((ADDRESS, 80), Answers).serve_forever()
