//! The program as a person runs it, a process each: workers, submitters that stay and that leave, what is killed, what lies, what
//! cannot be done. Needs only loopback.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

const PASSWORD: &str = "shrine-wobbly-cane-deduct-plural";
/// How long a line of a running program may take.
const LINE_TIMEOUT: Duration = Duration::from_secs(90);

fn compute(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compute"));
    command
        .args(arguments)
        .env("MAILLE_PASSWORD", PASSWORD)
        .stdin(Stdio::null());
    command
}

/// A worker; killed when the test ends.
struct Worker {
    child: Child,
    peer: String,
    multiaddr: String,
}

impl Worker {
    /// It listens on a port that was free a moment ago, and knows the first of them.
    fn start(address: &str, first: Option<&Worker>, options: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let listen = format!("/ip4/127.0.0.1/tcp/{port}");
        let mut command = compute(&["work", address, "--no-mdns", "--listen", &listen]);
        if let Some(first) = first {
            command.args(["--bootstrap", &first.multiaddr]);
        }
        let mut child = command.args(options).stderr(Stdio::piped()).spawn().unwrap();
        let (told, wait) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            // Reads on to the end, so that the program never finds its standard error closed.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("worker: {line}");
                let _ = told.send(line);
            }
        });
        let line = wait.recv_timeout(LINE_TIMEOUT).expect("the worker says who it is");
        let peer = line.split(' ').next().unwrap().to_owned();
        let multiaddr = format!("{listen}/p2p/{peer}");
        Self { child, peer, multiaddr }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn workers(address: &str, options: &[&[&str]]) -> Vec<Worker> {
    let mut workers: Vec<Worker> = Vec::new();
    for options in options {
        let worker = Worker::start(address, workers.first(), options);
        workers.push(worker);
    }
    workers
}

fn at(worker: &Worker, arguments: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let mut command = compute(arguments);
    command.args([
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--bootstrap",
        &worker.multiaddr,
    ]);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), stdout, String::from_utf8(stderr).unwrap())
}

fn last_line(stdout: &[u8]) -> Value {
    let text = std::str::from_utf8(stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap_or_else(|| panic!("no line in {text:?}"))).unwrap()
}

#[test]
fn the_demo_is_right_although_one_is_killed_and_one_lies() {
    let Output { status, stdout, stderr } = compute(&["--json", "--tasks", "24", "--paths", "100000"])
        .output()
        .unwrap();
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    let last = last_line(&stdout);
    eprintln!("{last}");
    assert_eq!(
        (&last["tasks"], &last["accepted"], &last["liars"]),
        (&24.into(), &24.into(), &1.into()),
        "{last}"
    );
    assert_eq!(last["deadline_met"], true, "{last}");
    assert!(last["taken_over"].as_u64().unwrap() >= 1, "{last}");
    let [price, error, known] = ["price", "standard_error", "black_scholes"].map(|field| last[field].as_f64().unwrap());
    // The seed is another every time: one of fifty thousand is beyond four.
    assert!((price - known).abs() < 4.0 * error, "{last}");
}

#[test]
fn the_submitter_leaves_and_another_collects_what_equals_a_single_run() {
    // A mesh of its own: all processes of a user find each other on a machine.
    const ADDRESS: &str = "leaves.compute.example/jobs";
    let workers = workers(ADDRESS, &[&["--slots", "1"], &["--slots", "1"], &["--slots", "1"]]);
    let (code, stdout, stderr) = at(
        &workers[0],
        &["submit", ADDRESS, "kmers", "--tasks", "5", "--replicas", "2", "--json"],
    );
    assert_eq!(code, Some(0), "{stderr}");
    let id = last_line(&stdout)["job"].as_str().unwrap().to_owned();
    let (code, many, stderr) = at(&workers[1], &["result", ADDRESS, &id, "--timeout", "90s"]);
    assert_eq!(code, Some(0), "{stderr}");
    let single = [
        "submit",
        ADDRESS,
        "kmers",
        "--tasks",
        "1",
        "--replicas",
        "1",
        "--follow",
    ];
    let (code, one, stderr) = at(&workers[2], &single);
    assert_eq!(code, Some(0), "{stderr}");
    let one = String::from_utf8(one).unwrap();
    let (_, one) = one.split_once('\n').unwrap();
    assert!(one.lines().count() > 10_000);
    assert!(one.as_bytes() == many, "five tasks and one give the same bytes");
}

