"""One address that behaves like a small GitHub: REST API, git over HTTP, and faults on demand.

The REST API is the npm package `emulate` (stateful GitHub emulator), reached through --upstream;
git is Git's own http-backend (git_http.py). This gateway joins the two:

* after a push, the new commits, trees, blobs and refs are copied into the emulator through its Git
  Data API, so a pull request can be opened from the pushed branch with the same commit ids;
* after an API call that moves a ref (merge, contents, git/refs), the emulator's new commits are
  written into the bare repository, so a fetch sees them;
* tokens that are not in --tokens get GitHub's 401 (the emulator alone lets them in);
* GET answers carry an ETag, and If-None-Match gets 304;
* what emulate 0.12.2 does otherwise than GitHub around pull requests is put right (class Rules):
  a missing head or base branch, no commits between them, or a second pull request for the same
  branches is 422; an open one follows its branch; files, commits and mergeable come from git; a
  merge with an empty body works and closes the issues named by "closes #N"; assigning is 201.

Tokens of GitHub Apps: a JSON Web Token goes to the emulator, which checks it, and the installation
tokens that it gives are let in, for git too. `POST /_harness/revoke {"token": ..}` ends one.

Both `/repos/...` and `/api/v3/repos/...` work as API base. Control surface, for tests only:

    POST /_harness/faults   {"method":"POST","path":"/pulls$","status":502,"times":1}
         "status": answer this instead of forwarding; with "headers"/"body" where wanted
         "after": true    forward first (the write happens), then answer with the fault
         "drop": true     close the connection without an answer
         "delay": SECONDS wait before forwarding
         "raw": TEXT      write just this to the connection, and close it
    They concern all requests but those with the admin token, by which the test itself looks.
    DELETE /_harness/faults          GET /_harness/requests          GET /_harness/pushes
    POST /_harness/repos {"owner":..,"name":..}   make the bare repository of an emulator repo
"""
import argparse
import base64
import hashlib
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

from git_http import GIT_PATH, GitBackend, git, token_of

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MOVES_REF = re.compile(r"^/repos/([^/]+)/([^/]+)/(?:pulls/\d+/(?:merge|update-branch)|contents/.+|git/refs.*|merges)$")
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "host"}


