"""A git smart-HTTP server: Git's own `git http-backend` behind token checks.

Bare repositories live at ROOT/owner/name.git and are served at /owner/name.git. A push needs a
token (Basic with the token as password, or Bearer), and so does a fetch unless anonymous reading is
allowed.
"""
import base64
import os
import re
import subprocess
import tempfile
import threading
from urllib.parse import urlsplit

GIT_PATH = re.compile(r"^/(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+?)(?:\.git)?/(?P<rest>info/refs|git-upload-pack|git-receive-pack|HEAD|objects/.+)$")


def token_of(headers):
    """The token in an Authorization header, or None. Basic carries it as password (or as user)."""
    value = headers.get("Authorization", "")
    kind, _, rest = value.partition(" ")
    if kind.lower() in ("bearer", "token"):
        return rest.strip()
    if kind.lower() == "basic":
        try:
            user, _, password = base64.b64decode(rest).decode("utf-8").partition(":")
        except ValueError:
            return None
        return password if password and password != "x-oauth-basic" else user
    return None


def read_body(handler, spool):
    """Copy the request body, whether it came with a length or in chunks, into a file."""
    if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
        while True:
            size = int(handler.rfile.readline().split(b";")[0], 16)
            if size == 0:
                while handler.rfile.readline() not in (b"\r\n", b"\n", b""):
                    pass
                break
            spool.write(handler.rfile.read(size))
            handler.rfile.readline()
    else:
        left = int(handler.headers.get("Content-Length") or 0)
        while left > 0:
            part = handler.rfile.read(min(left, 1 << 16))
            if not part:
                break
            spool.write(part)
            left -= len(part)
    spool.seek(0)


def git(cwd, *args, stdin=None, check=True):
    done = subprocess.run(["git", "-C", cwd, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode:
        raise RuntimeError("git %s: %s" % (" ".join(args), done.stderr.decode(errors="replace")))
    return done.stdout


class GitBackend:
    def __init__(self, root, tokens, anonymous_read=False, on_push=None):
        self.root, self.tokens, self.anonymous_read = os.path.abspath(root), tokens, anonymous_read
        self.on_push = on_push
        self.pushes = []
        self.lock = threading.Lock()
        os.makedirs(self.root, exist_ok=True)

    def path(self, owner, repo):
        return os.path.join(self.root, owner, repo + ".git")

    def create(self, owner, repo, default="main"):
        path = self.path(owner, repo)
        if not os.path.isdir(path):
            os.makedirs(path)
            git(path, "init", "-q", "--bare", "-b", default)
            git(path, "config", "http.receivepack", "true")
            git(path, "config", "uploadpack.allowAnySHA1InWant", "true")
        return path

    def handle(self, handler, match):
        """Serve one request. After a push, on_push runs before the client is answered."""
        url = urlsplit(handler.path)
        owner, repo, rest = match["owner"], match["repo"], match["rest"]
        writes = rest == "git-receive-pack" or "service=git-receive-pack" in url.query
        with tempfile.SpooledTemporaryFile(max_size=1 << 20) as body:
            read_body(handler, body)
            user = self.tokens.get(token_of(handler.headers) or "")
            if user is None and (writes or not self.anonymous_read or handler.headers.get("Authorization")):
                self.plain(handler, 401, "Authentication required\n", {"WWW-Authenticate": 'Basic realm="git"'})
                return
            if not os.path.isdir(self.path(owner, repo)):
                self.plain(handler, 404, "Repository not found\n")
                return
            env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.root, "GIT_HTTP_EXPORT_ALL": "1",
                   "GIT_CONFIG_NOSYSTEM": "1", "HOME": self.root, "REQUEST_METHOD": handler.command,
                   "PATH_INFO": "/%s/%s.git/%s" % (owner, repo, rest), "QUERY_STRING": url.query,
                   "CONTENT_TYPE": handler.headers.get("Content-Type", ""), "REMOTE_ADDR": "127.0.0.1",
                   "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
                   "GIT_PROTOCOL": handler.headers.get("Git-Protocol", "")}
            if user is not None:
                env["REMOTE_USER"] = user
            data = body.read()
            env["CONTENT_LENGTH"] = str(len(data))
            done = subprocess.run(["git", "http-backend"], input=data, stdout=subprocess.PIPE, env=env)
        head, _, out = done.stdout.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "status":
                status = int(value.split()[0])
            elif value:
                headers.append((name, value.strip()))
        if rest == "git-receive-pack" and status == 200:
            with self.lock:
                self.pushes.append({"owner": owner, "repo": repo, "user": user, "refs": self.refs(owner, repo)})
            if self.on_push:
                self.on_push(owner, repo, user)
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(out)))
        handler.end_headers()
        handler.wfile.write(out)

    def refs(self, owner, repo):
        text = git(self.path(owner, repo), "for-each-ref", "--format=%(refname) %(objectname)").decode()
        return dict(line.split(" ") for line in text.splitlines())

    @staticmethod
    def plain(handler, status, text, headers=None):
        data = text.encode()
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Type", "text/plain")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
