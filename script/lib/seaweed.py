"""An S3 server on loopback for benchmarks. Standard library only."""

import os
import pwd
import socket
import subprocess
import time
import urllib.request

from benchlib import WORK, fail

VENV = f"{os.environ['PGDUMPD_CACHE']}/venv/bin"
KEY, SECRET, BUCKET = "BENCHKEY", "bench-secret", "backups"


class Seaweed:
    """weed mini on loopback, as the account that servers run as, its telemetry off."""

    def __init__(self):
        self.base = next(base for base in range(11000, 22000, 20) if all(map(is_free, [*range(base, base + 10), base + 10002])))
        folder = f"{WORK}/s3"
        os.mkdir(folder)
        with open(f"{folder}/s3.json", "w") as file:
            file.write(
                '{"identities": [{"name": "bench", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], '
                '"actions": ["Read", "Write", "List", "Tagging"]}]}' % (KEY, SECRET)
            )
        account = {}
        if os.getuid() == 0:
            entry = next(pwd.getpwnam(name) for name in ["postgres", "nobody"] if name in {each.pw_name for each in pwd.getpwall()})
            account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        base = self.base
        self.process = subprocess.Popen(
            [f"{VENV}/weed", f"-logdir={folder}", "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
             f"-s3.config={folder}/s3.json", f"-s3.port={base}", f"-s3.port.grpc={base + 1}", "-s3.port.iceberg=0", "-s3.port.lance=0",
             f"-s3.localSocket={folder}/s3.sock", f"-s3.localFilerSocket={folder}/filer.sock", "-webdav=false", "-admin.ui=false",
             f"-admin.port={base + 2}", f"-master.port={base + 4}", f"-master.port.grpc={base + 5}", "-master.telemetry=false",
             f"-volume.port={base + 6}", f"-volume.port.grpc={base + 7}", f"-filer.port={base + 8}", f"-filer.port.grpc={base + 9}",
             f"-filer.localSocket={folder}/filer.sock"],
            cwd=folder, env={"HOME": folder, "PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, **account,
        )
        self.endpoint, self.filer = f"http://127.0.0.1:{base}", f"http://127.0.0.1:{base + 8}"
        deadline = time.time() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=5)
                urllib.request.urlopen(urllib.request.Request(f"{self.filer}/buckets/{BUCKET}/", method="POST"), timeout=5)
                return
            except OSError:
                if time.time() > deadline or self.process.poll() is not None:
                    fail("SeaweedFS does not start")
                time.sleep(0.2)

    def size(self, key):
        answer = urllib.request.urlopen(urllib.request.Request(f"{self.filer}/buckets/{BUCKET}/{key}", method="HEAD"))
        return int(answer.headers["Content-Length"])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for port in [*range(self.base, self.base + 10), self.base + 10002]:
            subprocess.run(["sh", "-c", f"rm -f /tmp/seaweedfs-*-{port}.sock"])


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False
