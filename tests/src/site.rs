//! Starts `tidegate local` on a data folder of its own, on a port that the system chooses.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stored::StoredData;

/// Time limit for every wait of a test. It is long, because machines are shared.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A data folder, and how to start the pipeline on it.
pub struct Site {
    program: PathBuf,
    folder: TempDir,
    arguments: Vec<String>,
    faults: Value,
    configuration: String,
    crash_on: String,
}

impl Site {
    /// A new data folder, one shard, no faults, and a fast pace for tests.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let pace = ["--poll-ms", "20", "--window-ms", "60", "--backoff-ms", "20", "--visibility-ms", "100"];
        Self { arguments: pace.map(str::to_owned).to_vec(), ..Self::at_deployed_pace(program) }
    }

    /// The same, at the pace of a deployment.
    pub fn at_deployed_pace(program: impl Into<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let (arguments, faults, configuration) = (Vec::new(), json!([]), String::new());
        let crash_on = String::new();
        Self { program: program.into(), folder, arguments, faults, configuration, crash_on }
    }

    pub fn shards(mut self, shards: u16) -> Self {
        self.arguments.extend(["--shards".to_owned(), shards.to_string()]);
        self
    }

    pub fn configuration(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.configuration);
        self
    }

    /// Each fault is `(operation, first call, last call, fault)`.
    pub fn faults(mut self, rules: &[(&str, u64, u64, &str)]) -> Self {
        self.faults = plan(rules);
        self
    }

    /// From the next start on, the configuration is another one.
    pub fn set_configuration(&mut self, toml: &str) {
        toml.clone_into(&mut self.configuration);
    }

    /// From the next start on, an option has another value.
    pub fn set_option(&mut self, option: &str, value: &str) {
        let at = self.arguments.iter().position(|argument| argument == option).unwrap();
        value.clone_into(&mut self.arguments[at + 1]);
    }

    /// Adds options of `tidegate local`.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.arguments.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// From now on, every call of `operation` (such as `StreamPut`) has this fault. `None` ends that.
    pub fn fault_now(&self, operation: &str, fault: Option<&str>) {
        let file = self.folder.path().join(format!("{operation}.now"));
        let Some(fault) = fault else { return std::fs::remove_file(file).unwrap() };
        // Renamed when it is whole, because the program may read it at any moment.
        let aside = file.with_extension("new");
        std::fs::write(&aside, fault).unwrap();
        std::fs::rename(aside, file).unwrap();
    }

    /// The consumer crashes on every item whose id contains `marker`. There are few retries.
    pub fn crash_on(mut self, marker: &str) -> Self {
        self.arguments.extend(["--retries".to_owned(), "2".to_owned()]);
        marker.clone_into(&mut self.crash_on);
        self
    }

    /// From the next start on, the consumer does not crash any more.
    pub fn fix_consumer(&mut self) {
        self.set_crash("");
    }

    /// From the next start on, the consumer crashes on every item with `marker` in its id, or on none if that is empty.
    pub fn set_crash(&mut self, marker: &str) {
        marker.clone_into(&mut self.crash_on);
    }

    /// From the next start on, another program runs on the data folder.
    pub fn set_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Runs a command of the program on the data folder, with its own faults: `(operation, first call, last call,
    /// fault)`.
    pub fn command(&self, arguments: &[&str], rules: &[(&str, u64, u64, &str)]) -> Output {
        let counts = tempfile::tempdir().unwrap();
        let mut command = self.to_run(arguments);
        command.env("TIDEGATE_TEST_FAULTS", plan(rules).to_string());
        command.env("TIDEGATE_TEST_FAULTS_DIR", counts.path());
        command.output().unwrap()
    }

    /// A command of the program on the data folder. The caller runs it.
    pub fn to_run(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--data").arg(self.data()).arg("--config").arg(self.configuration_file());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command without faults, which must succeed. Returns what it printed.
    pub fn printed(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments, &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}, {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes the configuration to its file.
    pub fn configuration_file(&self) -> PathBuf {
        let config = self.folder.path().join("tidegate.toml");
        std::fs::write(&config, &self.configuration).unwrap();
        config
    }

    /// How often an operation with a planned fault was called.
    pub fn calls(&self, operation: &str) -> u64 {
        let words = operation.split('_').map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..]));
        std::fs::metadata(self.folder.path().join(words.collect::<String>())).map_or(0, |file| file.len())
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn stored(&self) -> StoredData {
        StoredData::of(&self.data())
    }

    /// Runs `tidegate audit --deep`. Returns the exit code and the report.
    pub fn audit(&self) -> (i32, Value) {
        let mut audit = Command::new(&self.program);
        let output = audit
            .args(["audit", "--deep", "--json", "--from", "2020-01-01T00:00:00Z", "--data"])
            .arg(self.data())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {errors}"));
        (output.status.code().unwrap(), report)
    }

    /// The size of the database, and of what is to be written to it. No file of the data folder is larger.
    pub fn database_kib(&self) -> u32 {
        let bytes = |name: &str| std::fs::metadata(self.data().join(name)).map_or(0, |file| file.len());
        u32::try_from((bytes("tidegate.sqlite") + bytes("tidegate.sqlite-wal")) / 1_024).unwrap()
    }

    /// Starts the pipeline and waits until it listens.
    pub fn start(&self) -> LocalRun {
        self.start_with(Command::new(&self.program))
    }

    /// The same, but no file that it writes can be larger, as on a full disk.
    pub fn start_with_small_files(&self, kib: u32) -> LocalRun {
        self.try_start_with_small_files(kib)
            .unwrap_or_else(|log| panic!("tidegate local did not start: {log}"))
    }

    /// The same. Gives what it logged if it ends before it listens.
    pub fn try_start_with_small_files(&self, kib: u32) -> Result<LocalRun, String> {
        let mut limited = Command::new("bash");
        // Without the trap, a write above the limit would end the process.
        limited.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""]);
        limited.arg(kib.to_string()).arg(&self.program);
        self.try_start_with(limited)
    }

    /// The same, but [`Self::set_read_only`] has an effect also if this is root.
    pub fn start_with_permissions(&self) -> LocalRun {
        if std::fs::metadata(self.folder.path()).unwrap().uid() != 0 {
            return self.start();
        }
        let mut limited = Command::new("setpriv");
        let without = "-dac_override,-dac_read_search";
        limited
            .args([format!("--bounding-set={without}"), format!("--inh-caps={without}")])
            .arg(&self.program);
        self.start_with(limited)
    }

    /// Whether no file and no folder can be made in the data folder. Files that exist can be written to.
    pub fn set_read_only(&self, is_read_only: bool) {
        each_folder(&self.data(), &|folder| {
            let mode = if is_read_only { 0o500 } else { 0o700 };
            std::fs::set_permissions(folder, PermissionsExt::from_mode(mode)).unwrap();
        });
    }

    fn start_with(&self, command: Command) -> LocalRun {
        self.try_start_with(command).unwrap_or_else(|log| panic!("tidegate local did not start: {log}"))
    }

    fn try_start_with(&self, mut command: Command) -> Result<LocalRun, String> {
        let config = self.configuration_file();
        command
            .args(["local", "--listen", "127.0.0.1:0"])
            .arg("--data")
            .arg(self.data())
            .arg("--config")
            .arg(&config)
            .args(&self.arguments)
            .env("TIDEGATE_TEST_FAULTS", self.faults.to_string())
            .env("TIDEGATE_TEST_FAULTS_DIR", self.folder.path())
            .env("TIDEGATE_TEST_CRASH_ON", &self.crash_on)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let errors = collect(process.stderr.take().unwrap());
        let (lines, read_lines) = mpsc::channel();
        let stdout = process.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _no_reader = lines.send(line);
            }
        });
        let url = loop {
            match read_lines.recv_timeout(DEADLINE) {
                Ok(line) => {
                    if let Some(url) = line.trim().strip_prefix("requests  ") {
                        break url.trim_end_matches("/ingest").to_owned();
                    }
                }
                Err(end) => {
                    let _ended_already = process.kill();
                    let _reaped = process.wait();
                    return Err(format!("{end}: {}", errors.recv().unwrap_or_default()));
                }
            }
        };
        Ok(LocalRun {
            process,
            url,
            lines: Mutex::new(read_lines),
            log: Mutex::new(errors),
            client: reqwest::Client::new(),
        })
    }
}

