//! One member: a process, and what a browser would ask its page for.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use maille::{Multiaddr, Node};
use reqwest::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tempfile::TempDir;

/// For what takes a moment; against hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn helper() -> Node {
    let listen = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
    Node::builder()
        .listen([listen])
        .mdns(false)
        .run_file(false)
        .helper(true)
        .spawn()
        .await
        .unwrap()
}

pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}

pub(crate) struct Member {
    process: Child,
    folder: Option<TempDir>,
    bootstrap: String,
    client: reqwest::Client,
    /// `http://127.0.0.1:PORT`.
    base: String,
    cookie: String,
}

impl Member {
    pub(crate) fn new(bootstrap: &[Multiaddr]) -> Self {
        let bootstrap: Vec<String> = bootstrap.iter().map(Multiaddr::to_string).collect();
        Self::in_folder(tempfile::tempdir().unwrap(), bootstrap.join(","))
    }

    fn in_folder(folder: TempDir, bootstrap: String) -> Self {
        Self::run(folder, bootstrap, &["start"], None)
    }

    /// One that joined from the command line.
    pub(crate) fn joined(bootstrap: &[Multiaddr], mesh: &str, name: &str, passphrase: &str) -> Self {
        let bootstrap: Vec<String> = bootstrap.iter().map(Multiaddr::to_string).collect();
        let command = ["join", mesh, "--name", name];
        Self::run(
            tempfile::tempdir().unwrap(),
            bootstrap.join(","),
            &command,
            Some(passphrase),
        )
    }

    fn run(folder: TempDir, bootstrap: String, command: &[&str], passphrase: Option<&str>) -> Self {
        let mut process = Command::new(super::PARTY)
            .args(command)
            .args(["--no-browser", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"])
            .args(["--bootstrap", &bootstrap])
            .arg("--data-dir")
            .arg(folder.path().join("groups"))
            .env("XDG_RUNTIME_DIR", folder.path())
            .envs(passphrase.map(|passphrase| ("MAILLE_PASSWORD", passphrase)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut link = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut link)
            .unwrap();
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let link = link.trim().to_owned();
        let (base, _) = link.split_once("/enter/").unwrap();
        let entering = {
            let (client, link) = (client.clone(), link.clone());
            async move { client.get(link).send().await.unwrap() }
        };
        let entered = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(entering));
        assert_eq!(
            (entered.status().as_u16(), &entered.headers()[LOCATION]),
            (303, &"/".parse().unwrap())
        );
        let cookie = entered.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
        Self {
            process,
            folder: Some(folder),
            bootstrap,
            client,
            base: base.to_owned(),
            cookie: cookie.split(';').next().unwrap().to_owned(),
        }
    }

    /// Ended as people do, and started again.
    pub(crate) fn restart(mut self) -> Self {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
        let folder = self.folder.take().unwrap();
        Self::in_folder(folder, self.bootstrap.clone())
    }

    /// Killed, and started again.
    pub(crate) fn kill(mut self) -> Self {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let folder = self.folder.take().unwrap();
        Self::in_folder(folder, self.bootstrap.clone())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Vec<u8>)> {
        let answer = request.header(COOKIE, &self.cookie).send().await?;
        Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
    }

    pub(crate) async fn try_get(&self, path: &str) -> (u16, Vec<u8>) {
        self.send(self.client.get(format!("{}{path}", self.base)))
            .await
            .unwrap()
    }

    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let (status, bytes) = self.try_get(path).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&bytes));
        bytes
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        serde_json::from_slice(&self.bytes(path).await).unwrap()
    }

    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self
            .client
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        let (status, answer) = self.send(request.body(body.to_string())).await.unwrap();
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_post(path, body).await;
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }

    /// The same of one that may be killed meanwhile.
    pub(crate) async fn ask_to(&self, path: &str, body: &Value) -> Option<Value> {
        let request = self
            .client
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        let (status, answer) = self.send(request.body(body.to_string())).await.ok()?;
        (status == 200).then(|| serde_json::from_slice(&answer).unwrap())
    }

    pub(crate) async fn put(&self, list: &str, fields: &Value) -> String {
        let put = json!({ "op": "put", "list": list, "id": null, "fields": fields });
        self.post("/api/edit", &put).await["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn upload(&self, path: &str, bytes: Vec<u8>) -> Result<Value, (u16, Value)> {
        let request = self.client.post(format!("{}{path}", self.base)).body(bytes);
        let (status, answer) = self.send(request).await.map_err(|_| (0, Value::Null))?;
        let answer = serde_json::from_slice(&answer).unwrap_or_default();
        if status == 200 {
            Ok(answer)
        } else {
            Err((status, answer))
        }
    }

    pub(crate) async fn as_stranger(&self, path: &str, cookie: Option<&str>) -> (u16, Value) {
        let request = self
            .client
            .get(format!("{}{path}", self.base))
            .header(COOKIE, cookie.unwrap_or("party=0000"));
        answer_of(request).await
    }

    /// By a page of somebody else's in the same browser, and under another name of this machine.
    pub(crate) async fn as_elsewhere(&self, path: &str, origin: &str) -> (u16, Value) {
        let request = || {
            self.client
                .get(format!("{}{path}", self.base))
                .header(COOKIE, &self.cookie)
        };
        let (status, _) = answer_of(request().header(HOST, "evil.example")).await;
        assert_eq!(status, 403);
        answer_of(request().header(ORIGIN, origin)).await
    }

    pub(crate) async fn until(&self, holds: impl Fn(&Value) -> bool) {
        until("the state", async || holds(&self.get("/api/state").await)).await;
    }

    pub(crate) async fn until_open(&self) {
        self.until(|state| state["phase"] == "open").await;
    }
}

async fn answer_of(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default(),
    )
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