class Upstream:
    def __init__(self, netloc, admin_token):
        self.netloc, self.admin_token = netloc, admin_token

    def raw(self, method, path, headers, body):
        conn = http.client.HTTPConnection(self.netloc, timeout=120)
        try:
            conn.request(method, path, body=body, headers=headers)
            r = conn.getresponse()
            return r.status, [(k, v) for k, v in r.getheaders() if k.lower() not in HOP], r.read()
        finally:
            conn.close()

    def api(self, method, path, body=None, ok=(200, 201, 204)):
        headers = {"Authorization": "Bearer " + self.admin_token, "Accept": "application/vnd.github+json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        status, _, out = self.raw(method, path, headers, data)
        if ok and status not in ok:
            raise RuntimeError("%s %s: %d %s" % (method, path, status, out[:300].decode(errors="replace")))
        return status, (json.loads(out) if out else None)


class Sync:
    """Copies objects between a bare repository and the emulator. Object ids must come out equal."""

    def __init__(self, up, backend):
        self.up, self.backend, self.lock = up, backend, threading.Lock()
        self.known = {}      # (owner, repo) -> object ids that the emulator has

    def repo(self, owner, name):
        return "/repos/%s/%s" % (owner, name)

    def heads(self, owner, name):
        refs = {}
        for kind in ("heads", "tags"):
            status, found = self.up.api("GET", "%s/git/matching-refs/%s" % (self.repo(owner, name), kind), ok=(200, 404, 409))
            if status == 200:
                refs.update({r["ref"]: r["object"]["sha"] for r in found})
        return refs

    # bare repository -> emulator
    def push(self, owner, name):
        with self.lock:
            path, base = self.backend.path(owner, name), self.repo(owner, name)
            have, want = self.heads(owner, name), self.backend.refs(owner, name)
            for ref, sha in want.items():
                if not ref.startswith(("refs/heads/", "refs/tags/")) or have.get(ref) == sha:
                    continue
                target = git(path, "rev-parse", sha + "^{commit}").decode().strip()
                self.upload(owner, name, path, target, have.values())
                if ref in have:
                    self.up.api("PATCH", "%s/git/%s" % (base, quote(ref)), {"sha": target, "force": True})
                else:
                    self.up.api("POST", base + "/git/refs", {"ref": ref, "sha": target})
            for ref in set(have) - set(want):
                self.up.api("DELETE", "%s/git/%s" % (base, quote(ref)), ok=(204, 422))

    def upload(self, owner, name, path, tip, have):
        base, known = self.repo(owner, name), self.known.setdefault((owner, name), set())
        local = [s for s in have if subprocess.run(["git", "-C", path, "cat-file", "-e", s], capture_output=True).returncode == 0]
        for sha in git(path, "rev-list", "--reverse", "--topo-order", tip, "--not", *local).decode().split():
            tree, entries = git(path, "rev-parse", sha + "^{tree}").decode().strip(), []
            for line in filter(None, git(path, "ls-tree", "-r", "-z", "--full-tree", sha).split(b"\0")):
                meta, _, file = line.partition(b"\t")
                mode, kind, oid = meta.decode().split()
                if kind == "blob" and oid not in known:
                    self.up.api("POST", base + "/git/blobs", {
                        "content": base64.b64encode(git(path, "cat-file", "blob", oid)).decode(), "encoding": "base64"})
                    known.add(oid)
                entries.append({"path": file.decode("utf-8", "surrogateescape"), "mode": mode, "type": kind, "sha": oid})
            if tree != EMPTY_TREE:
                _, made = self.up.api("POST", base + "/git/trees", {"tree": entries})
                self.same("tree", tree, made["sha"])
            f = git(path, "show", "-s", "--format=%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%P%x00%B", sha).decode().split("\0")
            _, made = self.up.api("POST", base + "/git/commits", {
                "message": f[7].rstrip("\n"), "tree": tree, "parents": f[6].split(),
                "author": {"name": f[0], "email": f[1], "date": f[2]},
                "committer": {"name": f[3], "email": f[4], "date": f[5]}})
            self.same("commit", sha, made["sha"])

    @staticmethod
    def same(kind, ours, theirs):
        if ours != theirs:  # signed commits, odd encodings: the API has no field for them
            raise RuntimeError("%s %s became %s in the emulator" % (kind, ours, theirs))

    # emulator -> bare repository
    def pull(self, owner, name):
        with self.lock:
            path = self.backend.create(owner, name)
            have, want = self.backend.refs(owner, name), self.heads(owner, name)
            for ref, sha in want.items():
                if have.get(ref) != sha:
                    self.download(owner, name, path, sha)
                    git(path, "update-ref", ref, sha)
            for ref in set(have) - set(want):
                # The emulator knows nothing of refs elsewhere, such as those of claims.
                if ref.startswith(("refs/heads/", "refs/tags/")):
                    git(path, "update-ref", "-d", ref)

    def has(self, path, sha):
        return subprocess.run(["git", "-C", path, "cat-file", "-e", sha], capture_output=True).returncode == 0

    def download(self, owner, name, path, sha):
        base, todo, made = self.repo(owner, name), [sha], []
        while todo:
            at = todo.pop()
            if self.has(path, at) or at in (c["sha"] for c in made):
                continue
            _, c = self.up.api("GET", "%s/git/commits/%s" % (base, at))
            made.append(c)
            todo += [p["sha"] for p in c["parents"]]
        for c in reversed(made):
            self.tree(base, path, c["tree"]["sha"])
            who = lambda p: "%s <%s> %d +0000" % (p["name"], p["email"], int(  # noqa: E731
                time.mktime(time.strptime(p["date"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone))
            text = "tree %s\n%sauthor %s\ncommitter %s\n\n%s" % (
                c["tree"]["sha"], "".join("parent %s\n" % p["sha"] for p in c["parents"]),
                who(c["author"]), who(c["committer"]), c["message"] if c["message"].endswith("\n") else c["message"] + "\n")
            self.same("commit", git(path, "hash-object", "-w", "-t", "commit", "--stdin", stdin=text.encode()).decode().strip(), c["sha"])

    def tree(self, base, path, sha):
        if self.has(path, sha):
            return
        _, t = self.up.api("GET", "%s/git/trees/%s" % (base, sha))
        lines = []
        for e in t["tree"]:
            if e["type"] == "tree":
                self.tree(base, path, e["sha"])
            elif e["type"] == "blob" and not self.has(path, e["sha"]):
                _, b = self.up.api("GET", "%s/git/blobs/%s" % (base, e["sha"]))
                data = base64.b64decode(b["content"]) if b["encoding"] == "base64" else b["content"].encode()
                git(path, "hash-object", "-w", "--stdin", stdin=data)
            lines.append("%s %s %s\t%s" % (e["mode"], e["type"], e["sha"], e["path"]))
        self.same("tree", git(path, "mktree", stdin="".join(x + "\n" for x in lines).encode()).decode().strip(), sha)


class Rules:
    """GitHub's behaviour around pull requests, from the bare repository."""

    def __init__(self, up, backend):
        self.up, self.backend = up, backend

    @staticmethod
    def invalid(field=None, message=None):
        error = {"resource": "PullRequest", "code": "custom" if message else "invalid"}
        error.update({"message": message} if message else {"field": field})
        return 422, {"message": "Validation Failed", "errors": [error], "status": "422",
                     "documentation_url": "https://docs.github.com/rest/pulls/pulls#create-a-pull-request"}

    def before(self, method, path, data):
        """An answer that GitHub would give instead of going on, or None."""
        m = re.match(r"^/repos/([^/]+)/([^/]+)/pulls$", path)
        if not (m and method == "POST"):
            return None
        try:
            want = json.loads(data)
            head, base = want["head"], want["base"]
        except (ValueError, KeyError, TypeError):
            return None
        owner, repo = m.groups()
        if ":" in head and not head.startswith(owner + ":"):
            return None
        head, refs = head.rpartition(":")[2], self.backend.refs(owner, repo)
        for field, branch in (("head", head), ("base", base)):
            if "refs/heads/" + branch not in refs:
                return self.invalid(field=field)
        _, there = self.up.api("GET", "/repos/%s/%s/pulls?state=open&per_page=100" % (owner, repo))
        if any(p["head"]["ref"] == head and p["base"]["ref"] == base for p in there):
            return self.invalid(message="A pull request already exists for %s:%s." % (owner, head))
        count = git(self.backend.path(owner, repo), "rev-list", "--count", "refs/heads/%s..refs/heads/%s" % (base, head))
        if count.strip() == b"0":
            return self.invalid(message="No commits between %s and %s" % (base, head))
        return None

    def pull(self, path, pr, full):
        """Bring an open pull request up to its branches."""
        if pr.get("state") != "open":
            return pr
        for side in ("head", "base"):
            ref = "refs/heads/" + pr[side]["ref"]
            out = git(path, "rev-parse", "-q", "--verify", ref, check=False).decode().strip()
            pr[side]["sha"] = out or pr[side]["sha"]
        if full:
            h, b = pr["head"]["sha"], pr["base"]["sha"]
            files = self.files(path, b, h)
            pr["commits"] = int(git(path, "rev-list", "--count", "%s..%s" % (b, h)))
            pr["changed_files"] = len(files)
            pr["additions"], pr["deletions"] = sum(f["additions"] for f in files), sum(f["deletions"] for f in files)
            clean = subprocess.run(["git", "-C", path, "merge-tree", "--write-tree", b, h], capture_output=True).returncode == 0
            pr["mergeable"], pr["mergeable_state"] = clean, "clean" if clean else "dirty"
        return pr

    def files(self, path, base, head):
        names, found = {"A": "added", "M": "modified", "D": "removed", "T": "changed"}, []
        span = "%s...%s" % (base, head)
        counts = {}
        for line in filter(None, git(path, "diff", "--numstat", "-z", "--no-renames", span).split(b"\0")):
            plus, minus, name = line.decode("utf-8", "replace").split("\t", 2)
            counts[name] = (int(plus) if plus != "-" else 0, int(minus) if minus != "-" else 0)
        raw = git(path, "diff", "--raw", "-z", "--no-renames", "--no-abbrev", span).split(b"\0")
        for meta, name in zip(raw[::2], raw[1::2]):
            _, _, old, new, kind = meta.decode().split(" ")
            name = name.decode("utf-8", "replace")
            patch = git(path, "diff", "--no-renames", span, "--", name).decode("utf-8", "replace")
            plus, minus = counts.get(name, (0, 0))
            item = {"sha": new if kind != "D" else old, "filename": name, "status": names.get(kind, "changed"),
                    "additions": plus, "deletions": minus, "changes": plus + minus}
            if "\n@@" in patch:
                item["patch"] = patch[patch.index("\n@@") + 1:].rstrip("\n")
            found.append(item)
        return found

    def after(self, method, path, status, out):
        """The emulator's answer as GitHub would give it: (status, body)."""
        m = re.match(r"^/repos/([^/]+)/([^/]+)/(.+)$", path)
        if not m or status >= 300:
            return status, out
        owner, repo, rest = m.groups()
        bare = self.backend.path(owner, repo)
        if method == "POST" and re.match(r"^issues/\d+/assignees$", rest):
            return 201, out
        pull = re.match(r"^pulls(?:/(\d+)(/files|/commits|/merge)?)?$", rest)
        if not pull:
            return status, out
        number, part = pull.groups()
        if method == "PUT" and part == "/merge":
            _, pr = self.up.api("GET", "/repos/%s/%s/pulls/%s" % (owner, repo, number))
            for n in re.findall(r"(?i)\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d+)", pr.get("body") or ""):
                self.up.api("PATCH", "/repos/%s/%s/issues/%s" % (owner, repo, n),
                            {"state": "closed", "state_reason": "completed"}, ok=None)
            return status, out
        if method == "GET" and part in ("/files", "/commits"):
            _, pr = self.up.api("GET", "/repos/%s/%s/pulls/%s" % (owner, repo, number))
            pr = self.pull(bare, pr, False)
            if part == "/files":
                return status, json.dumps(self.files(bare, pr["base"]["sha"], pr["head"]["sha"])).encode()
            ids = git(bare, "rev-list", "--reverse", "%s..%s" % (pr["base"]["sha"], pr["head"]["sha"])).decode().split()
            return status, json.dumps([self.up.api("GET", "/repos/%s/%s/commits/%s" % (owner, repo, i))[1] for i in ids]).encode()
        if part is None and method in ("GET", "POST", "PATCH"):
            value = json.loads(out)
            if isinstance(value, list):
                value = [self.pull(bare, p, False) for p in value]
            elif isinstance(value, dict) and "head" in value:
                value = self.pull(bare, value, True)
            return status, json.dumps(value).encode()
        return status, out


class Faults:
    def __init__(self):
        self.items, self.lock = [], threading.Lock()

    def take(self, method, path):
        with self.lock:
            for f in self.items:
                if f.get("method", method) == method and re.search(f.get("path", ""), path):
                    f["times"] = f.get("times", 1) - 1
                    if f["times"] <= 0:
                        self.items.remove(f)
                    return f
        return None


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--upstream", required=True, help="host:port of the emulator")
    ap.add_argument("--tokens", required=True)
    ap.add_argument("--admin-token", required=True)
    ap.add_argument("--root", required=True)
    ap.add_argument("--port", type=int, default=4600)
    ap.add_argument("--repos", nargs="*", default=[])
    a = ap.parse_args()
    with open(a.tokens) as f:
        tokens = json.load(f)
    front = emulator = Upstream(a.upstream, a.admin_token)
    backend = GitBackend(a.root, tokens, anonymous_read=True)
    sync, rules, faults, journal = Sync(emulator, backend), Rules(emulator, backend), Faults(), []
    backend.on_push = lambda owner, repo, user: sync.push(owner, repo)
    for name in a.repos:
        sync.pull(*name.split("/"))

    opening = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self):
            path = unquote(urlsplit(self.path).path)
            match = GIT_PATH.match(path)
            if path.startswith("/_harness/"):
                return self.control(path)
            try:
                if match and (match["rest"] != "HEAD" or path.endswith(".git/HEAD")):
                    return backend.handle(self, match)
                return self.rest()
            except Exception as e:  # the counterpart must say so, not hang
                sys.stderr.write("gateway error: %r\n" % e)
                return self.send(500, {"message": "gateway: %s" % e})

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = serve

        def body(self):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def send(self, status, value, headers=()):
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            names = {k.lower() for k, _ in headers}
            for k, v in headers:
                self.send_header(k, v)
            if data and "content-type" not in names:
                self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def control(self, path):
            data = self.body()
            if path == "/_harness/faults" and self.command == "POST":
                faults.items.append(json.loads(data))
                return self.send(201, faults.items)
            if path == "/_harness/faults" and self.command == "DELETE":
                faults.items.clear()
                return self.send(204, b"")
            if path == "/_harness/revoke" and self.command == "POST":
                return self.send(200, {"was": tokens.pop(json.loads(data)["token"], None)})
            if path == "/_harness/repos" and self.command == "POST":
                want = json.loads(data)
                sync.pull(want["owner"], want["name"])
                return self.send(201, want)
            if path == "/_harness/requests":
                return self.send(200, journal)
            if path == "/_harness/pushes":
                return self.send(200, backend.pushes)
            return self.send(404, {"message": "no such control"})

        def rest(self):
            # GitHub decides on a second pull request of a branch and opens the first one in one step.
            if self.command == "POST" and self.path.endswith("/pulls"):
                with opening:
                    return self.forward()
            return self.forward()

        def forward(self):
            started, data = time.time(), self.body()
            target = self.path[len("/api/v3"):] if self.path.startswith("/api/v3/") else self.path
            path, token = urlsplit(target).path, token_of(self.headers)
            entry = {"method": self.command, "path": target, "user": tokens.get(token or ""), "status": None}
            if len(data) < 20000:
                entry["body"] = data.decode("utf-8", "replace")
            journal.append(entry)

            def answer(status, value, headers=()):
                entry["status"], entry["ms"] = status, round((time.time() - started) * 1000)
                self.send(status, value, headers)

            signed = token is not None and token.count(".") == 2 and token.startswith("eyJ")
            if token is not None and token not in tokens and not signed:
                return answer(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"})
            fault = None if token == a.admin_token else faults.take(self.command, path)
            if fault:
                entry["fault"] = fault
                time.sleep(fault.get("delay", 0))
            if fault and "raw" in fault:
                self.close_connection = True
                self.wfile.write(fault["raw"].encode("latin-1"))
                return self.wfile.flush()
            if fault and not fault.get("after") and (fault.get("drop") or "status" in fault):
                if fault.get("drop"):
                    self.close_connection = True
                    return self.connection.close()
                return answer(fault["status"], fault.get("body", {"message": "injected"}), list(fault.get("headers", {}).items()))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP | {"if-none-match"}}
            early = rules.before(self.command, path, data)
            if early:
                return answer(*early)
            if not data and self.command in ("POST", "PUT", "PATCH"):  # GitHub takes an empty body as no fields
                data, headers["Content-Type"] = b"{}", "application/json"
            status, out_headers, out = front.raw(self.command, target, headers, data or None)
            status, out = rules.after(self.command, path, status, out)
            if signed and status == 201 and path.endswith("/access_tokens"):
                tokens[json.loads(out)["token"]] = "app"
            moved = MOVES_REF.match(path)
            if moved and self.command in ("POST", "PUT", "PATCH", "DELETE") and status < 300:
                sync.pull(moved[1], moved[2])
            here = "http://%s" % (self.headers.get("Host") or "127.0.0.1:%d" % a.port)
            for seen in {"http://" + front.netloc, "http://" + emulator.netloc, "http://localhost:" + emulator.netloc.rpartition(":")[2]}:
                out = out.replace(seen.encode(), here.encode())
                out_headers = [(k, v.replace(seen, here)) for k, v in out_headers]
            if fault and fault.get("after"):
                if fault.get("drop"):
                    self.close_connection = True
                    return self.connection.close()
                return answer(fault.get("status", 502), fault.get("body", {"message": "injected after the write"}), list(fault.get("headers", {}).items()))
            if self.command == "GET" and status == 200:
                etag = 'W/"%s"' % hashlib.sha256(out).hexdigest()
                out_headers.append(("ETag", etag))
                if self.headers.get("If-None-Match") == etag:
                    return answer(304, b"", out_headers)
            answer(status, out, out_headers)

        def log_message(self, fmt, *args):
            sys.stderr.write("%s\n" % (fmt % args))

    server = ThreadingHTTPServer(("127.0.0.1", a.port), Handler)
    server.daemon_threads = True
    print("github gateway on 127.0.0.1:%d" % a.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
