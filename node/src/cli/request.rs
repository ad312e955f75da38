//! `maille request MESH NAME`: calls a service of the mesh with what is on standard input.

use std::io::{IsTerminal, Read};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use maille::{PeerId, Request, RequestError, ServiceName};
use serde::Serialize;

use super::common::{Member, MeshOptions, NetworkOptions, shutdown};
use super::exit::Failure;
use super::output::{json_line, payload_line, print_now, text_or_base64};
use super::parse;
use super::place::{MeshOrTicket, Place};
use super::signals::Stop;

/// How long it may take in all unless told otherwise.
const TIMEOUT: &str = "30s";

/// The longest request there may be.
const REQUEST_BYTES_MAX: u64 = 1_048_576;

/// How often members are looked for that serve it, where nobody does yet.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

const EXAMPLES: &str = "\
Examples:
  Ask whoever serves it in a mesh, as `maille reply` does:
    echo Ada | maille request party.example greet
  The same for programs:
    echo Ada | maille request party.example greet --json

The request is all of standard input, the answer is all that goes to standard output; each is at most 1 MiB.
It ends with 4 if no answer came in time, and with 1 if the service refused, whose reason goes to standard error.";

/// Call a service of a member with what is on standard input
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RequestArgs {
    /// The mesh, such as party.example, or a ticket
    #[arg(value_name = "MESH")]
    mesh_or_ticket: MeshOrTicket,
    /// The service, such as greet or photos/thumbnail
    #[arg(value_name = "NAME")]
    service: ServiceName,
    /// The member to ask, as `maille reply` prints its id; without it, any that serves it
    #[arg(long, value_name = "ID")]
    peer: Option<PeerId>,
    /// How long to look for the member and to wait for the answer: seconds, or 30s, 2m
    #[arg(long, value_name = "TIME", default_value = TIMEOUT, value_parser = parse::duration)]
    timeout: Duration,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mesh: MeshOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

/// The answer in `--json`: as text if it is UTF-8, else in the field with `_base64`.
#[derive(Debug, Serialize)]
struct AnswerLine<'a> {
    event: &'static str,
    mesh: &'a str,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_base64: Option<String>,
}

/// Runs `maille request`.
pub(crate) async fn run(args: RequestArgs, stop: Stop) -> Result<(), Failure> {
    let place = Place::of_mesh(Some(args.mesh_or_ticket.clone()), args.mesh.ticket.clone())?;
    let reading = tokio::task::spawn_blocking(read_request);
    let request = stop.or(reading).await?;
    let request = request.map_err(|_| Failure::other("reading standard input stopped short"))??;
    let member = Member::join(&place, &args.network, &args.mesh, &stop).await?;
    let answered = answer(&args, &member, &request, &stop).await;
    let outcome = answered.and_then(|answer| print_now(&shown(&args, place.mesh.as_str(), &answer)));
    shutdown(member.node).await;
    outcome
}

fn read_request() -> Result<Vec<u8>, Failure> {
    let mut request = Vec::new();
    // One byte more tells a request that is too long from the longest.
    let read = std::io::stdin()
        .lock()
        .take(REQUEST_BYTES_MAX + 1)
        .read_to_end(&mut request);
    read.map_err(|error| Failure::other(format!("cannot read standard input: {error}")))?;
    if request.len() as u64 > REQUEST_BYTES_MAX {
        return Err(Failure::UnreadableInput(format!(
            "standard input is longer than the {REQUEST_BYTES_MAX} bytes that a request may have"
        )));
    }
    Ok(request)
}

async fn answer(args: &RequestArgs, member: &Member, request: &Vec<u8>, stop: &Stop) -> Result<Vec<u8>, Failure> {
    let progress = ProgressBar::new_spinner().with_message(format!("asking members of {}", member.mesh.name()));
    progress.enable_steady_tick(Duration::from_millis(100));
    let mut watch = member.watch(progress.clone());
    let answered = tokio::select! {
        biased;
        _ = stop.requested() => Err(Failure::Interrupted(String::new())),
        answered = ask(args, member, request) => answered,
        failure = watch.given_up() => Err(failure),
    };
    progress.finish_and_clear();
    match (answered, watch.refused_so_far()) {
        (Err(Failure::NobodyThere(_)), Some(refused)) => Err(refused),
        (answered, _) => answered,
    }
}

/// Asks until somebody answers: whom this node knows, and who serves what, it learns only after it joined.
async fn ask(args: &RequestArgs, member: &Member, request: &Vec<u8>) -> Result<Vec<u8>, Failure> {
    let (mesh, service) = (member.mesh.name(), &args.service);
    let deadline = Instant::now() + args.timeout;
    let left = || deadline.saturating_duration_since(Instant::now());
    let nobody = |what: String| Failure::NobodyThere(format!("{what} within {} s", args.timeout.as_secs_f64()));
    if tokio::time::timeout(left(), member.mesh.joined()).await.is_err() {
        return Err(nobody(format!("no member of {mesh} was met")));
    }
    loop {
        let request: Request<Vec<u8>> = match args.peer {
            Some(peer) => member.mesh.request(peer, service.clone(), request),
            None => member.mesh.request_any(service.clone(), request),
        };
        let error = match request.within(left()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let none = match (&error, args.peer) {
            (RequestError::Unreachable, Some(peer)) => format!("member {peer} of {mesh} could not be reached"),
            (RequestError::NotServed { .. } | RequestError::Unreachable, None) => {
                format!("no member of {mesh} was found that serves {service}")
            }
            (RequestError::Deadline { .. }, _) => return Err(nobody(format!("{service} did not answer"))),
            _ => return Err(Failure::Other(error.into())),
        };
        if left() <= AGAIN_AFTER {
            return Err(nobody(none));
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn shown(args: &RequestArgs, mesh: &str, answer: &[u8]) -> Vec<u8> {
    if args.json {
        let (text, base64) = text_or_base64(answer);
        return json_line(&AnswerLine {
            event: "answer",
            mesh,
            service: args.service.as_str(),
            answer: text,
            answer_base64: base64,
        });
    }
    match std::io::stdout().is_terminal() {
        true => payload_line(answer.strip_suffix(b"\n").unwrap_or(answer), true),
        false => answer.to_vec(),
    }
}
