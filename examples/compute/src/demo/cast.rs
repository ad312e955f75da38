//! Who is in the demo: a helper and a submitter in this process, and workers in processes of their own.

use std::process::Stdio;

use maille::PeerId;
use shared::{Failure, Helper, Network, network};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::mesh::Place;

pub(super) const WORKERS: usize = 4;
/// The worker that lies.
pub(super) const LIAR: usize = 0;
/// The worker that is killed.
pub(super) const VICTIM: usize = 1;
const PASSWORD_VARIABLE: &str = "MAILLE_PASSWORD";

pub(super) struct Cast {
    pub(super) workers: Vec<Worker>,
    pub(super) place: Place,
    helper: Helper,
}

/// A process that works.
pub(super) struct Worker {
    pub(super) peer: PeerId,
    child: Child,
}

impl Worker {
    async fn start(address: &str, bootstrap: &str, password: &str, lies: bool) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::other)?;
        let mut command = Command::new(program);
        command
            .args(["work", address, "--slots", "1", "--no-mdns"])
            .args(["--listen", "/ip4/127.0.0.1/tcp/0", "--bootstrap", bootstrap])
            .args(lies.then_some("--lie"))
            .env(PASSWORD_VARIABLE, password)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(Failure::other)?;
        let broken = || Failure::Other("a worker did not start".to_owned());
        let mut lines = BufReader::new(child.stderr.take().ok_or_else(broken)?).lines();
        let first = lines.next_line().await.map_err(Failure::other)?.ok_or_else(broken)?;
        let peer = first.split(' ').next().and_then(|peer| peer.parse().ok());
        // Read on, so that it never finds its standard error closed.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("a worker: {line}");
            }
        });
        Ok(Self {
            peer: peer.ok_or_else(|| Failure::Other(format!("a worker said: {first}")))?,
            child,
        })
    }

    /// Whether it was not killed.
    pub(super) fn is_alive(&self) -> bool {
        self.child.id().is_some()
    }

    /// SIGKILL: without a word to anybody.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.child.start_kill().map_err(Failure::other)?;
        // Reaped, it has no id any more.
        while self.child.try_wait().map_err(Failure::other)?.is_none() {
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Cast {
    /// All of them; they meet by themselves.
    pub(super) async fn start() -> Result<Self, Failure> {
        let helper = Helper::start(&Network::loopback(vec![])).await?;
        let multiaddrs = helper.multiaddrs();
        let bootstrap = multiaddrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let password = maille::Password::generate(&mut rand::rng());
        let text = password.expose().to_owned();
        // Another demo on this machine is another mesh.
        let name = format!("demo-{:08x}.compute.example/jobs", rand::random::<u32>());
        let address = network::own_address(&name)?;
        let credential = maille::Credential::password(password);
        let place = Place::enter(&address, &Network::loopback(multiaddrs), credential).await?;
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            workers.push(Worker::start(&name, &bootstrap, &text, number == LIAR).await?);
        }
        Ok(Self { workers, place, helper })
    }

    /// Ends them all.
    pub(super) async fn end(self) {
        for mut worker in self.workers {
            // One that is gone is as good.
            let _ = worker.child.kill().await;
        }
        self.place.node.shutdown().await;
        self.helper.stop().await;
    }
}