#[test]
fn who_cannot_says_why_and_a_hostile_module_harms_only_its_own_job() {
    const ADDRESS: &str = "cannot.compute.example/jobs";
    let dir = std::env::temp_dir().join(format!("compute-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let endless = wat::parse_str(
        "(module (memory (export \"memory\") 1) (func (export \"input\") (param i32) (result i32) (i32.const 0))
           (func (export \"run\") (param i32 i32 i32 i32) (result i64) (loop (br 0)) (i64.const 0)))",
    );
    std::fs::write(dir.join("endless.wasm"), endless.unwrap()).unwrap();
    std::fs::write(dir.join("input"), "x").unwrap();
    let job = |name: &str, memory: u64| {
        let path = dir.join(name);
        let text = format!(r#"{{"module":"endless.wasm","input":"input","fuel":100000000,"memory":{memory}}}"#);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (hostile, large) = (job("hostile.json", 65_536), job("large.json", 512 * 1_024 * 1_024));
    let workers = workers(
        ADDRESS,
        &[
            &["--slots", "1"],
            &["--slots", "1"],
            &["--slots", "1", "--memory", "64"],
        ],
    );

    let submit = [
        "submit",
        ADDRESS,
        &hostile,
        "--tasks",
        "2",
        "--replicas",
        "2",
        "--follow",
        "--deadline",
        "30s",
    ];
    let (code, _, stderr) = at(&workers[0], &submit);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("the module failed: it used up its fuel"), "{stderr}");

    let submit = [
        "submit", ADDRESS, "risk", "--tasks", "2", "--paths", "20000", "--follow", "--json",
    ];
    let (code, stdout, stderr) = at(&workers[0], &submit);
    assert_eq!(code, Some(0), "the workers go on: {stderr}");
    let last = last_line(&stdout);
    let [found, known] = ["value_at_risk", "closed_form"].map(|field| last[field].as_f64().unwrap());
    assert!((found / known - 1.0).abs() < 0.05, "{last}");

    // Workers have its module already; none of them can run it.
    let submit = ["submit", ADDRESS, &large, "--tasks", "1"];
    let (code, _, stderr) = at(&workers[0], &submit);
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stdout, stderr) = at(&workers[0], &["status", ADDRESS, "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let status = last_line(&stdout);
    assert_eq!(status["workers"].as_array().unwrap().len(), 3, "{status}");
    let cannot = status["cannot"].as_array().unwrap();
    assert_eq!(cannot.len(), 3, "{status}");
    let reason = |of: &Worker| {
        let said = cannot.iter().find(|said| said["worker"] == of.peer.as_str());
        said.and_then(|said| said["why"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        reason(&workers[2]).contains("536870912 bytes of memory, and this worker gives 67108864"),
        "{status}"
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn three_different_answers_are_no_quorum() {
    const ADDRESS: &str = "differ.compute.example/jobs";
    // Of two workers, one lies: each of two replicas is another answer, and nobody is left to ask.
    let workers = workers(ADDRESS, &[&["--slots", "1", "--lie"], &["--slots", "1"]]);
    let submit = [
        "submit",
        ADDRESS,
        "option",
        "--tasks",
        "2",
        "--paths",
        "1000",
        "--replicas",
        "2",
        "--follow",
        "--deadline",
        "3s",
        "--json",
    ];
    let (code, stdout, stderr) = at(&workers[1], &submit);
    assert_eq!(code, Some(1), "{stderr}");
    let last = last_line(&stdout);
    assert_eq!((&last["accepted"], &last["price"]), (&0.into(), &Value::Null), "{last}");
    assert!(stderr.contains("2 of 2 tasks have no accepted result"), "{stderr}");
}

#[test]
fn a_slow_worker_and_a_killed_one_do_not_break_the_deadline() {
    const ADDRESS: &str = "slow.compute.example/jobs";
    let mut workers = workers(
        ADDRESS,
        &[
            &["--slots", "1"],
            &["--slots", "1", "--slow", "10"],
            &["--slots", "1"],
            &["--slots", "1"],
        ],
    );
    let mut submit = compute(&[
        "submit",
        ADDRESS,
        "option",
        "--tasks",
        "12",
        "--paths",
        "300000",
        "--replicas",
        "1",
    ]);
    submit.args([
        "--follow",
        "--deadline",
        "60s",
        "--json",
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ]);
    submit
        .args(["--bootstrap", &workers[0].multiaddr])
        .stdout(Stdio::piped());
    let mut submitter = submit.spawn().unwrap();
    let mut lines = BufReader::new(submitter.stdout.take().unwrap()).lines();
    let submitted = lines.next().unwrap().unwrap();
    assert!(submitted.contains("job"), "{submitted}");
    workers[3].kill();
    let last: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(submitter.wait().unwrap().code(), Some(0), "{last}");
    assert_eq!(
        (&last["accepted"], &last["deadline_met"]),
        (&12.into(), &true.into()),
        "{last}"
    );
    eprintln!("{last}");
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_sent() {
    const ADDRESS: &str = "nonsense.compute.example/jobs";
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let output = compute(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    };
    refused(&["submit", ADDRESS, "option", "--symbol", "NONE"], 2, "AAPL");
    refused(&["submit", ADDRESS, "/nowhere/job.json"], 5, "/nowhere/job.json");
    refused(&["submit", ADDRESS, "option", "--deadline", "2d"], 2, "deadline");
    refused(&["result", ADDRESS, "xyz"], 2, "16 hexadecimal digits");
    refused(&["work"], 2, "compute.example/jobs");
}
