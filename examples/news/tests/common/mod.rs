//! What the tests share: a web server that counts, the program as a process, and a member who writes down what arrives.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use maille::{Credential, Event, Json, Node, Password};
use serde_json::Value;
use tokio::task::JoinHandle;

/// A strong password of these tests.
pub(crate) const PASSWORD: &str = "shrine-wobbly-cane-deduct-plural";
/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// One request to a [`Web`].
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The path.
    pub(crate) path: String,
    /// `If-None-Match`, `If-Modified-Since`.
    pub(crate) conditions: [Option<String>; 2],
    /// All of it.
    pub(crate) headers: HeaderMap,
    /// When.
    pub(crate) at: Instant,
}

/// What a path answers, given the request and how often it was asked before.
pub(crate) type Page = Arc<dyn Fn(&Asked, usize) -> Response + Send + Sync>;

/// A web server on 127.0.0.1.
pub(crate) struct Web {
    /// `http://127.0.0.1:port`.
    pub(crate) root: String,
    state: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    pages: Mutex<HashMap<String, Page>>,
    asked: Mutex<Vec<Asked>>,
}

impl Web {
    /// Opens it.
    pub(crate) async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Shared {
            pages: Mutex::default(),
            asked: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(state.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { root, state, task }
    }

    /// Serves a path from now on. Gives its address.
    pub(crate) fn page(&self, path: &str, page: impl Fn(&Asked, usize) -> Response + Send + Sync + 'static) -> String {
        self.state.pages.lock().unwrap().insert(path.to_owned(), Arc::new(page));
        format!("{}{path}", self.root)
    }

    /// Serves a body, whatever is asked.
    pub(crate) fn body(&self, path: &str, content_type: &'static str, body: impl Into<Vec<u8>>) -> String {
        let body = body.into();
        self.page(path, move |_, _| {
            ([("content-type", content_type)], body.clone()).into_response()
        })
    }

    /// Requests for a path, so far.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }

    /// Waits until a path was asked for so often.
    pub(crate) async fn until_asked(&self, path: &str, times: usize) {
        until(&format!("{times} requests for {path}"), || {
            self.asked(path).len() >= times
        })
        .await;
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let asked = Asked {
        path: uri.path().to_owned(),
        conditions: [header("if-none-match"), header("if-modified-since")],
        headers: headers.clone(),
        at: Instant::now(),
    };
    let before = {
        let mut all = shared.asked.lock().unwrap();
        let before = all.iter().filter(|earlier| earlier.path == asked.path).count();
        all.push(asked.clone());
        before
    };
    let page = shared.pages.lock().unwrap().get(uri.path()).cloned();
    match page {
        Some(page) => page(&asked, before),
        None => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// RSS with these items, the first the newest.
pub(crate) fn rss(title: &str, ids: impl IntoIterator<Item = usize>) -> String {
    let items: String = ids
        .into_iter()
        .map(|id| {
            format!("<item><guid>{id}</guid><title>Title {id}</title><link>https://a.example/{id}</link></item>\n")
        })
        .collect();
    format!("<rss version=\"2.0\"><channel><title>{title}</title>\n{items}</channel></rss>")
}

/// The program, kept to this machine and away from proxies, with a home of its own.
pub(crate) fn news(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_news"));
    let runtime = home.join("runtime");
    std::fs::create_dir_all(&runtime).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", runtime)
        .env("MAILLE_PASSWORD", PASSWORD)
        .current_dir(home)
        .stdin(Stdio::null());
    if matches!(arguments.first(), Some(&("publish" | "read"))) {
        command.args(["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"]);
    }
    command
}

/// How a process ended: code, standard output, standard error.
pub(crate) type Ended = (Option<i32>, String, String);

/// Runs it to its end, off the test's runtime.
pub(crate) async fn run(mut command: Command) -> Ended {
    let running = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = tokio::time::timeout(PATIENCE * 2, running)
        .await
        .expect("the program ends")
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A running process, killed when a test fails half-way, and its lines.
pub(crate) struct Running {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    err: Arc<Mutex<Vec<String>>>,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// Lines of standard output so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.out.lock().unwrap().clone()
    }

    /// Lines of standard error so far.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.err.lock().unwrap().clone()
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.stderr());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    });
    lines
}

/// A member inside the test, who writes down every record with its key.
pub(crate) struct Member {
    node: Node,
    records: Arc<Mutex<Vec<(String, Value)>>>,
    task: JoinHandle<()>,
}

impl Member {
    /// Joins and listens.
    pub(crate) async fn join(mesh: &str, topic: &str) -> Self {
        let node = Node::builder()
            .listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()])
            .mdns(false)
            .run_file(false)
            .spawn()
            .await
            .unwrap();
        let credential = Credential::password(Password::parse(PASSWORD).unwrap());
        let mesh = node.join(mesh.parse().unwrap(), credential).await.unwrap();
        let mut subscriber = mesh
            .topic::<Json<Value>>(topic.parse().unwrap())
            .subscribe()
            .start()
            .await
            .unwrap();
        let records = Arc::new(Mutex::new(Vec::new()));
        let into = records.clone();
        let task = tokio::spawn(async move {
            use futures::StreamExt;
            let _mesh = mesh;
            while let Some(event) = subscriber.next().await {
                if let Event::Record(record) = event {
                    let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                    into.lock().unwrap().push((key, record.value.0));
                }
            }
        });
        Self { node, records, task }
    }

    /// `--bootstrap` of it.
    pub(crate) fn multiaddr(&self) -> String {
        self.node.multiaddrs()[0].to_string()
    }

    /// What arrived so far.
    pub(crate) fn records(&self) -> Vec<(String, Value)> {
        self.records.lock().unwrap().clone()
    }

    /// The ids that arrived so far, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let text = |(_, value): &(String, Value)| value["id"].as_str().unwrap().to_owned();
        self.records().iter().map(text).collect()
    }

    /// Waits until so many records arrived.
    pub(crate) async fn until_arrived(&self, count: usize) {
        until(&format!("{count} records"), || {
            self.records.lock().unwrap().len() >= count
        })
        .await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}
