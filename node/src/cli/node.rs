//! `maille node`: a helper, which joins no mesh and helps the members of all to meet.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use etcetera::BaseStrategy;
use futures::StreamExt;
use maille::{Multiaddr, Node, NodeEvent, Ticket};
use serde::Serialize;

use super::common::{NetworkOptions, builder, shutdown, spawn, unreachable};
use super::exit::{Failure, say};
use super::output::{json_line, print_now};
use super::parse;
use super::signals::{Signal, Stop};

/// Where a helper listens unless told otherwise.
const PORT: u16 = 6245;

/// Its part of the user's data directory.
pub(crate) const DATA_DIR: &str = "node";

/// How often an unreachable bootstrap peer is worth a line.
const UNREACHABLE_NOTE_INTERVAL: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Examples:
  Help others meet, on port 6245 (TCP and QUIC):
    maille node
  The same behind a name that stays, in an identity of its own:
    maille node --announce /dns4/meet.example/tcp/6245 --data-dir /var/lib/maille
  Members then begin with a line that it printed:
    maille sub chat.example/room --bootstrap /ip4/192.0.2.1/tcp/6245/p2p/12D3KooW…

It ends with 130 on Ctrl-C, and with 0 on SIGTERM, which is how services are stopped.";

/// Run a helper: a node that joins no mesh and helps others meet
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NodeArgs {
    /// Tell others to reach this node at this multiaddr; several may follow, or repeat the option
    #[arg(long, value_name = "MULTIADDR", value_parser = parse::multiaddr, help_heading = "Network")]
    announce: Vec<Multiaddr>,
    /// Begin with the peers of a ticket
    #[arg(long, value_name = "TICKET", help_heading = "Network")]
    ticket: Option<Ticket>,
    /// Print JSON objects
    #[arg(long)]
    json: bool,
    /// A helper always keeps looking
    #[arg(long, hide = true)]
    retry_forever: bool,
    #[command(flatten)]
    network: NetworkOptions,
}

/// A line of `--json`.
#[derive(Debug, Serialize)]
struct Listening {
    event: &'static str,
    multiaddr: String,
}

/// Runs `maille node`.
pub(crate) async fn run(args: NodeArgs, stop: Stop) -> Result<(), Failure> {
    let mut network = args.network.clone();
    if network.listen.is_empty() {
        network.listen = default_listen(has_ip6());
    }
    if network.data_dir.is_none() {
        network.data_dir = Some(default_data_dir(DATA_DIR)?);
    }
    let builder = builder(&network, args.ticket.clone())
        .helper(true)
        .announce(args.announce.clone());
    let node = spawn(builder, &stop).await?;
    print_multiaddrs(&node.multiaddrs(), args.json)?;
    say(&format!("helping others meet as {}; Ctrl-C ends", node.id()));
    let signal = serve(&node, &stop).await;
    shutdown(node).await;
    match signal {
        Signal::Interrupt => Err(Failure::Interrupted(String::new())),
        Signal::Terminate => Ok(()),
    }
}

/// Where `maille <command>` keeps what it keeps unless told otherwise: `maille/<command>` in the user's data directory.
pub(crate) fn default_data_dir(command: &str) -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy().map_err(|_| {
        Failure::other("this user has no home directory to keep anything in: give a directory with --data-dir")
    })?;
    Ok(strategy.data_dir().join("maille").join(command))
}

/// Notes what others should know, until a signal comes.
async fn serve(node: &Node, stop: &Stop) -> Signal {
    let mut events = node.events();
    let mut noted: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            signal = stop.requested() => return signal,
            Some(event) = events.next() => {
                let lately = noted.is_some_and(|noted| noted.elapsed() < UNREACHABLE_NOTE_INTERVAL);
                if matches!(event, NodeEvent::BootstrapUnreachable { .. }) && !lately {
                    noted = Some(Instant::now());
                    say(&unreachable(&event));
                }
            }
        }
    }
}

fn print_multiaddrs(multiaddrs: &[Multiaddr], json: bool) -> Result<(), Failure> {
    let mut text = Vec::new();
    for multiaddr in multiaddrs {
        let multiaddr = multiaddr.to_string();
        if json {
            text.extend(json_line(&Listening {
                event: "listening",
                multiaddr,
            }));
        } else {
            text.extend(multiaddr.into_bytes());
            text.push(b'\n');
        }
    }
    match print_now(&text) {
        // A helper is of use even if nobody reads where it listens.
        Err(Failure::OutputClosed) => Ok(()),
        printed => printed,
    }
}

fn default_listen(ip6: bool) -> Vec<Multiaddr> {
    let mut texts = vec![
        format!("/ip4/0.0.0.0/tcp/{PORT}"),
        format!("/ip4/0.0.0.0/udp/{PORT}/quic-v1"),
    ];
    if ip6 {
        texts.extend([format!("/ip6/::/tcp/{PORT}"), format!("/ip6/::/udp/{PORT}/quic-v1")]);
    }
    texts
        .iter()
        .map(|text| text.parse().expect("these are multiaddrs, as a test shows"))
        .collect()
}

/// Whether this machine speaks IPv6 at all; many containers do not.
fn has_ip6() -> bool {
    std::net::UdpSocket::bind("[::]:0").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_listens_on_tcp_and_quic() {
        let texts: Vec<String> = default_listen(true).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "/ip4/0.0.0.0/tcp/6245",
                "/ip4/0.0.0.0/udp/6245/quic-v1",
                "/ip6/::/tcp/6245",
                "/ip6/::/udp/6245/quic-v1"
            ]
        );
        assert_eq!(default_listen(false).len(), 2);
    }

    #[test]
    fn its_json_lines_say_what_they_are() {
        let line = json_line(&Listening {
            event: "listening",
            multiaddr: "/ip4/127.0.0.1/tcp/1".into(),
        });
        assert_eq!(
            line,
            b"{\"event\":\"listening\",\"multiaddr\":\"/ip4/127.0.0.1/tcp/1\"}\n"
        );
    }
}
