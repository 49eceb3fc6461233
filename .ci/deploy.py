"""What `.ci/deploy` asks of deploy/'s files that shell is too clumsy for: `deploy.py runbook | doctor | router | access | dashboards`."""

import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).parent.parent / "deploy"
# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "30s", "$__range": "15m", "$rig": ".*"}
# Nothing to be seen here is well.
MAY_BE_EMPTY = re.compile(r"ALERTS|losses|rejected|outcomes|notes|clocks|sensor_to_alert|alerts")
PATIENCE_S = 120


def runbook():
    """Every alert has a line in the runbook and a test, and the runbook speaks of no other."""
    import yaml

    rules = [rule for group in yaml.safe_load((HERE / "prometheus/alerts.yml").read_text())["groups"] for rule in group["rules"]]
    names = {rule["alert"] for rule in rules}
    lines = dict(re.findall(r"^## (\w+)\n(.+)$", (HERE / "RUNBOOK.md").read_text(), re.M))
    assert names and set(lines) == names, f"alerts without a line, or lines without an alert: {set(lines) ^ names}"
    for rule in rules:
        assert rule["annotations"]["runbook"] == f"RUNBOOK.md#{rule['alert'].lower()}", rule["alert"]
    tested = {
        expected["alertname"]
        for test in yaml.safe_load((HERE / "prometheus/alerts.test.yml").read_text())["tests"]
        for expected in test["alert_rule_test"]
        if expected.get("exp_alerts")
    }
    assert tested == names, f"never seen to fire in a test: {names - tested}"
    print(f"deploy: {len(names)} alerts fire and stay silent in their tests, and each has its line in the runbook")


def doctor(found):
    """An engine without sensors is well, finds each of them missing, and says what mends that."""
    findings = json.loads(pathlib.Path(found).read_text())
    assert not [finding for finding in findings if finding["state"] == "error"], findings
    assert {"versions", "clock", "data", "disk", "ports", "zenoh", "recording", "rig"} <= {finding["check"] for finding in findings}
    missing = [finding for finding in findings if finding["check"] == "rig" and "never seen" in finding["says"]]
    assert len(missing) == 13 and all(finding["fix"] for finding in missing), findings
    print("deploy: the doctor, a container's health check, finds the engine well and 13 sensors missing")


def router(config):
    """The lab's router, until it is killed: zenoh itself, under our configuration."""
    import zenoh

    with zenoh.open(zenoh.Config.from_file(config)):
        while True:
            time.sleep(60)


def access(work, proprio, loopback):
    """Who comes to the router with which certificate may do what?"""
    import zenoh

    def opened(config):
        return zenoh.open(zenoh.Config.from_file(f"{work}/{config}.json5"))

    def asked(session, key, payload=None):
        replies = session.get(key, payload=payload, timeout=3, encoding=zenoh.Encoding.APPLICATION_JSON)
        return [reply.ok.payload.to_string() for reply in replies if reply.ok]

    def rejected(payload):
        question = f"SELECT count(*) FROM rejected WHERE CAST(payload AS VARCHAR) = '{payload}'"
        answer = subprocess.run([proprio, "sql", "--connect", loopback, question, "--format", "csv"], capture_output=True, text=True, check=True)
        return int(answer.stdout.split()[-1])

    status = '{"request":"status"}'
    with opened("operator") as operator:
        begun = time.monotonic()
        while not (told := asked(operator, "lab-1/@control", status)):
            assert time.monotonic() - begun < PATIENCE_S, "the engine is not seen through the router"
        assert json.loads(told[0])["status"]["rig"] == "lab-1"
        heard = []
        listening = operator.declare_subscriber("lab-1/imu/*", heard.append)
        time.sleep(2)
        assert not heard, "an operator hears raw samples"
        listening.undeclare()
    print("deploy: an operator's certificate asks the engine through the router, and hears no sensor")
    # What can't be read is kept as it came.
    with opened("operator") as operator, opened("sensors") as sensors:
        begun = time.monotonic()
        while not rejected("of a sensor"):
            assert time.monotonic() - begun < PATIENCE_S, "what a sensor publishes doesn't reach the engine"
            operator.put("lab-1/imu/pelvis", "of an operator")
            sensors.put("lab-1/imu/pelvis", "of a sensor")
        assert not rejected("of an operator"), "an operator may publish samples"
    print("deploy: a sensor's certificate publishes, an operator's doesn't")
    with opened("sensors") as sensors:
        assert not asked(sensors, "lab-1/@control", status), "a sensor may ask the engine"
        assert not asked(sensors, "lab-1/@sql", "SELECT 1"), "a sensor may ask SQL"
    print("deploy: a sensor's certificate asks nothing")
    for what, change in [("another root's", "stranger"), ("no", "nobody")]:
        text = pathlib.Path(f"{work}/operator.json5").read_text()
        if change == "stranger":
            subprocess.run([str(HERE / "certificates"), f"{work}/elsewhere"], check=True, capture_output=True)
            text = text.replace(f"{work}/tls/operator.", f"{work}/elsewhere/operator.")
        else:
            text = re.sub(r"connect_(certificate|private_key): .*\n", "", text).replace("enable_mtls: true", "enable_mtls: false")
        pathlib.Path(f"{work}/{change}.json5").write_text(text.replace("timeout_ms: 10000", "timeout_ms: 3000"))
        try:
            with opened(change) as session:
                assert not asked(session, "lab-1/@control", status), f"{what} certificate is enough"
        except zenoh.ZError:
            pass
        print(f"deploy: with {what} certificate nobody gets in")


def dashboards(prometheus, postgres):
    """Every panel's queries answer, and those that can't be empty are not."""
    import psycopg

    def expanded(text):
        for name, value in VARIABLES.items():
            text = text.replace(name, value)
        return text

    def measured(expression):
        url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from error

    begun = time.monotonic()
    while not measured("rate(proprio_rows_total[30s]) > 0") or not measured("proprio_commit_rounds_total > 0"):
        assert time.monotonic() - begun < PATIENCE_S, "Prometheus sees nothing of the engine"
        time.sleep(1)
    asked = 0
    now = time.time()
    span = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + offset)) for offset in (-86400, 60)]
    with psycopg.connect(postgres, autocommit=True) as door:
        for file in sorted((HERE / "grafana/dashboards").glob("*.json")):
            board = json.loads(file.read_text())
            for panel in board["panels"]:
                for target in panel["targets"]:
                    query = target.get("expr") or target["rawSql"]
                    if "expr" in target:
                        rows = measured(expanded(query))
                    else:
                        text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN '{span[0]}' AND '{span[1]}'", query)
                        assert "$" not in text, f"{file.name}, {panel['title']}: a macro is left in {text}"
                        try:
                            answer = door.execute(text)
                        except psycopg.Error as error:
                            raise AssertionError(f"{file.name}, {panel['title']}: {text}: {error}") from error
                        rows = answer.fetchall()
                        assert target["format"] == "table" or answer.description[0].name == "time", f"{file.name}, {panel['title']}: no time"
                    assert rows or MAY_BE_EMPTY.search(query), f"{file.name}, {panel['title']}: nothing comes of {query}"
                    asked += 1
    assert asked, "no dashboard was found"
    print(f"deploy: {asked} queries of the dashboards are answered by a real Prometheus and the PostgreSQL door")


if __name__ == "__main__":
    {"runbook": runbook, "doctor": doctor, "router": router, "access": access, "dashboards": dashboards}[sys.argv[1]](*sys.argv[2:])
