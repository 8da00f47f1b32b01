//! Runs the built binary, with nothing of the caller's environment that could change what it does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The command, at home in a folder.
pub(crate) fn sluice(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(args).current_dir(home).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end: exit code, stdout, stderr.
pub(crate) fn finished(home: &Path, args: &[&str]) -> (i32, String, String) {
    told(sluice(home, args).output().unwrap())
}

/// What a command writes to stderr where that is a terminal with colours and stdout is none. Questions are answered with no.
pub(crate) fn in_colour(command: &Command) -> String {
    const TERMINAL: &str = "
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
os.write(terminal, b'n\\n')
try:
    while part := os.read(terminal, 4096):
        sys.stdout.buffer.write(part)
except OSError:
    pass
os.waitpid(pid, 0)
";
    let mut terminal = Command::new("python3");
    terminal.args(["-c", TERMINAL]).arg(command.get_program()).args(command.get_args());
    let folder = command.get_current_dir().unwrap();
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    terminal.current_dir(folder).envs(variables.filter(|(name, _)| *name != "PATH"));
    let (code, shown, talk) = told(terminal.env("TERM", "xterm").env_remove("NO_COLOR").output().unwrap());
    assert_eq!(code, 0, "{talk}");
    shown
}

/// What a finished process left.
pub(crate) fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A gateway that runs until it is dropped.
pub(crate) struct Gateway {
    process: Running,
    lines: Receiver<String>,
    /// Lines of stderr up to and including the one that says it listens.
    pub(crate) said: Vec<String>,
    /// Where clients come in.
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Starts `sluice run` on free ports and waits until it listens.
    pub(crate) fn start(home: &Path, args: &[&str]) -> Self {
        Self::start_at(home, "127.0.0.1:0", args)
    }

    /// The same with that admin port.
    pub(crate) fn start_at(home: &Path, admin: &str, args: &[&str]) -> Self {
        Self::of(sluice(home, &["run", "--listen", "127.0.0.1:0", "--admin", admin]), args)
    }

    /// The same with these variables.
    pub(crate) fn start_with(home: &Path, env: &[(&str, &str)], args: &[&str]) -> Self {
        let mut command = sluice(home, &["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.envs(env.iter().copied());
        Self::of(command, args)
    }

    fn of(mut command: Command, args: &[&str]) -> Self {
        let mut process = Running(command.args(args).stderr(Stdio::piped()).spawn().unwrap());
        let stderr = BufReader::new(process.0.stderr.take().unwrap());
        let (sender, lines) = channel();
        // Reads to the end, also when nobody listens any more: a full pipe would stop the gateway.
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut said = Vec::new();
        loop {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("does not listen: {said:#?}"));
            said.push(line);
            let line: serde_json::Value = serde_json::from_str(said.last().unwrap()).unwrap_or_default();
            if line["message"] == "listening" {
                let address = line["address"].as_str().unwrap().parse().unwrap();
                return Self { process, lines, said, address };
            }
        }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// The next line of the log with that message, as JSON; what came before it is left behind.
    pub(crate) fn says(&self, message: &str) -> serde_json::Value {
        let mut before = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {message:?} in {before:#?}"));
            let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if said["message"].as_str().is_some_and(|text| text.contains(message)) {
                return said;
            }
            before.push(line);
        }
    }

    /// The status with which a `ping` with that key is answered.
    pub(crate) fn status(&self, key: Option<&str>) -> u16 {
        self.status_at("/mcp", key)
    }

    /// The same on the door of that path.
    pub(crate) fn status_at(&self, path: &str, key: Option<&str>) -> u16 {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let authorization = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{authorization}Connection: close\r\nContent-Length: {}\r\n\r\n\
             {body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }
}

/// A process that ends with the test, also with one that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
