"""The whole path: the built gateway with one worker under callgrind, between a client and servers on loopback."""

import hashlib
import json
import socket
import time
import urllib.request

from callgrind import Failed, Process
from client import Client
from issuer import Issuer
from upstream import Upstream

KEY = "count-key"
# until connections, buffers and catalogues are as they stay
WARM = 40
# how far the two smallest counts of the same requests may lie apart, and how often they are taken
AGREE = 0.01
MOST = 10
# seconds
REST = 1


class Gateway:
    """Sluice as a setting wants it."""

    def __init__(self, binary, folder, setting, upstream):
        port, admin = free_port(), free_port()
        config = {
            "proxy": {"port": port, "log_level": "warn", "access_log": setting.guarded},
            "servers": {name: {**server, **located(server, upstream)} for name, server in setting.servers.items()},
        }
        if setting.policies:
            config["policies"] = setting.policies
        headers = {}
        if setting.guarded:
            config["clients"] = {"count": {"api_key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}}
            headers = {"Authorization": f"Bearer {KEY}"}
        # in a folder of its own: the gateway looks whenever a file beside its configuration is written
        (folder / "config").mkdir(parents=True)
        if setting.by_token:
            issuer = Issuer(folder / "config")
            config["issuers"] = issuer.configuration()
            headers = {"Authorization": f"Bearer {issuer.token()}"}
        (folder / "config" / "sluice.json").write_text(json.dumps(config))
        command = [binary, "run", "--config", folder / "config" / "sluice.json", "--workers", "1"]
        command += ["--admin", f"127.0.0.1:{admin}", "--state-dir", folder / "state"]
        self.process = Process(command, folder)
        try:
            self.process.wait_until(lambda: is_ready(admin))
            # a program without names would seem to allocate nothing
            if self.process.take().allocations == 0:
                raise Failed(f"{binary} has no symbols, so that its allocations cannot be counted")
            self.client = Client(port, headers)
            self.idle = self.rest()
        except BaseException:
            self.process.stop()
            raise

    def rest(self):
        """What it does in a second without requests: timers, looks at files."""
        self.process.take()
        time.sleep(REST)
        return self.process.take().times(1 / REST)

    def count(self, asked):
        """Per request, once the two smallest counts agree: what the gateway does beside the requests only adds."""
        prepared = self.client.prepare(asked.era, asked.door, asked.method, **asked.params)
        self.repeat(asked, prepared, min(WARM, asked.times))
        self.process.take()
        seen = []
        for _ in range(MOST):
            begin = time.monotonic()
            self.repeat(asked, prepared, asked.times)
            idle = self.idle.times(time.monotonic() - begin)
            seen.append(self.process.take().less(idle).times(1 / asked.times))
            seen.sort()
            if len(seen) > 1 and seen[1].instructions - seen[0].instructions <= AGREE * seen[0].instructions:
                return seen[0].least(seen[1])
        raise Failed(f"{asked.name}: no two counts agree: {[round(each.instructions) for each in seen]}")

    def repeat(self, asked, prepared, times):
        for _ in range(times):
            part = self.client.result(prepared)[asked.part]
            if part != asked.expected:
                raise Failed(f"{asked.name}: other {asked.part} than expected: {str(part)[:300]}")


def count(binary, folder, setting, wanted):
    """The counts of a setting's requests, by name."""
    asked = [each for each in setting.asked if wanted(each.name)]
    if not asked:
        return {}
    gateway = Gateway(binary, folder / setting.name.replace(" ", "-"), setting, Upstream())
    try:
        counts = {each.name: gateway.count(each) for each in asked}
        gateway.client.close()
        return counts
    finally:
        gateway.process.stop()


def located(server, upstream):
    """The whole address of a server over HTTP."""
    return {"url": f"http://127.0.0.1:{upstream.port}{server['url']}"} if "url" in server else {}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(admin):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
