"""The shell of `proprio sql --remote` at a terminal, and psql's completion: `shell.py <proprio> <url> <postgres url> <folder>`."""

import os
import pathlib
import re
import sys

import pexpect

proprio, url, postgres, folder = sys.argv[1:]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")


def terminal(command, arguments, prompt, **environment):
    environment = {**os.environ, "TERM": "xterm", "PAGER": "cat", **environment}
    child = pexpect.spawn(command, arguments, env=environment, encoding="utf-8", dimensions=(30, 120), timeout=30)
    child.expect_exact(prompt)

    def say(text, *awaited):
        """Types a line, and gives what is on the screen when all that is awaited, and the prompt, has come."""
        child.send(text + "\r")
        seen = ""
        for expected in (*awaited, prompt):
            child.expect_exact(expected)
            seen += child.before + child.after
        return ESCAPES.sub("", seen)

    child.say, child.prompt = say, prompt
    return child


def completes(child, begun, *expected):
    """Two tabs show how a line may go on; Ctrl-C drops it."""
    child.send(begun + "\t\t")
    for word in expected:
        child.expect_exact(word)
    child.sendcontrol("c")
    child.expect_exact(child.prompt)


state = pathlib.Path(folder) / "state"
shell = terminal(proprio, ["sql", "--remote", url, "--user", "anna"], "proprio> ", XDG_STATE_HOME=str(state))
completes(shell, "SELECT * FROM im", "imu")
completes(shell, "SELECT imu.gyro_", "gyro_x_rad_per_s", "gyro_y_rad_per_s")
completes(shell, "SELECT time_bu", "time_bucket(")
completes(shell, "\\ti", "\\timing")
assert "rad/s" in shell.say("\\d imu", "gyro_x_rad_per_s")
assert "orientation" in shell.say("\\dt", "imu")
shell.say("\\df time_bucket", "time_bucket")
shell.say("\\timing", "Timing is on.")
shell.say("SELECT count(*) >= 500 AS enough\r  FROM imu;", "enough", "true", "1 row", "Time: ")
shell.say("SELECT nonsense FROM imu;", "error: ")
shell.say("\\x", "is on")
shell.say("SELECT sensor, sequence FROM imu LIMIT 1;", "─ row 1 ", "sensor", "pelvis")
shell.say("\\x", "is off")
# A statement that is watched, rows that are followed, and a query that runs away: Ctrl-C ends each, and the shell goes on.
shell.say("SELECT max(sequence) AS newest FROM imu;", "newest")
for begin, *comes in [("\\watch 0.3", "newest", "1 row", "newest", "1 row"), ("SUBSCRIBE SELECT sensor, sequence FROM imu;", "sequence", "pelvis", "pelvis"),
                      ("SELECT sum(a.time_ns + b.time_ns + c.time_ns) FROM imu a, imu b, imu c;",)]:
    shell.send(begin + "\r")
    for expected in comes:
        shell.expect_exact(expected)
    if not comes:
        shell.expect_exact("imu c;")
        shell.expect(pexpect.TIMEOUT, timeout=1)
    shell.sendintr()
    shell.expect_exact("proprio> ")
shell.say("SELECT 1 AS one;", "one", "1 row")
shell.send("\\q\r")
shell.expect(pexpect.EOF)
assert "SELECT 1 AS one;" in (state / "proprio" / "sql_history").read_text()
# The history is there again, and a long answer goes through the pager.
file = pathlib.Path(folder) / "paged"
shell = terminal(proprio, ["sql", "--remote", url, "--user", "anna"], "proprio> ", XDG_STATE_HOME=str(state), PAGER=f"tee {file} | head -n 1")
shell.send("\x1b[A\x1b[A")
shell.expect_exact("SELECT 1 AS one;")
shell.sendcontrol("c")
shell.expect_exact("proprio> ")
shell.say("SELECT sequence FROM imu LIMIT 100;", "sequence")
assert "100 rows" in file.read_text(), "the pager was not used"
shell.sendcontrol("d")
shell.expect(pexpect.EOF)
print("clients: the shell completes, watches, follows, pages, and remembers")

# A password that is asked for is not shown.
environment = {name: value for name, value in os.environ.items() if name != "PROPRIO_PASSWORD"}
asked = pexpect.spawn(proprio, ["sql", "--remote", url, "--user", "anna", "SELECT 41 + 1 AS sum"], env=environment, encoding="utf-8", timeout=30)
asked.expect_exact("password of anna: ")
asked.sendline("correct horse")
asked.expect_exact("42")
assert "horse" not in asked.before, asked.before
asked.expect(pexpect.EOF)
added = pexpect.spawn(proprio, ["user", "add", "ben", "--users", f"{folder}/more.yaml"], encoding="utf-8", timeout=30)
for prompt in ("password of ben: ", "once more: "):
    added.expect_exact(prompt)
    added.sendline("correct horse")
added.expect_exact("user ben is in")
assert "horse" not in added.before, added.before
added.expect(pexpect.EOF)
print("clients: passwords are typed unseen")

psql = terminal("psql", [f"{postgres}?user=anna", "--no-psqlrc"], "proprio=> ", PSQL_PAGER="cat")
completes(psql, "SELECT * FROM imu_", "imu_all", "imu_latest")
completes(psql, "SELECT * FROM imu WHERE gyro_", "gyro_x_rad_per_s")
assert "gyro_x_rad_per_s" in psql.say("\\d imu", "double precision")
psql.send("\\q\r")
psql.expect(pexpect.EOF)
print("clients: psql completes tables and columns")