fn each_folder(folder: &Path, visit: &impl Fn(&Path)) {
    visit(folder);
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            each_folder(&entry.path(), visit);
        }
    }
}

/// The faults in the format that the program reads.
fn plan(rules: &[(&str, u64, u64, &str)]) -> Value {
    let rule = |(operation, from, to, fault): &(&str, u64, u64, &str)| json!({"operation": operation, "from": from, "to": to, "fault": fault});
    rules.iter().map(rule).collect()
}

/// Reads a pipe to its end in a thread, and sends the whole text at the end.
fn collect(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (text, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _aborted = pipe.read_to_end(&mut all);
        let _no_reader = text.send(String::from_utf8_lossy(&all).into_owned());
    });
    read
}

/// A running `tidegate local`. Dropping it is `kill -9`.
pub struct LocalRun {
    process: Child,
    /// Such as `http://127.0.0.1:12345`.
    pub url: String,
    lines: Mutex<mpsc::Receiver<String>>,
    log: Mutex<mpsc::Receiver<String>>,
    pub client: reqwest::Client,
}

impl LocalRun {
    /// A `POST` to `path` as tier `pro`.
    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).header("X-Customer-Tier", "pro").timeout(DEADLINE)
    }

    /// Sends one JSON object to `/ingest`. Returns the answer's status and body.
    pub async fn send(&self, object: &Value) -> (u16, Value) {
        answer(self.post("/ingest").json(object)).await
    }

    /// The status and the body of `/health`.
    pub async fn health(&self) -> (u16, Value) {
        answer(self.client.get(format!("{}/health", self.url)).timeout(DEADLINE)).await
    }

    /// A sum from `/metrics`, such as `events_spilled`; 0 if it is not there yet.
    pub async fn metric(&self, name: &str) -> u64 {
        let response = self.client.get(format!("{}/metrics", self.url)).timeout(DEADLINE).send().await;
        let text = response.unwrap().text().await.unwrap();
        let name = format!("tidegate_{name}_total ");
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a sum reaches `at_least`. The consumer and the drain report theirs after their invocations.
    pub async fn metric_reaches(&self, name: &str, at_least: u64) {
        let end = Instant::now() + DEADLINE;
        while self.metric(name).await < at_least {
            assert!(Instant::now() < end, "not within {DEADLINE:?}: {name} of {at_least}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The process ids of the functions that run now.
    pub fn consumers(&self) -> Vec<u32> {
        let me = self.process.id();
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|id| parent(*id) == Some(me)).collect()
    }

    /// The process ids of one function, such as `dispatch-fn`, that run now.
    pub fn processes_of(&self, function: &str) -> Vec<u32> {
        let is_function = |id: &u32| {
            let arguments = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            arguments.split(|byte| *byte == 0).any(|argument| argument == function.as_bytes())
        };
        self.consumers().into_iter().filter(is_function).collect()
    }

    /// Sends it the signal of Ctrl-C.
    pub fn interrupt(&self) {
        signal(self.process.id(), "INT");
    }

    /// Waits for a line that it prints.
    pub fn printed_line(&self, part: &str) -> String {
        let lines = self.lines.lock().unwrap();
        loop {
            let line =
                lines.recv_timeout(DEADLINE).unwrap_or_else(|end| panic!("no line has `{part}`: {end}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Stops it as Ctrl-C does. Returns what it printed.
    pub fn stop(mut self) -> String {
        self.terminate();
        self.lines.lock().unwrap().iter().collect::<Vec<_>>().join("\n")
    }

    fn terminate(&mut self) {
        let status = self.ended();
        assert!(status.success(), "{status}");
    }

    fn ended(&mut self) -> ExitStatus {
        signal(self.process.id(), "TERM");
        let end = Instant::now() + DEADLINE;
        loop {
            match self.process.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() > end => panic!("tidegate local did not stop"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Stops it as Ctrl-C does, and returns what it logged.
    pub fn stop_and_read_log(mut self) -> String {
        self.terminate();
        self.log.lock().unwrap().recv_timeout(DEADLINE).unwrap()
    }

    /// Stops it as Ctrl-C does. It must fail. Returns what it logged.
    pub fn stop_with_an_error(mut self) -> String {
        assert!(!self.ended().success());
        self.log.lock().unwrap().recv_timeout(DEADLINE).unwrap()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for LocalRun {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Sends `signal` to a process.
pub fn signal(id: u32, signal: &str) {
    let _already_ended =
        Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).stderr(Stdio::null()).status();
}

fn parent(id: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Sends a request. Returns the answer's status and JSON body.
pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Polls until `found` finds something. Panics after the deadline.
pub async fn eventually<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, found).await
}

/// The same, with another time limit.
pub async fn within<T>(limit: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
